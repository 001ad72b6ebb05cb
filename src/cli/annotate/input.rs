//! Which clusters are named, and what is known of their tissue.

use std::path::PathBuf;

use clap::Args;

use crate::Result;
use crate::annotate::{
    Catalogue, ClusterMarkers, ClusteredCells, GENES_OF_A_GENOME, read_marker_table,
};
use crate::genes::{Species, is_mitochondrial, is_ribosomal_protein};
use crate::prep::GroupTest;

/// So many genes that are left out may stand before those that stay: a cell has 80 ribosomal proteins with a few
/// pseudogenes, and 13 proteins of mitochondria.
const LEFT_OUT: usize = 200;

#[derive(Debug, Args)]
pub(in crate::cli) struct InputArgs {
    /// Cells with clusters (h5ad), or a table of markers (csv).
    #[arg(value_name = "FILE")]
    pub(in crate::cli) data: PathBuf,
    /// Tissue of the cells, as a word: PBMC, pancreas, kidney.
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(in crate::cli) tissue: String,
    /// Species of the cells: which rows of a marker table count.
    #[arg(long, value_enum)]
    species: Option<Species>,
    /// Column of obs with the clusters [default: leiden, louvain, seurat_clusters, cluster].
    #[arg(long, value_name = "COLUMN")]
    cluster: Option<String>,
    /// Matrix to read: X, raw/X or the name of a layer; without it screader chooses and says.
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    /// Take genes of ribosomal proteins and of mitochondria as markers too. They tell how busy a cell is, seldom what it
    /// is, and are left out.
    #[arg(long)]
    all_genes: bool,
    /// Test that ranks the markers of cells.
    #[arg(long, value_enum, default_value_t = GroupTest::Wilcoxon)]
    test: GroupTest,
    /// Table of known markers: PanglaoDB, CellMarker, ScType, Marker Accordion, Azimuth, or cell_type,gene; may be
    /// repeated.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) marker_table: Vec<PathBuf>,
}

/// What is named: clusters with markers, and their cells where there are any.
pub(in crate::cli) struct Input {
    pub(in crate::cli) cells: Option<ClusteredCells>,
    pub(in crate::cli) clusters: Vec<ClusterMarkers>,
    /// Genes that would be markers, were they not of ribosomal proteins or mitochondria.
    left_out: usize,
}

impl InputArgs {
    /// Read the clusters, each with at most so many markers.
    pub(in crate::cli) fn read(&self, most: usize) -> Result<Input> {
        if self.all_genes {
            return self.read_all(most);
        }
        let mut input = self.read_all(most + LEFT_OUT)?;
        let is_telling = |gene: &String| !is_mitochondrial(gene) && !is_ribosomal_protein(gene);
        for cluster in &mut input.clusters {
            let first = cluster.genes.iter().take(most);
            input.left_out += first.filter(|gene| !is_telling(gene)).count();
            cluster.genes.retain(is_telling);
            cluster.genes.truncate(most);
        }
        Ok(input)
    }

    /// Read the clusters, each with at most so many markers of any kind.
    fn read_all(&self, most: usize) -> Result<Input> {
        let name = self.data.to_string_lossy().to_lowercase();
        if [".csv", ".tsv", ".txt"].iter().any(|end| name.ends_with(end)) && self.data.is_file() {
            let clusters = read_marker_table(&self.data, most)?;
            return Ok(Input { cells: None, clusters, left_out: 0 });
        }
        let (column, layer) = (self.cluster.as_deref(), self.layer.as_deref());
        let cells = ClusteredCells::open(&self.data, column, layer)?;
        let unclustered = cells.cluster_of.iter().filter(|one| one.is_none()).count();
        if unclustered > 0 {
            eprintln!("          {unclustered} cells without a cluster are left out");
        }
        let clusters = cells.markers(&cells.rank(self.test)?, most);
        Ok(Input { cells: Some(cells), clusters, left_out: 0 })
    }

    /// Read the tables of known markers, of the species and the tissue.
    pub(in crate::cli) fn catalogue(&self) -> Result<Catalogue> {
        Catalogue::read(&self.marker_table, self.species, &self.tissue)
    }
}

impl Input {
    /// Where the clusters come from, as `obs/leiden`.
    pub(in crate::cli) fn from(&self) -> String {
        let column = self.cells.as_ref().map(|cells| format!("obs/{}", cells.column));
        column.unwrap_or_else(|| "a table of markers".to_owned())
    }

    /// What the reader of the results should know.
    pub(in crate::cli) fn notes(&self) -> Vec<String> {
        let what = "genes of ribosomal proteins or mitochondria are left out of the markers; --all-genes keeps them";
        (self.left_out > 0).then(|| format!("{} {what}", self.left_out)).into_iter().collect()
    }

    /// Number of genes that markers were found among.
    pub(in crate::cli) fn n_genes(&self) -> usize {
        self.cells.as_ref().map_or(GENES_OF_A_GENOME, |cells| cells.genes.len())
    }
}
