//! Genes by the coefficients of a logistic regression (Ntranos et al. 2019).

use super::{Found, Groups};
use crate::baselines::{LogisticConfig, LogisticRegression};
use crate::cells::{CsrMatrix, Rows};
use crate::{Error, Result};

/// Ranks are told apart by less than answers are: the fit ends nearer to its optimum than one that names cells.
const TOLERANCE: f64 = 1e-7;

/// The matrix that a regression can be fitted to.
///
/// # Errors
/// [`Error::Input`] if it is not in memory.
pub(in crate::prep) fn in_memory(matrix: &dyn Rows) -> Result<&CsrMatrix> {
    matrix.in_memory().ok_or_else(|| {
        Error::input(
            "rank_genes_groups by logistic regression",
            "values that fit into memory",
            "values on disk",
            "use wilcoxon or t-test, or allow more memory",
        )
    })
}

/// Coefficients of every gene for each group; p-values there are none. Of two groups they are the log-odds between
/// the two, as scikit-learn has them: twice the weight of either.
///
/// # Errors
/// Those of [`LogisticRegression::fit`].
pub(super) fn coefficients(matrix: &CsrMatrix, groups: &Groups<'_>) -> Result<Vec<Found>> {
    let rows: Vec<usize> =
        (0..matrix.n_rows).filter(|&cell| groups.of_cell[cell].is_some()).collect();
    let labels: Vec<usize> = groups.of_cell.iter().copied().flatten().collect();
    let n_groups = groups.sizes.len();
    let config = LogisticConfig { tolerance: TOLERANCE, ..LogisticConfig::default() };
    let model = match rows.len() < matrix.n_rows {
        true => LogisticRegression::fit(&matrix.select_rows(&rows), &labels, n_groups, &config)?,
        false => LogisticRegression::fit(matrix, &labels, n_groups, &config)?,
    };
    let factor = if n_groups == 2 { 2.0 } else { 1.0 };
    let score = |&weight: &f32| (factor * f64::from(weight), 1.0);
    let genes = model.weights.values.chunks_exact(n_groups);
    Ok(genes.map(|gene| gene.iter().map(score).collect()).collect())
}
