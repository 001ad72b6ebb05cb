//! Downloads: gene files of NCBI, backbones and MiniLM of the Hugging Face hub. No other host is
//! asked.

mod backbone;
mod cache;
mod download;
mod gene_files;
mod hub;
mod integrity;
mod lock;
mod manifest;
mod minilm;
mod named_file;

pub use backbone::fetch_backbone;
pub use cache::HubCache;
pub use download::{Download, Downloaded, Downloader};
pub use gene_files::{NCBI_GENE_DATA, fetch_gene_files};
pub use hub::{FetchedModel, HubAddress, HubModel, fetch_model};
pub use integrity::sha256_of;
pub use lock::{Lock, LockedFile, LockedModel};
pub use manifest::{Backbone, known_backbones};
pub use named_file::{CELL_ONTOLOGY, NamedFile, PANGLAODB_MARKERS};
