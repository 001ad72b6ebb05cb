//! Steps between a matrix and its picture, one verb a file, as pure functions with scanpy's names and
//! defaults.

mod lanczos;
mod layout;
mod leiden;
mod nearest;
mod neighbors;
mod pca;
mod rank_genes_groups;
mod spectral;
mod umap;

pub use leiden::{LeidenConfig, leiden, modularity};
pub use nearest::{Metric, Nearest, nearest};
pub use neighbors::{N_NEIGHBORS, Neighbors, neighbors};
pub use pca::{N_COMPS, Pca, pca};
pub use rank_genes_groups::{GroupGenes, GroupTest, rank_genes_groups};
pub use umap::{UmapConfig, find_ab_params, umap};
