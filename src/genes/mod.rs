//! Genes: what they are called, what is known of them in words, and which gene a name means.

mod build;
mod clean;
mod complete;
mod coverage;
mod descriptions;
mod matcher;
mod missing;
mod mitochondrial;
mod name_list;
mod names;
mod orthologs;
mod record;
mod ribosomal;
mod sources;
mod species;
mod template;
mod text_file;

pub use build::Build;
pub use complete::{CachedCompleter, ChatCompleter, Completer};
pub use coverage::{AmbiguousName, Coverage, Duplicate};
pub use descriptions::{Description, DescriptionTable, TextSource};
pub use matcher::{FrameMatch, GeneMatch, GeneMatcher, How};
pub use missing::{Missing, MissingPolicy};
pub(crate) use mitochondrial::is_mitochondrial;
pub use mitochondrial::mitochondrial_genes;
pub use name_list::read_name_list;
pub use names::{GeneNames, before_spreadsheet, is_ensembl_gene, strip_version};
pub use orthologs::{Homolog, Orthologs};
pub use record::{GeneRecord, GeneRecords};
pub(crate) use ribosomal::is_ribosomal_protein;
pub use sources::SourceKind;
pub use species::{MINIMUM_SHARE, Species, SpeciesGuess, check_species, guess_species};
pub use template::Template;
