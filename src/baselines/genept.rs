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
    check_rows(matrix_log, gene_rows, embeddings)?;
    let dim = embeddings.n_cols;
    let matched = gene_rows.iter().flatten().count();
    let mut values = vec![0f32; matrix_log.n_rows * dim];
    values.par_chunks_mut(dim.max(1)).enumerate().for_each(|(cell, sum)| {
        let (columns, expression) = matrix_log.row(cell);
        let mut weights = 0f32;
        for (&column, &weight) in columns.iter().zip(expression) {
            if let Some(row) = gene_rows[column as usize] {
                let embedding = &embeddings.values[row as usize * dim..][..dim];
                sum.iter_mut().zip(embedding).for_each(|(sum, value)| *sum += weight * value);
                weights += weight;
            }
        }
        let divisor = match config.denominator {
            Denominator::All => matrix_log.n_cols as f32,
            Denominator::Matched => matched as f32,
            Denominator::SumExpr => weights,
        };
        if divisor != 0.0 {
            sum.iter_mut().for_each(|value| *value /= divisor);
        }
        if config.normalize == Normalize::L2 {
            scale_to_unit(sum);
        }
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
