//! What a matrix holds: counts, log-normalised, scaled or linear values; and the choice of matrix.

use std::fmt;

use super::{Cells, CsrMatrix, Frame};
use crate::{Error, Result};

/// Names of layers that hold counts, in order of preference.
const COUNT_LAYERS: [&str; 6] = ["counts", "raw_counts", "count", "umi_counts", "umis", "raw"];
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
        let (mut whole, mut negative, mut maximum) = (true, false, 0f32);
        for row in 0..matrix.n_rows {
            let (columns, values) = matrix.row(row);
            for (&column, &value) in columns.iter().zip(values) {
                if !value.is_finite() {
                    return Err(Error::input(
                        format!("row {row}, column {column}"),
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

/// A matrix of some cells, with its genes and what it holds.
#[derive(Debug, Clone)]
pub struct Chosen<'a> {
    /// Expression, `[cells, genes]`.
    pub matrix: &'a CsrMatrix,
    /// Its genes.
    pub var: &'a Frame,
    /// What its values are.
    pub state: MatrixState,
    /// Where it lies: `X`, `raw/X`, `layers/counts`.
    pub from: String,
}

/// Choose the matrix to work on: the layer asked for; else counts, from `X`, a layer named for
/// them or `raw`; else a log-normalised or linear `X`; else `raw` where `X` is scaled or empty.
///
/// # Errors
/// If the layer does not exist, or a value of the matrix considered is not finite.
pub fn choose<'a>(cells: &'a Cells, layer: Option<&str>) -> Result<Chosen<'a>> {
    let take = |matrix: &'a CsrMatrix, var: &'a Frame, from: &str| -> Result<Chosen<'a>> {
        let state = MatrixState::detect(matrix).map_err(|error| within(from, error))?;
        Ok(Chosen { matrix, var, state, from: from.to_owned() })
    };
    match layer {
        Some("X") => return take(&cells.x, &cells.var, "X"),
        Some("raw" | "raw/X") if !cells.layers.contains_key("raw") => {
            let raw = cells.raw.as_ref().ok_or_else(|| no_layer(cells, "raw/X"))?;
            return take(&raw.x, &raw.var, "raw/X");
        }
        Some(name) => {
            let matrix = cells.layers.get(name).ok_or_else(|| no_layer(cells, name))?;
            return take(matrix, &cells.var, &format!("layers/{name}"));
        }
        None => {}
    }
    let x = take(&cells.x, &cells.var, "X")?;
    let x_is_empty = x.matrix.nnz() == 0;
    if x.state == MatrixState::Counts && !x_is_empty {
        return Ok(x);
    }
    for name in COUNT_LAYERS {
        if let Some(matrix) = cells.layers.get(name) {
            let chosen = take(matrix, &cells.var, &format!("layers/{name}"))?;
            if chosen.state == MatrixState::Counts && matrix.nnz() > 0 {
                return Ok(chosen);
            }
        }
    }
    if let Some(raw) = &cells.raw {
        let chosen = take(&raw.x, &raw.var, "raw/X")?;
        let is_counts = chosen.state == MatrixState::Counts;
        let is_log = chosen.state == MatrixState::LogNormalised;
        let x_is_log = x.state == MatrixState::LogNormalised && !x_is_empty;
        if raw.x.nnz() > 0 && (is_counts || (is_log && !x_is_log)) {
            return Ok(chosen);
        }
    }
    Ok(x)
}

/// Name the matrix in an error about one of its values.
fn within(from: &str, error: Error) -> Error {
    match error {
        Error::Input { place, expected, found, remedy } => {
            Error::Input { place: format!("{from}: {place}"), expected, found, remedy }
        }
        other => other,
    }
}

fn no_layer(cells: &Cells, name: &str) -> Error {
    let mut names = vec!["X".to_owned()];
    names.extend(cells.raw.is_some().then(|| "raw/X".to_owned()));
    names.extend(cells.layers.keys().cloned());
    Error::input(
        format!("layer {name}"),
        format!("one of [{}]", names.join(", ").replace(['\n', '\r'], " ")),
        "no such matrix",
        "name one that the file has",
    )
}

/// Scale each cell to a total of 10,000 and take `ln(1 + x)`, as scanpy's `normalize_total` and
/// `log1p` do. Log-normalised values pass unchanged: nothing is logged twice. Cells without counts
/// stay empty.
///
/// # Errors
/// If the values are scaled, which cannot be undone.
pub fn log1p_cp10k(matrix: &CsrMatrix, state: MatrixState) -> Result<CsrMatrix> {
    let mut out = matrix.clone();
    match state {
        MatrixState::LogNormalised => return Ok(out),
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
    for row in 0..out.n_rows {
        let values = &mut out.data[out.indptr[row]..out.indptr[row + 1]];
        let total: f64 = values.iter().map(|&value| f64::from(value)).sum();
        if total > 0.0 {
            for value in values {
                *value = (f64::from(*value) * TARGET_SUM / total).ln_1p() as f32;
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::Raw;

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
        let cells = Cells { x: matrix(&[f32::INFINITY, 1.]), ..Cells::default() };
        assert!(choose(&cells, None).unwrap_err().to_string().starts_with("X: row 0, column 0"));
    }

    #[test]
    fn counts_are_preferred_and_the_choice_is_named() {
        let counts = matrix(&[1., 9.]);
        let logged = log1p_cp10k(&counts, MatrixState::Counts).unwrap();
        let scaled = matrix(&[-1., 0.5]);
        let raw = |x: &CsrMatrix| Some(Raw { x: x.clone(), var: Frame::default() });
        let mut cells = Cells { x: scaled, raw: raw(&logged), ..Cells::default() };
        let chosen = choose(&cells, None).unwrap();
        assert_eq!((chosen.from.as_str(), chosen.state), ("raw/X", MatrixState::LogNormalised));
        cells.layers.insert("counts".to_owned(), counts.clone());
        assert_eq!(choose(&cells, None).unwrap().from, "layers/counts");
        assert_eq!(choose(&cells, Some("X")).unwrap().state, MatrixState::Scaled);
        assert!(choose(&cells, Some("none")).unwrap_err().to_string().contains("X, raw/X, counts"));
        cells.x = logged;
        cells.layers.clear();
        assert_eq!(choose(&cells, None).unwrap().from, "X");
        cells.raw = raw(&counts);
        assert_eq!(choose(&cells, None).unwrap().from, "raw/X");
    }
}
