//! GenePT-w (Chen and Zou 2024): a cell is the expression-weighted mean of its genes' embeddings.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::cells::{CsrMatrix, Dense};
use crate::{Error, Result};

/// Whether cell embeddings are scaled to length 1: yes in the paper, no in its authors' notebook.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalize {
    /// Scale each cell embedding to Euclidean length 1.
    #[default]
    L2,
    /// Leave the mean as it is.
    None,
}

/// What the weighted sum is divided by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Denominator {
    /// Number of all genes of the matrix, as the authors do; genes without an embedding shrink it.
    #[default]
    All,
    /// Number of genes that have an embedding.
    Matched,
    /// Sum of the expression of genes that have an embedding.
    SumExpr,
}

/// Settings of the GenePT-w baseline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GenePtConfig {
    /// Scaling of the cell embedding: `l2` or `none`.
    pub normalize: Normalize,
    /// What the weighted sum is divided by: `all`, `matched` or `sum_expr`.
    pub denominator: Denominator,
    /// Number of nearest training cells that vote on the class.
    pub neighbours: usize,
}

impl Default for GenePtConfig {
    fn default() -> Self {
        Self {
            normalize: Normalize::default(),
            denominator: Denominator::default(),
            neighbours: 10,
        }
    }
}

/// Embed cells, `[cells, dim]`: the sum over genes of expression times embedding, divided and scaled
/// as `config` says.
///
/// `matrix_log` is log1p-CP10k, `[cells, genes]`; `gene_rows` holds for each column the row of
/// `embeddings` (`[table rows, dim]`), `None` for genes without one. A cell that expresses no
/// matched gene becomes the zero vector.
///
/// # Errors
/// [`Error::Input`] if `gene_rows` fit neither the matrix nor the embeddings.
pub fn genept_w(
    matrix_log: &CsrMatrix,
    gene_rows: &[Option<u32>],
    embeddings: &Dense,
    config: &GenePtConfig,
) -> Result<Dense> {
    let matched = gene_rows.iter().flatten().count();
    let divisor = |expression: f32| match config.denominator {
        Denominator::All => matrix_log.n_cols as f32,
        Denominator::Matched => matched as f32,
        Denominator::SumExpr => expression,
    };
    weighted_sums(matrix_log, gene_rows, embeddings, |sum, expression| {
        let divisor = divisor(expression);
        if divisor != 0.0 {
            sum.iter_mut().for_each(|value| *value /= divisor);
        }
        if config.normalize == Normalize::L2 {
            scale_to_unit(sum);
        }
    })
}

/// GenePT-w of cells against the mean cell, `[cells, dim]`: the sum over genes of what stands above or below
/// the gene's mean expression, times its embedding, scaled to length 1. GenePT as published has no such
/// centring; without it every cell points almost the same way, since housekeeping genes make most of each.
///
/// `mean` is [`mean_sum`] of the cells that the mean is of, over the same genes; `matrix_log` and `gene_rows`
/// are as in [`genept_w`].
///
/// # Errors
/// [`Error::Input`] if `gene_rows` fit neither the matrix nor the embeddings.
pub fn genept_w_centred(
    matrix_log: &CsrMatrix,
    gene_rows: &[Option<u32>],
    embeddings: &Dense,
    mean: &[f32],
) -> Result<Dense> {
    weighted_sums(matrix_log, gene_rows, embeddings, |sum, _| {
        sum.iter_mut().zip(mean).for_each(|(value, mean)| *value -= mean);
        scale_to_unit(sum);
    })
}

/// The mean over cells of the sum over genes of expression times embedding, `[dim]`.
///
/// # Errors
/// As [`genept_w_centred`].
pub fn mean_sum(
    matrix_log: &CsrMatrix,
    gene_rows: &[Option<u32>],
    embeddings: &Dense,
) -> Result<Vec<f32>> {
    let sums = weighted_sums(matrix_log, gene_rows, embeddings, |_, _| {})?;
    let mut mean = vec![0f64; embeddings.n_cols];
    for sum in sums.values.chunks_exact(embeddings.n_cols.max(1)) {
        mean.iter_mut().zip(sum).for_each(|(mean, value)| *mean += f64::from(*value));
    }
    Ok(mean.into_iter().map(|sum| (sum / sums.n_rows.max(1) as f64) as f32).collect())
}

