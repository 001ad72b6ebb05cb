//! Downloads: gene files of NCBI, backbones of the Hugging Face hub. No other host is asked.

mod backbone;
mod download;
mod gene_files;
mod integrity;
mod lock;
mod manifest;

pub use backbone::{FetchedBackbone, HubAddress, fetch_backbone};
pub use download::{Download, Downloaded, Downloader};
pub use gene_files::{NCBI_GENE_DATA, fetch_gene_files};
pub use integrity::sha256_of;
pub use lock::{Lock, LockedBackbone, LockedFile};
pub use manifest::{Backbone, known_backbones};
