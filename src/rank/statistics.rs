//! What the ranking remembers of the training cells.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::config::{NoMedian, RankConfig, Select};
use super::gene_map::{Addition, GeneMap, refuse_entry};
use super::gene_weights::GeneWeights;
use super::hvg::select_highly_variable;
use super::measured::GeneSpread;
use super::type_distances::TypeDistances;
use crate::Result;
use crate::cells::CsrMatrix;

/// Median of each gene's non-zero log1p-CP10k expression over the training cells, one entry per row
/// of the embedding table; `None` where no training cell expresses the gene.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GeneMedians(pub Vec<Option<f32>>);

/// Everything that [`super::rank_cells`] needs from the training cells; saved with a checkpoint, so
/// that query cells are ranked by the same measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneStatistics {
    /// Non-zero medians, one per row of the embedding table.
    pub medians: GeneMedians,
    /// Rows of the embedding table that are highly variable, rising; only with `select = "hvg"`.
    pub highly_variable: Option<Vec<u32>>,
    /// Mean and spread of the genes that the path around the backbone reads, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<GeneSpread>,
    /// What those genes say by themselves, where that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<GeneWeights>,
    /// Where the types lie in expression, where that is asked for and can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<TypeDistances>,
}

impl GeneMedians {
    /// Measure the medians over the cells of `matrix` (log1p-CP10k, `[cells, genes]`).
    ///
    /// `gene_rows` holds the row of the embedding table (`table_rows` rows) of each column. Columns
    /// of one gene are added before the logarithm.
    ///
    /// # Errors
    /// [`crate::Error::Input`] if an entry is negative or not finite, or the rows do not fit.
    pub fn fit(matrix: &CsrMatrix, gene_rows: &[Option<u32>], table_rows: usize) -> Result<Self> {
        let map = GeneMap::new(gene_rows, matrix.n_cols, table_rows)?;
        let mut starts = vec![0usize; table_rows + 1];
        visit_all(matrix, &map, |gene, _| starts[gene as usize + 1] += 1)?;
        for gene in 0..table_rows {
            starts[gene + 1] += starts[gene];
        }
        let mut next = starts.clone();
        let mut values = vec![0f32; starts[table_rows]];
        visit_all(matrix, &map, |gene, value| {
            values[next[gene as usize]] = value;
            next[gene as usize] += 1;
        })?;
        let mut columns = Vec::with_capacity(table_rows);
        let mut rest = values.as_mut_slice();
        for gene in 0..table_rows {
            let (column, tail) = rest.split_at_mut(starts[gene + 1] - starts[gene]);
            columns.push(column);
            rest = tail;
        }
        Ok(Self(columns.into_par_iter().map(median).collect()))
    }

    /// Number of genes, which is the number of rows of the embedding table.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no genes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number to divide each gene's expression by; `None` for a gene that is dropped.
    pub fn divisors(&self, no_median: NoMedian) -> Vec<Option<f32>> {
        let divisor = |median: &Option<f32>| match (median, no_median) {
            (Some(median), _) => Some(*median),
            (None, NoMedian::One) => Some(1.0),
            (None, NoMedian::Drop) => None,
        };
        self.0.iter().map(divisor).collect()
    }
}

impl GeneStatistics {
    /// Measure the training cells: `matrix` is log1p-CP10k, `[cells, genes]`, training cells only.
    ///
    /// `gene_rows` holds the row of the embedding table (`table_rows` rows) of each column.
    ///
    /// # Errors
    /// [`crate::Error::Input`] if an entry is negative or not finite, the rows do not fit, or
    /// highly variable genes are asked of fewer than two cells.
    pub fn fit(
        matrix: &CsrMatrix,
        gene_rows: &[Option<u32>],
        table_rows: usize,
        config: &RankConfig,
    ) -> Result<Self> {
        config.validate()?;
        let medians = GeneMedians::fit(matrix, gene_rows, table_rows)?;
        let highly_variable = match config.select {
            Select::Hvg => {
                Some(select_highly_variable(matrix, gene_rows, table_rows, config.top_genes)?)
            }
            Select::MedianRank | Select::RawRank => None,
        };
        Ok(Self { medians, highly_variable, spread: None, weights: None, types: None })
    }
}

impl GeneStatistics {
    /// By what cells with the genes `gene_rows` are measured for the path around the backbone, where there is
    /// one: by the training cells, or where these had none of their genes by the cells' `own` most variable
    /// ones, at most `count`.
    ///
    /// # Errors
    /// Those of `own`.
    pub fn spread_of(
        &self,
        gene_rows: &[Option<u32>],
        count: usize,
        own: impl FnOnce() -> Result<GeneSpread>,
    ) -> Result<Option<GeneSpread>> {
        let Some(learned) = &self.spread else { return Ok(None) };
        Ok(Some(match learned.among(gene_rows) {
            Some(common) => common,
            None => own()?.most_variable(count),
        }))
    }
}

/// Call `visit(table row, value)` for every expressed gene of every cell, in order of the cells.
pub(super) fn visit_all(
    matrix: &CsrMatrix,
    map: &GeneMap,
    mut visit: impl FnMut(u32, f32),
) -> Result<()> {
    let mut slots = map.slots();
    for cell in 0..matrix.n_rows {
        map.visit(matrix.row(cell), Addition::Log1p, &mut slots, &mut visit)
            .map_err(|entry| refuse_entry("expression", cell, entry))?;
    }
    Ok(())
}

/// The median, for an even count the mean of the two in the middle, as numpy has it.
fn median(values: &mut [f32]) -> Option<f32> {
    if values.is_empty() {
        return None;
    }
    let middle = values.len() / 2;
    let odd = values.len() % 2 == 1;
    let (below, &mut upper, _) = values.select_nth_unstable_by(middle, f32::total_cmp);
    let lower = if odd { upper } else { below.iter().copied().fold(0.0, f32::max) };
    Some(((f64::from(lower) + f64::from(upper)) / 2.0) as f32)
}
