//! What a classifier may learn from: cells by genes, sparse, or cells by dimensions, dense.

use crate::cells::{CsrMatrix, Dense};
use crate::{Error, Result};

/// Rows to learn from or to name, sparse or dense; made from a reference to either.
#[derive(Debug, Clone, Copy)]
pub enum Features<'a> {
    /// `[cells, genes]`.
    Sparse(&'a CsrMatrix),
    /// `[cells, dim]`.
    Dense(&'a Dense),
}

impl<'a> From<&'a CsrMatrix> for Features<'a> {
    fn from(matrix: &'a CsrMatrix) -> Self {
        Self::Sparse(matrix)
    }
}

impl<'a> From<&'a Dense> for Features<'a> {
    fn from(matrix: &'a Dense) -> Self {
        Self::Dense(matrix)
    }
}

impl Features<'_> {
    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        match self {
            Self::Sparse(matrix) => matrix.n_rows,
            Self::Dense(matrix) => matrix.n_rows,
        }
    }

    /// Number of columns.
    pub fn n_cols(&self) -> usize {
        match self {
            Self::Sparse(matrix) => matrix.n_cols,
            Self::Dense(matrix) => matrix.n_cols,
        }
    }

    /// Refuse values that are not finite, no columns at all, and slices that are not of the shape.
    pub(super) fn check(&self, method: &str) -> Result<()> {
        let (values, fits) = match self {
            Self::Sparse(matrix) => (&matrix.data, has_shape(matrix)),
            Self::Dense(dense) => {
                (&dense.values, dense.values.len() == dense.n_rows * dense.n_cols)
            }
        };
        if !fits || self.n_cols() == 0 {
            return Err(Error::input(
                method,
                format!("a matrix of {} x {} values, not 0", self.n_rows(), self.n_cols()),
                "other parts",
                "give a matrix whose rows and columns are whole",
            ));
        }
        match values.iter().find(|value| !value.is_finite()) {
            None => Ok(()),
            Some(value) => Err(Error::input(
                method,
                "finite values",
                value,
                "remove such cells or genes, or replace the value",
            )),
        }
    }

    /// Refuse rows of other columns than a model learned from.
    pub(super) fn check_columns(&self, method: &str, learned: usize) -> Result<()> {
        if self.n_cols() == learned {
            return self.check(method);
        }
        Err(Error::input(
            method,
            format!("the {learned} columns that were learned from"),
            self.n_cols(),
            "give the same columns in the same order",
        ))
    }
}

fn has_shape(matrix: &CsrMatrix) -> bool {
    matrix.indptr.len() == matrix.n_rows + 1
        && matrix.indptr.is_sorted()
        && matrix.indptr[matrix.n_rows] == matrix.data.len()
        && matrix.indices.len() == matrix.data.len()
        && matrix.indices.iter().all(|&column| (column as usize) < matrix.n_cols)
}

/// Refuse labels that are not one for each of `n_cells` cells, below `n_classes`, of at least one cell.
pub(super) fn check_labels(
    method: &str,
    labels: &[usize],
    n_cells: usize,
    n_classes: usize,
) -> Result<()> {
    if labels.len() != n_cells || labels.is_empty() {
        return Err(Error::input(
            method,
            format!("a label for each of {n_cells} training cells, at least 1"),
            labels.len(),
            "give training cells, and leave those without a label out",
        ));
    }
    match labels.iter().find(|label| **label >= n_classes) {
        None => Ok(()),
        Some(label) => Err(Error::input(
            method,
            format!("labels below {n_classes}"),
            label,
            "count the classes of all labels",
        )),
    }
}

/// Classes that occur, rising: others cannot be learned. Refuses fewer than two.
pub(super) fn occurring_classes(method: &str, labels: &[usize]) -> Result<Vec<usize>> {
    let mut occurring = labels.to_vec();
    occurring.sort_unstable();
    occurring.dedup();
    if occurring.len() < 2 {
        return Err(Error::input(
            method,
            "training cells of at least 2 classes",
            "only 1",
            "give cells of other classes, or say this one of every cell",
        ));
    }
    Ok(occurring)
}
