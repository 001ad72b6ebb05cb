//! What a matrix holds: counts, log-normalised, scaled or linear values.

use std::fmt;

use rayon::prelude::*;

use super::CsrMatrix;
use crate::{Error, Result};

/// No logarithm of a transcript count per million reaches this: `ln(1 + 1e6)` is 13.8, and
/// `log2(1 + 1e6)`, as full-length protocols often publish, 19.9.
const LOG_MAXIMUM: f32 = 21.0;
/// Sums of `exp(x) − 1` that differ by less than this, relatively, are one total per cell.
const NEARLY_CONSTANT: f64 = 0.01;
/// The total that counts are scaled to before the logarithm.
const TARGET_SUM: f64 = 1e4;

/// What the values of a matrix are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatrixState {
    /// Whole numbers: reads or UMIs.
    Counts,
    /// `ln(1 + x)`, or another logarithm, of counts scaled to one total per cell.
    LogNormalised,
    /// Centred and scaled per gene; negative values occur, and there is no way back.
    Scaled,
    /// Not whole, not logged: TPM, counts scaled to one total, imputed counts.
    Linear,
}

impl fmt::Display for MatrixState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Counts => "counts",
            Self::LogNormalised => "log-normalised",
            Self::Scaled => "scaled",
            Self::Linear => "linear",
        })
    }
}

impl MatrixState {
    /// Tell what `matrix` `[cells, genes]` holds: whole numbers are counts; negative values make
    /// it scaled; where no value reaches 21 (`log2(1 + 1e6)` is 19.9) it is log-normalised, unless
    /// the values themselves, and not `exp(x) − 1`, sum to nearly the same in every cell, as
    /// fractions do; else linear. A matrix without values counts as counts.
    ///
    /// # Errors
    /// If a value is not finite; the line names its row and column, from 0.
    pub fn detect(matrix: &CsrMatrix) -> Result<Self> {
        Self::detect_rows(matrix, 0)
    }

    /// Tell what `matrix` holds, whose first row is row `first` of the file.
    ///
    /// # Errors
    /// As [`MatrixState::detect`].
    pub fn detect_rows(matrix: &CsrMatrix, first: usize) -> Result<Self> {
        let (mut whole, mut negative, mut maximum) = (true, false, 0f32);
        for row in 0..matrix.n_rows {
            let (columns, values) = matrix.row(row);
            for (&column, &value) in columns.iter().zip(values) {
                if !value.is_finite() {
                    return Err(Error::input(
                        format!("row {}, column {column}", first + row),
                        "a finite value",
                        value,
                        "remove such cells or genes, or replace the value",
                    ));
                }
                whole &= value.fract() == 0.0;
                negative |= value < 0.0;
                maximum = maximum.max(value);
            }
        }
        Ok(if negative {
            Self::Scaled
        } else if whole {
            Self::Counts
        } else if maximum >= LOG_MAXIMUM
            || (has_constant_sums(matrix, f64::from) && !has_constant_sums(matrix, unlogged))
        {
            Self::Linear
        } else {
            Self::LogNormalised
        })
    }
}

impl MatrixState {
    /// Whether some rows of a matrix that holds `self` may look, by themselves, like `rows`: a few
    /// logged or linear values may all be whole, or small.
    pub fn may_look_like(self, rows: Self) -> bool {
        match self {
            Self::Counts => rows == Self::Counts,
            Self::LogNormalised => matches!(rows, Self::LogNormalised | Self::Counts),
            Self::Linear => rows != Self::Scaled,
            Self::Scaled => true,
        }
    }
}

fn unlogged(value: f32) -> f64 {
    f64::from(value).exp_m1()
}

/// Whether the values, each seen through `view`, sum to nearly the same in every cell that has any.
fn has_constant_sums(matrix: &CsrMatrix, view: impl Fn(f32) -> f64) -> bool {
    let sums = (0..matrix.n_rows)
        .map(|row| matrix.row(row).1.iter().map(|&value| view(value)).sum::<f64>())
        .filter(|&sum| sum > 0.0);
    let (lowest, highest) =
        sums.fold((f64::INFINITY, 0f64), |(low, high), sum| (low.min(sum), high.max(sum)));
    highest.is_finite() && highest - lowest <= NEARLY_CONSTANT * highest
}

