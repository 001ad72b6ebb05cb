//! From normalised cells to clusters and their markers: the verbs of this room in scanpy's order.

use super::rank_genes_groups::{comparable, logistic};
use super::{
    GroupGenes, GroupTest, HighlyVariableGenes, HvgFlavor, LeidenConfig, Metric, N_COMPS,
    N_NEIGHBORS, Neighbors, Pca, UmapConfig, highly_variable_genes, leiden, neighbors, pca,
    rank_genes_groups, scale_uncentred, umap,
};
use crate::cells::{CsrMatrix, Dense, Rows, select_columns};
use crate::{Error, Result};

/// Settings of all steps, with scanpy's defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterConfig {
    /// Genes that vary most, of which components are made.
    pub n_top_genes: usize,
    /// How they are found.
    pub flavor: HvgFlavor,
    /// Whether to scale these genes to unit variance, and at which value to cut them.
    pub scale: Option<f64>,
    /// Principal components.
    pub n_comps: usize,
    /// Neighbours of each cell, itself among them.
    pub n_neighbors: usize,
    /// Resolution of the clusters: the higher, the more.
    pub resolution: f64,
    /// How clusters are compared with all other cells.
    pub test: GroupTest,
    /// Seed of clusters and layout.
    pub seed: u64,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            n_top_genes: 2000,
            flavor: HvgFlavor::Seurat,
            scale: None,
            n_comps: N_COMPS,
            n_neighbors: N_NEIGHBORS,
            resolution: 1.0,
            test: GroupTest::Wilcoxon,
            seed: 0,
        }
    }
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Clustered {
    /// Statistics of all genes.
    pub variable: HighlyVariableGenes,
    /// Components of the variable genes.
    pub pca: Pca,
    /// The nearest neighbours of each cell along these components.
    pub neighbors: Neighbors,
    /// How much they are connected ([`Neighbors::connectivities`]), `[cells, cells]`.
    pub connectivities: CsrMatrix,
    /// Cluster of each cell, the largest cluster 0.
    pub clusters: Vec<usize>,
    /// The cells in the plane, `[cells, 2]`.
    pub umap: Dense,
    /// All genes of each cluster, best marker first; none where fewer than two clusters have two cells.
    pub markers: Vec<GroupGenes>,
}

impl Clustered {
    /// Number of clusters.
    pub fn n_clusters(&self) -> usize {
        self.clusters.iter().max().map_or(0, |last| last + 1)
    }
}

/// Cluster cells by a matrix `[cells, genes]` of log1p-normalised values, and rank the genes of each cluster.
///
/// `counts` are the values in the same places before normalisation, which the flavour `seurat_v3` needs; `begin` is
/// told each step's name. Nothing is regressed out, and nothing depends on the number of threads or on where the
/// matrix lies. In memory beside it: its variable genes and their products with each other ([`pca`]), or what
/// [`rank_genes_groups`] needs, and vectors of cells.
///
/// # Errors
/// Those of the steps.
pub fn cluster(
    matrix: &dyn Rows,
    counts: Option<&dyn Rows>,
    config: &ClusterConfig,
    mut begin: impl FnMut(&'static str),
) -> Result<Clustered> {
    if config.test == GroupTest::Logistic {
        // Refused now, not after all the work.
        logistic::in_memory(matrix)?;
    }
    begin("highly variable genes");
    let compared = match config.flavor {
        HvgFlavor::SeuratV3 => counts.ok_or_else(no_counts)?,
        HvgFlavor::Seurat | HvgFlavor::CellRanger => matrix,
    };
    let variable = highly_variable_genes(compared, config.n_top_genes, config.flavor)?;
    let genes: Vec<usize> =
        (0..matrix.n_cols()).filter(|&gene| variable.highly_variable[gene]).collect();
    let mut chosen = select_columns(matrix, &genes)?;
    if let Some(max_value) = config.scale {
        begin("scaling");
        scale_uncentred(&mut chosen, max_value)?;
    }
    begin("principal components");
    let pca = pca(&chosen, config.n_comps)?;
    drop(chosen);
    begin("neighbours");
    let neighbors = neighbors(&pca.scores, config.n_neighbors, Metric::Euclidean)?;
    let connectivities = neighbors.connectivities();
    begin("clusters");
    let leiden_config = LeidenConfig {
        resolution: config.resolution,
        seed: config.seed,
        ..LeidenConfig::default()
    };
    let clusters =
        leiden(&connectivities, &leiden_config)?.into_iter().map(|one| one as usize).collect();
    begin("UMAP");
    let layout = UmapConfig { seed: config.seed, ..UmapConfig::default() };
    let umap = umap(&connectivities, &pca.scores, &layout)?;
    let mut found =
        Clustered { variable, pca, neighbors, connectivities, clusters, umap, markers: Vec::new() };
    begin("markers");
    found.markers = markers(matrix, &found, config.test)?;
    Ok(found)
}

/// Rank the genes of each cluster of at least two cells; a lone cell has no spread to compare, and is left out.
fn markers(matrix: &dyn Rows, found: &Clustered, test: GroupTest) -> Result<Vec<GroupGenes>> {
    let clusters: Vec<Option<usize>> = found.clusters.iter().copied().map(Some).collect();
    let names: Vec<String> = (0..found.n_clusters()).map(|one| one.to_string()).collect();
    let (groups, names) = comparable(&clusters, &names);
    if names.len() < 2 {
        return Ok(Vec::new());
    }
    rank_genes_groups(matrix, &groups, &names, test)
}

fn no_counts() -> Error {
    Error::input(
        "highly variable genes by seurat_v3",
        "counts",
        "values that are normalised already",
        "use the flavour seurat, or name a layer that holds counts",
    )
}
