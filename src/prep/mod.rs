//! Steps between a matrix and its picture, one verb a file, as pure functions with scanpy's names and
//! defaults.

mod lanczos;
mod layout;
mod nearest;
mod neighbors;
mod pca;
mod spectral;
mod umap;

pub use nearest::{Metric, Nearest, nearest};
pub use neighbors::{N_NEIGHBORS, Neighbors, neighbors};
pub use pca::{N_COMPS, Pca, pca};
pub use umap::{UmapConfig, find_ab_params, umap};
