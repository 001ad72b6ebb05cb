//! Genes by the coefficients of a logistic regression (Ntranos et al. 2019).

use super::{Found, Groups};
use crate::Result;
use crate::baselines::{LogisticConfig, LogisticRegression};
use crate::cells::CsrMatrix;

/// Coefficients of every gene for each group; p-values there are none.
///
/// # Errors
/// Those of [`LogisticRegression::fit`].
pub(super) fn coefficients(
    matrix: &CsrMatrix,
    groups: &Groups<'_>,
    n_groups: usize,
) -> Result<Vec<Found>> {
    let config = LogisticConfig::default();
    let model = LogisticRegression::fit(matrix, groups.of_cell, n_groups, &config)?;
    let genes = model.weights.values.chunks_exact(n_groups);
    Ok(genes.map(|gene| gene.iter().map(|&weight| (f64::from(weight), 1.0)).collect()).collect())
}
