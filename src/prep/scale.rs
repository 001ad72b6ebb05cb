//! Genes of unit variance, as scanpy's `pp.scale` makes them.

use rayon::prelude::*;

use super::moments::moments;
use crate::cells::{CsrMatrix, Dense};
use crate::{Error, Result};

/// Values that one thread scales at a time.
const PIECE: usize = 1 << 16;

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

/// Mean and deviation of each gene, and where its scaled values are cut.
struct Scale {
    mean: Vec<f64>,
    std: Vec<f64>,
    most: f64,
}

impl Scale {
    fn of(matrix: &CsrMatrix, max_value: Option<f64>) -> Result<Self> {
        if matrix.n_rows < 2 {
            let remedy = "give more cells";
            return Err(Error::input("scale", "at least 2 cells", matrix.n_rows, remedy));
        }
        if let Some(most) = max_value.filter(|most| most.is_nan() || *most <= 0.0) {
            return Err(Error::input("scale max_value", "a number above 0", most, "use 10"));
        }
        let (mean, variance) = moments(matrix, f64::from)?;
        let deviation = |variance: &f64| if *variance > 0.0 { variance.sqrt() } else { 1.0 };
        let std = variance.iter().map(deviation).collect();
        Ok(Self { mean, std, most: max_value.unwrap_or(f64::INFINITY) })
    }

    fn apply(&self, gene: usize, value: f64) -> f64 {
        ((value - self.mean[gene]) / self.std[gene]).clamp(-self.most, self.most)
    }
}

/// Take its mean from each gene and divide by its standard deviation; where `max_value` is given, cut what is
/// further from 0 than that. The result is dense: select genes first.
///
/// # Errors
/// [`Error::Input`] if there are fewer than two cells, or `max_value` is not above 0.
pub fn scale(matrix: &CsrMatrix, max_value: Option<f64>) -> Result<Scaled> {
    let scale = Scale::of(matrix, max_value)?;
    let of_zero: Vec<f32> = (0..matrix.n_cols).map(|gene| scale.apply(gene, 0.0) as f32).collect();
    let mut values = of_zero.repeat(matrix.n_rows);
    values.par_chunks_mut(matrix.n_cols.max(1)).enumerate().for_each(|(cell, row)| {
        let (columns, entries) = matrix.row(cell);
        for (&column, &value) in columns.iter().zip(entries) {
            row[column as usize] = scale.apply(column as usize, f64::from(value)) as f32;
        }
    });
    let values = Dense { n_rows: matrix.n_rows, n_cols: matrix.n_cols, values };
    Ok(Scaled { values, mean: scale.mean, std: scale.std })
}

/// Scale a matrix and take from each gene what its zeros became, so that it stays sparse: [`pca`](super::pca), which
/// centres each gene, finds the same in it as in what [`scale`] gives.
///
/// # Errors
/// As [`scale`].
pub fn scale_uncentred(matrix: &mut CsrMatrix, max_value: f64) -> Result<()> {
    let scale = Scale::of(matrix, Some(max_value))?;
    let of_zero: Vec<f64> = (0..matrix.n_cols).map(|gene| scale.apply(gene, 0.0)).collect();
    let columns = matrix.indices.par_chunks(PIECE);
    matrix.data.par_chunks_mut(PIECE).zip(columns).for_each(|(values, columns)| {
        for (value, &column) in values.iter_mut().zip(columns) {
            let gene = column as usize;
            *value = (scale.apply(gene, f64::from(*value)) - of_zero[gene]) as f32;
        }
    });
    Ok(())
}
