//! Genes of unit variance, as scanpy's `pp.scale` makes them.

use rayon::prelude::*;

use super::moments::moments;
use crate::cells::{CsrMatrix, Dense};
use crate::{Error, Result};

/// A centred and scaled matrix, with what it was centred and scaled by.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaled {
    /// The values, `[cells, genes]`.
    pub values: Dense,
    /// Mean of each gene.
    pub mean: Vec<f64>,
    /// Standard deviation of each gene (`cells - 1` below the line), 1 where it is 0.
    pub std: Vec<f64>,
}

/// Take its mean from each gene and divide by its standard deviation; where `max_value` is given, cut what is
/// further from 0 than that. The result is dense: select genes first.
///
/// # Errors
/// [`Error::Input`] if there are fewer than two cells, or `max_value` is not above 0.
pub fn scale(matrix: &CsrMatrix, max_value: Option<f64>) -> Result<Scaled> {
    if matrix.n_rows < 2 {
        return Err(Error::input("scale", "at least 2 cells", matrix.n_rows, "give more cells"));
    }
    if let Some(most) = max_value.filter(|most| most.is_nan() || *most <= 0.0) {
        return Err(Error::input("scale max_value", "a number above 0", most, "use 10"));
    }
    let (mean, variance) = moments(matrix, f64::from);
    let deviation = |variance: &f64| if *variance > 0.0 { variance.sqrt() } else { 1.0 };
    let std: Vec<f64> = variance.iter().map(deviation).collect();
    let most = max_value.unwrap_or(f64::INFINITY);
    let scaled = |gene: usize, value: f64| ((value - mean[gene]) / std[gene]).clamp(-most, most);
    let of_zero: Vec<f32> = (0..matrix.n_cols).map(|gene| scaled(gene, 0.0) as f32).collect();
    let mut values = of_zero.repeat(matrix.n_rows);
    values.par_chunks_mut(matrix.n_cols.max(1)).enumerate().for_each(|(cell, row)| {
        let (columns, entries) = matrix.row(cell);
        for (&column, &value) in columns.iter().zip(entries) {
            row[column as usize] = scaled(column as usize, f64::from(value)) as f32;
        }
    });
    let values = Dense { n_rows: matrix.n_rows, n_cols: matrix.n_cols, values };
    Ok(Scaled { values, mean, std })
}
