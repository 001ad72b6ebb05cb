//! Steps between a matrix and its picture, one verb a file, as pure functions with scanpy's names and
//! defaults.

mod barcode_curve;
mod cluster;
mod descent;
mod dispersion;
mod filter;
mod highly_variable;
mod inflection;
mod knee;
mod lanczos;
mod layout;
mod leiden;
mod loess;
mod moments;
mod nearest;
mod neighbors;
mod pca;
mod qc;
mod rank_genes_groups;
mod savitzky_golay;
mod scale;
mod spectral;
mod umap;

pub use barcode_curve::BarcodeCurve;
pub use cluster::{ClusterConfig, Clustered, cluster};
pub use descent::nearest_by_descent;
pub use filter::{CellFilter, FilterConfig, KeptCells, filter_cells, filter_genes};
pub(crate) use highly_variable::by_dispersion;
pub use highly_variable::{HighlyVariableGenes, HvgFlavor, highly_variable_genes};
pub use inflection::{Inflection, InflectionPoint, inflection, inflections};
pub use knee::{KneePoint, knee, kneedle};
pub(crate) use lanczos::symmetric_eigenpairs;
pub use leiden::{LeidenConfig, leiden, modularity};
pub use nearest::{Metric, Nearest, nearest};
pub use neighbors::{EXACT_TO, N_NEIGHBORS, Neighbors, neighbors};
pub use pca::{N_COMPS, Pca, pca};
pub use qc::{QcMetrics, calculate_qc_metrics};
pub use rank_genes_groups::{GroupGenes, GroupTest, rank_genes_groups};
pub(crate) use rank_genes_groups::{benjamini_hochberg, comparable};
pub use savitzky_golay::{find_peaks, savgol_filter};
pub use scale::{Scaled, scale, scale_uncentred};
pub use umap::{UmapConfig, find_ab_params, umap};