/// For each cell the sum over genes of expression times embedding, `[cells, dim]`, as `finish` leaves it, which
/// is given the cell's expression in all of them too.
fn weighted_sums(
    matrix_log: &CsrMatrix,
    gene_rows: &[Option<u32>],
    embeddings: &Dense,
    finish: impl Fn(&mut [f32], f32) + Sync,
) -> Result<Dense> {
    check_rows(matrix_log, gene_rows, embeddings)?;
    let dim = embeddings.n_cols;
    let mut values = vec![0f32; matrix_log.n_rows * dim];
    values.par_chunks_mut(dim.max(1)).enumerate().for_each(|(cell, sum)| {
        let (columns, expression) = matrix_log.row(cell);
        let mut all = 0f32;
        for (&column, &weight) in columns.iter().zip(expression) {
            if let Some(row) = gene_rows[column as usize] {
                let embedding = &embeddings.values[row as usize * dim..][..dim];
                sum.iter_mut().zip(embedding).for_each(|(sum, value)| *sum += weight * value);
                all += weight;
            }
        }
        finish(sum, all);
    });
    Ok(Dense { n_rows: matrix_log.n_rows, n_cols: dim, values })
}

/// Scale a vector to Euclidean length 1; the zero vector stays.
pub(super) fn scale_to_unit(vector: &mut [f32]) {
    let length = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
    }
}

fn check_rows(matrix: &CsrMatrix, gene_rows: &[Option<u32>], embeddings: &Dense) -> Result<()> {
    if gene_rows.len() != matrix.n_cols {
        return Err(Error::input(
            "gene rows",
            format!("one per column of the matrix ({})", matrix.n_cols),
            gene_rows.len(),
            "map the genes of this very matrix",
        ));
    }
    match gene_rows.iter().flatten().find(|row| **row as usize >= embeddings.n_rows) {
        None => Ok(()),
        Some(row) => Err(Error::input(
            "gene rows",
            format!("rows of an embedding table of {} genes", embeddings.n_rows),
            format!("row {row}"),
            "use the embedding table that the genes were matched against",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_centred_cell_is_what_stands_above_the_mean_of_each_gene() {
        let expression = [[2.0f32, 0.0, 1.0, 5.0], [0.0, 3.0, 1.0, 0.5], [1.0, 1.5, 0.0, 9.0]];
        let matrix = CsrMatrix {
            n_rows: 3,
            n_cols: 4,
            indptr: vec![0, 3, 6, 9],
            indices: vec![0, 2, 3, 1, 2, 3, 0, 1, 3],
            data: vec![2.0, 1.0, 5.0, 3.0, 1.0, 0.5, 1.0, 1.5, 9.0],
        };
        // The last column is of no gene of the table.
        let rows = [Some(1), Some(0), Some(2), None];
        let genes = [[1.0f32, 0.5], [-2.0, 0.25], [0.5, 4.0]];
        let embeddings = Dense { n_rows: 3, n_cols: 2, values: genes.concat() };
        let mean = mean_sum(&matrix, &rows, &embeddings).unwrap();
        let cells = genept_w_centred(&matrix, &rows, &embeddings, &mean).unwrap();
        for (cell, found) in expression.iter().zip(cells.values.chunks(2)) {
            let mut expected = [0f32; 2];
            for (column, row) in rows.iter().enumerate() {
                let Some(row) = row else { continue };
                let mean = expression.iter().map(|cell| cell[column]).sum::<f32>() / 3.0;
                for (sum, value) in expected.iter_mut().zip(genes[*row as usize]) {
                    *sum += (cell[column] - mean) * value;
                }
            }
            let length = expected.iter().map(|value| value * value).sum::<f32>().sqrt();
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected / length).abs() < 1e-5);
            }
        }
    }
}
