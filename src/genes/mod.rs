//! Genes: what they are called, what is known of them in words, and which gene a name means.

mod coverage;
mod matcher;
mod names;
mod orthologs;
mod species;
mod text_file;

pub use coverage::{AmbiguousName, Coverage, Duplicate};
pub use matcher::{FrameMatch, GeneMatch, GeneMatcher, How};
pub use names::{GeneNames, before_spreadsheet, is_ensembl_gene, strip_version};
pub use orthologs::{Homolog, Orthologs};
pub use species::{MINIMUM_SHARE, Species, SpeciesGuess, check_species, guess_species};
