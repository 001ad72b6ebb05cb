//! Highly variable genes by normalised dispersion (Satija et al. 2015), as scanpy's
//! `highly_variable_genes(flavor="seurat")` computes them.

use super::gene_map::GeneMap;
use super::statistics::visit_all;
use crate::cells::CsrMatrix;
use crate::{Error, Result};

/// Genes are compared with genes of similar mean, in this many bins of equal width.
const BINS: usize = 20;

/// Dispersion statistics, one entry per gene; `NaN` where a gene does not vary.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HighlyVariableGenes {
    /// `ln(1 + mean)` of the expression in linear space.
    pub means: Vec<f64>,
    /// `ln(variance / mean)` of the expression in linear space.
    pub dispersions: Vec<f64>,
    /// Dispersions centred and scaled within the bin of their mean.
    pub dispersions_norm: Vec<f64>,
    /// Whether the gene is among the chosen; more than asked for where normalised dispersions tie.
    pub highly_variable: Vec<bool>,
}

/// Find the `n_top_genes` columns of largest normalised dispersion in a log1p-normalised matrix,
/// `[cells, genes]`.
///
/// # Errors
/// [`Error::Input`] if there are fewer than two cells, or an entry is negative or not finite.
pub fn highly_variable_genes(
    matrix: &CsrMatrix,
    n_top_genes: usize,
) -> Result<HighlyVariableGenes> {
    let columns: Vec<Option<u32>> = (0..matrix.n_cols as u32).map(Some).collect();
    let genes: Vec<usize> = (0..matrix.n_cols).collect();
    let map = GeneMap::new(&columns, matrix.n_cols, matrix.n_cols)?;
    dispersions(matrix, &map, &genes, matrix.n_cols, n_top_genes)
}

/// Find the highly variable rows of the embedding table, rising; rows that no column of the matrix
/// has take no part in the comparison.
pub(super) fn select_highly_variable(
    matrix: &CsrMatrix,
    gene_rows: &[Option<u32>],
    table_rows: usize,
    n_top_genes: usize,
) -> Result<Vec<u32>> {
    let map = GeneMap::new(gene_rows, matrix.n_cols, table_rows)?;
    let mut genes: Vec<usize> = gene_rows.iter().flatten().map(|&row| row as usize).collect();
    genes.sort_unstable();
    genes.dedup();
    let found = dispersions(matrix, &map, &genes, table_rows, n_top_genes)?;
    let chosen = genes.iter().zip(&found.highly_variable).filter(|(_, chosen)| **chosen);
    Ok(chosen.map(|(&gene, _)| gene as u32).collect())
}

fn dispersions(
    matrix: &CsrMatrix,
    map: &GeneMap,
    genes: &[usize],
    table_rows: usize,
    n_top_genes: usize,
) -> Result<HighlyVariableGenes> {
    if matrix.n_rows < 2 {
        return Err(Error::input(
            "highly variable genes",
            "at least 2 cells",
            matrix.n_rows,
            "give more training cells, or choose select = \"median_rank\"",
        ));
    }
    let (means, variances) = linear_moments(matrix, map, genes, table_rows)?;
    let dispersion = |(&mean, &variance): (&f64, &f64)| match variance / mean.max(MEAN_OF_NOTHING) {
        0.0 => f64::NAN,
        ratio => ratio.ln(),
    };
    let dispersions: Vec<f64> = means.iter().zip(&variances).map(dispersion).collect();
    let means: Vec<f64> = means.iter().map(|mean| mean.max(MEAN_OF_NOTHING).ln_1p()).collect();
    let bins = equal_width_bins(&means);
    let dispersions_norm = normalise_in_bins(&dispersions, &bins);
    let highly_variable = top(&dispersions_norm, n_top_genes);
    Ok(HighlyVariableGenes { means, dispersions, dispersions_norm, highly_variable })
}

/// Stands for the mean of a gene that is nowhere expressed, so that the division is defined.
const MEAN_OF_NOTHING: f64 = 1e-12;

/// Mean and sample variance (n - 1) of `exp(x) - 1` of each gene, in two passes.
fn linear_moments(
    matrix: &CsrMatrix,
    map: &GeneMap,
    genes: &[usize],
    table_rows: usize,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let cells = matrix.n_rows as f64;
    let mut means = vec![0f64; table_rows];
    let mut expressing = vec![0usize; table_rows];
    visit_all(matrix, map, |gene, value| {
        means[gene as usize] += f64::from(value.exp_m1());
        expressing[gene as usize] += 1;
    })?;
    means.iter_mut().for_each(|sum| *sum /= cells);
    let mut squares: Vec<f64> = (means.iter().zip(&expressing))
        .map(|(mean, &expressing)| (matrix.n_rows - expressing) as f64 * mean * mean)
        .collect();
    visit_all(matrix, map, |gene, value| {
        let difference = f64::from(value.exp_m1()) - means[gene as usize];
        squares[gene as usize] += difference * difference;
    })?;
    let of_genes = |values: &[f64]| genes.iter().map(|&gene| values[gene]).collect::<Vec<f64>>();
    let variances = of_genes(&squares).iter().map(|sum| sum / (cells - 1.0)).collect();
    Ok((of_genes(&means), variances))
}

/// The bin of each value, as `pandas.cut(values, bins=20)`: equal widths, closed on the right, the
/// lowest edge moved down by a thousandth of the range.
fn equal_width_bins(values: &[f64]) -> Vec<usize> {
    let mut low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let mut high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let constant = low == high;
    if constant {
        let margin = if low == 0.0 { 0.001 } else { 0.001 * low.abs() };
        (low, high) = (low - margin, high + margin);
    }
    let step = (high - low) / BINS as f64;
    let mut edges: Vec<f64> = (0..BINS).map(|bin| bin as f64 * step + low).collect();
    edges.push(high);
    if !constant {
        edges[0] -= 0.001 * (high - low);
    }
    let bin = |value: &f64| edges.partition_point(|edge| edge < value).saturating_sub(1);
    values.iter().map(bin).collect()
}

/// Centre and scale within each bin. A bin with one gene has no deviation: that gene gets 1.
fn normalise_in_bins(dispersions: &[f64], bins: &[usize]) -> Vec<f64> {
    let mut members: Vec<Vec<f64>> = vec![Vec::new(); BINS];
    for (&dispersion, &bin) in dispersions.iter().zip(bins) {
        if !dispersion.is_nan() {
            members[bin].push(dispersion);
        }
    }
    let centre_and_scale: Vec<(f64, f64)> = members.iter().map(|values| moments(values)).collect();
    let normalise = |(dispersion, &bin): (&f64, &usize)| {
        let (centre, scale) = centre_and_scale[bin];
        (dispersion - centre) / scale
    };
    dispersions.iter().zip(bins).map(normalise).collect()
}

fn moments(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    if values.len() < 2 {
        return (0.0, mean);
    }
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (values.len() - 1) as f64).sqrt())
}

/// Mark the values that are at least the `n`-th largest; `NaN` never is.
fn top(values: &[f64], n: usize) -> Vec<bool> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    match n.min(sorted.len()).checked_sub(1) {
        None => vec![false; values.len()],
        Some(last) => values.iter().map(|&value| value >= sorted[last]).collect(),
    }
}
