//! Highly variable rows of the embedding table, several columns of one gene added up.

use super::gene_map::GeneMap;
use super::statistics::visit_all;
use crate::cells::CsrMatrix;
use crate::prep::by_dispersion;
use crate::{Error, Result};

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
    if matrix.n_rows < 2 {
        return Err(Error::input(
            "highly variable genes",
            "at least 2 cells",
            matrix.n_rows,
            "give more training cells, or choose select = \"median_rank\"",
        ));
    }
    let (means, variances) = linear_moments(matrix, &map, &genes, table_rows)?;
    let found = by_dispersion(&means, &variances, n_top_genes);
    let chosen = genes.iter().zip(&found.highly_variable).filter(|(_, chosen)| **chosen);
    Ok(chosen.map(|(&gene, _)| gene as u32).collect())
}

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