/// Scale each cell to a total of 10,000 and take `ln(1 + x)`, as scanpy's `normalize_total` and
/// `log1p` do. Log-normalised values pass unchanged: nothing is logged twice. Cells without counts
/// stay empty.
///
/// # Errors
/// If the values are scaled, which cannot be undone.
pub fn log1p_cp10k(matrix: &CsrMatrix, state: MatrixState) -> Result<CsrMatrix> {
    let mut out = matrix.clone();
    log1p_cp10k_in_place(&mut out, state)?;
    Ok(out)
}

/// Do as [`log1p_cp10k`] to the matrix itself.
///
/// # Errors
/// As [`log1p_cp10k`].
pub fn log1p_cp10k_in_place(matrix: &mut CsrMatrix, state: MatrixState) -> Result<()> {
    match state {
        MatrixState::LogNormalised => return Ok(()),
        MatrixState::Scaled => {
            return Err(Error::input(
                "the matrix",
                "counts, linear or log-normalised values",
                "values centred and scaled per gene",
                "name a layer or raw that holds counts or log-normalised values",
            ));
        }
        MatrixState::Counts | MatrixState::Linear => {}
    }
    let mut rest = matrix.data.as_mut_slice();
    let lengths = matrix.indptr.windows(2).map(|ends| ends[1] - ends[0]);
    let rows: Vec<&mut [f32]> = lengths
        .map(|length| {
            let (row, after) = std::mem::take(&mut rest).split_at_mut(length);
            rest = after;
            row
        })
        .collect();
    rows.into_par_iter().for_each(|values| {
        let total: f64 = values.iter().map(|&value| f64::from(value)).sum();
        if total > 0.0 {
            for value in values {
                *value = (f64::from(*value) * TARGET_SUM / total).ln_1p() as f32;
            }
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(values: &[f32]) -> CsrMatrix {
        CsrMatrix {
            n_rows: values.len() / 2,
            n_cols: 2,
            indptr: (0..=values.len() / 2).map(|row| row * 2).collect(),
            indices: values.iter().enumerate().map(|(at, _)| (at % 2) as u32).collect(),
            data: values.to_vec(),
        }
    }

    #[test]
    fn each_state_is_told() {
        let counts = matrix(&[1., 9., 20., 3000.]);
        assert_eq!(MatrixState::detect(&counts).unwrap(), MatrixState::Counts);
        let logged = log1p_cp10k(&counts, MatrixState::Counts).unwrap();
        assert_eq!(MatrixState::detect(&logged).unwrap(), MatrixState::LogNormalised);
        assert_eq!(MatrixState::detect(&matrix(&[0.5, -1.0])).unwrap(), MatrixState::Scaled);
        assert_eq!(MatrixState::detect(&matrix(&[0.5, 700.0])).unwrap(), MatrixState::Linear);
        let fractions = matrix(&[0.25, 0.75, 0.5, 0.5]);
        assert_eq!(MatrixState::detect(&fractions).unwrap(), MatrixState::Linear);
        assert_eq!(MatrixState::detect(&CsrMatrix::default()).unwrap(), MatrixState::Counts);
    }

    #[test]
    fn nothing_is_logged_twice() {
        let logged = log1p_cp10k(&matrix(&[1., 3.]), MatrixState::Counts).unwrap();
        assert_eq!(logged.data, [2500f32.ln_1p(), 7500f32.ln_1p()]);
        assert_eq!(log1p_cp10k(&logged, MatrixState::LogNormalised).unwrap(), logged);
        let refused = log1p_cp10k(&logged, MatrixState::Scaled).unwrap_err().to_string();
        assert!(refused.contains("layer or raw"), "{refused}");
    }

    #[test]
    fn a_value_that_is_not_finite_is_named() {
        let error = MatrixState::detect(&matrix(&[1., 2., 3., f32::NAN])).unwrap_err();
        assert!(error.to_string().contains("row 1, column 1"), "{error}");
    }
}
