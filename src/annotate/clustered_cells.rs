//! Cells with clusters, and the genes that mark these.

use std::path::{Path, PathBuf};

use super::ClusterMarkers;
use crate::cells::{
    Column, CsrRows, Frame, MatrixState, ROWS_TOGETHER, Rows, log1p_cp10k_in_place, select_columns,
};
use crate::io::{CellBlocks, ChosenBlocks, ReadOptions};
use crate::prep::{GroupGenes, GroupTest, comparable, rank_genes_groups};
use crate::{Error, Result};

/// Columns of `obs` that are looked for where none is named.
const USUAL: [&str; 5] = ["leiden", "louvain", "seurat_clusters", "cluster", "clusters"];

/// Cells with clusters. As [`Rows`] their log1p-normalised expression, `[cells, genes]`, which is read from the file
/// whenever it is asked for: of an h5ad a block of cells at a time, so that any number of them fits.
#[derive(Debug, Clone)]
pub struct ClusteredCells {
    /// The column of `obs` that the clusters are from.
    pub column: String,
    /// Annotations of the cells.
    pub obs: Frame,
    /// Names of the genes.
    pub genes: Vec<String>,
    /// Names of the clusters.
    pub clusters: Vec<String>,
    /// Cluster of each cell, by its place in `clusters`; `None` where the cell has none.
    pub cluster_of: Vec<Option<usize>>,
    path: PathBuf,
    matrix: ReadOptions,
    state: MatrixState,
}

impl ClusteredCells {
    /// Take the clusters from a column of `obs`, and the expression from where counts or log values lie.
    ///
    /// # Errors
    /// Those of [`CellBlocks::choose`], and no such column.
    pub fn open(path: &Path, column: Option<&str>, layer: Option<&str>) -> Result<Self> {
        let ChosenBlocks { blocks, name: matrix, state } = CellBlocks::choose(path, layer)?;
        let obs = blocks.obs().clone();
        let (name, column) = cluster_column(&obs, path, column)?;
        let texts: Vec<Option<String>> = (0..obs.len()).map(|cell| column.text(cell)).collect();
        let clusters = match column {
            // The order that the file gives them, which is numeric where scanpy wrote them.
            Column::Categorical { categories, .. } => categories.clone(),
            _ => in_order(&texts),
        };
        let place = |text: &String| clusters.iter().position(|cluster| cluster == text);
        let cluster_of: Vec<Option<usize>> =
            texts.iter().map(|text| text.as_ref().and_then(place)).collect();
        if cluster_of.iter().flatten().next().is_none() {
            let place = format!("{}: obs/{name}", path.display());
            return Err(Error::input(place, "clusters", "no entry", "name another column"));
        }
        Ok(Self {
            column: name,
            genes: blocks.var().index.clone(),
            obs,
            clusters,
            cluster_of,
            path: path.to_path_buf(),
            matrix: ReadOptions::of(&matrix),
            state,
        })
    }

    /// Number of cells of each cluster.
    pub fn sizes(&self) -> Vec<usize> {
        let mut sizes = vec![0; self.clusters.len()];
        self.cluster_of.iter().flatten().for_each(|&cluster| sizes[cluster] += 1);
        sizes
    }

    /// Rank the genes of every cluster that has two cells or more against all other cells.
    ///
    /// # Errors
    /// Those of [`rank_genes_groups`]; if the file cannot be read.
    pub fn rank(&self, test: GroupTest) -> Result<Vec<GroupGenes>> {
        let (groups, names) = comparable(&self.cluster_of, &self.clusters);
        if test == GroupTest::Logistic {
            let all: Vec<usize> = (0..self.genes.len()).collect();
            return rank_genes_groups(&select_columns(self, &all)?, &groups, &names, test);
        }
        rank_genes_groups(self, &groups, &names, test)
    }

    /// The genes of a ranking that are more expressed within, at most `most` a cluster.
    pub fn markers(&self, ranked: &[GroupGenes], most: usize) -> Vec<ClusterMarkers> {
        let of = |group: &GroupGenes| {
            let higher = group.genes.iter().zip(&group.scores).filter(|(_, score)| **score > 0.0);
            let names = higher.map(|(&gene, _)| self.genes[gene as usize].clone());
            ClusterMarkers { cluster: group.group.clone(), genes: names.take(most).collect() }
        };
        ranked.iter().map(of).collect()
    }
}

impl Rows for ClusteredCells {
    fn n_rows(&self) -> usize {
        self.obs.len()
    }

    fn n_cols(&self) -> usize {
        self.genes.len()
    }

    fn for_each_block(&self, take: &mut dyn FnMut(CsrRows<'_>) -> Result<()>) -> Result<()> {
        let mut blocks = CellBlocks::open(&self.path, &self.matrix)?;
        let mut first = 0;
        while let Some(mut block) = blocks.next_block(2 * ROWS_TOGETHER)? {
            log1p_cp10k_in_place(&mut block, self.state)?;
            take(CsrRows::of(&block, first))?;
            first += block.n_rows;
        }
        Ok(())
    }
}

fn cluster_column<'a>(
    obs: &'a Frame,
    path: &Path,
    wanted: Option<&str>,
) -> Result<(String, &'a Column)> {
    let named = match wanted {
        Some(name) => obs.column(name).map(|column| (name, column)),
        None => USUAL.into_iter().find_map(|name| Some((name, obs.column(name)?))),
    };
    named.map(|(name, column)| (name.to_owned(), column)).ok_or_else(|| {
        let columns: Vec<&str> = obs.names().collect();
        Error::input(
            format!("{}: obs", path.display()),
            wanted.map_or("a column of clusters".to_owned(), |name| format!("a column {name}")),
            format!("[{}]", columns.join(", ")).replace(['\n', '\r'], " "),
            "name one with --cluster, or make clusters with `screader cluster`",
        )
    })
}

/// Distinct texts in the order in which they come.
fn in_order(texts: &[Option<String>]) -> Vec<String> {
    let mut distinct = Vec::new();
    for text in texts.iter().flatten() {
        if !distinct.contains(text) {
            distinct.push(text.clone());
        }
    }
    distinct
}
