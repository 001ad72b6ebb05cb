//! CellTypist's way to a regression (Domínguez Conde et al. 2022): a quick fit chooses genes, a full fit
//! learns from them.

use serde::{Deserialize, Serialize};

use super::design::Moments;
use super::features::{Features, check_labels};
use super::{LogisticConfig, LogisticRegression, Prediction};
use crate::cells::CsrMatrix;
use crate::{Error, Result};

const METHOD: &str = "regression on selected genes";

/// Settings of the selection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelectionConfig {
    /// Genes of largest absolute coefficient that each class contributes.
    pub top_genes: usize,
    /// Steps of the fit that ranks them.
    pub first_iterations: usize,
}

impl Default for SelectionConfig {
    fn default() -> Self {
        Self { top_genes: 300, first_iterations: 20 }
    }
}

/// Deviations above the mean at which CellTypist cuts a scaled gene off.
const CEILING: f64 = 10.0;

/// A regression on the genes that it chose.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectedRegression {
    /// Columns that were chosen, rising.
    pub genes: Vec<usize>,
    /// The fit on them.
    pub regression: LogisticRegression,
    /// Value at which each chosen gene is cut off.
    ceilings: Vec<f32>,
    n_cols: usize,
}

impl SelectedRegression {
    /// Choose genes of `matrix`, log1p-CP10k `[cells, genes]`, by a first fit of few steps: the union over
    /// the classes of those of largest absolute coefficient. Then fit to them alone.
    ///
    /// Where there are no more genes than a class may contribute all are taken. With `standardise` both fits
    /// see genes as CellTypist's do: of zero mean and unit variance, cut off at 10. CellTypist fits first by
    /// stochastic gradient descent, and one class against the rest; here both fits are of
    /// [`LogisticRegression`].
    ///
    /// # Errors
    /// As [`LogisticRegression::fit`], and if no gene is asked for.
    pub fn fit(
        matrix: &CsrMatrix,
        labels: &[usize],
        n_classes: usize,
        selection: &SelectionConfig,
        config: &LogisticConfig,
    ) -> Result<Self> {
        Features::from(matrix).check(METHOD)?;
        check_labels(METHOD, labels, matrix.n_rows, n_classes)?;
        if selection.top_genes == 0 || selection.first_iterations == 0 {
            return Err(Error::input(
                METHOD,
                "top_genes and first_iterations above 0",
                format!("{} and {}", selection.top_genes, selection.first_iterations),
                "leave the defaults",
            ));
        }
        let moments = Moments::of(matrix.into());
        let ceilings: Vec<f32> = match config.standardise {
            true => moments.means.iter().zip(&moments.variances).map(ceiling).collect(),
            false => vec![f32::INFINITY; matrix.n_cols],
        };
        let matrix = cut_off(matrix.clone(), &ceilings);
        let genes: Vec<usize> = match matrix.n_cols > selection.top_genes {
            true => choose(&matrix, &moments, labels, n_classes, selection, config)?,
            false => (0..matrix.n_cols).collect(),
        };
        let chosen = matrix.select_columns(&genes);
        let moments = Moments {
            means: genes.iter().map(|&gene| moments.means[gene]).collect(),
            variances: genes.iter().map(|&gene| moments.variances[gene]).collect(),
        };
        let rows = Features::from(&chosen);
        Ok(Self {
            regression: LogisticRegression::fit_scaled(rows, &moments, labels, n_classes, config)?,
            ceilings: genes.iter().map(|&gene| ceilings[gene]).collect(),
            n_cols: matrix.n_cols,
            genes,
        })
    }

    /// Name cells of the same genes, log1p-CP10k `[cells, genes]`.
    ///
    /// # Errors
    /// [`Error::Input`] if the genes are not as many as were learned from, or a value is not finite.
    pub fn predict(&self, matrix: &CsrMatrix) -> Result<Prediction> {
        Features::from(matrix).check_columns(METHOD, self.n_cols)?;
        self.regression.predict(&cut_off(matrix.select_columns(&self.genes), &self.ceilings))
    }
}

/// Zeros never reach it: it lies above the mean of values that are not negative.
fn ceiling((mean, variance): (&f64, &f64)) -> f32 {
    (mean + CEILING * variance.sqrt()) as f32
}

fn cut_off(mut matrix: CsrMatrix, ceilings: &[f32]) -> CsrMatrix {
    for (value, &column) in matrix.data.iter_mut().zip(&matrix.indices) {
        *value = value.min(ceilings[column as usize]);
    }
    matrix
}

fn choose(
    matrix: &CsrMatrix,
    moments: &Moments,
    labels: &[usize],
    n_classes: usize,
    selection: &SelectionConfig,
    config: &LogisticConfig,
) -> Result<Vec<usize>> {
    let first = LogisticConfig { max_iterations: selection.first_iterations, ..config.clone() };
    let rows = Features::from(matrix);
    let weights = LogisticRegression::fit_scaled(rows, moments, labels, n_classes, &first)?.weights;
    let mut is_chosen = vec![false; matrix.n_cols];
    for class in 0..n_classes {
        let size = |gene: usize| {
            let unit = if config.standardise { moments.variances[gene].sqrt() } else { 1.0 };
            (f64::from(weights.values[gene * n_classes + class]) * unit).abs()
        };
        let mut sizes: Vec<(f64, usize)> =
            (0..matrix.n_cols).map(|gene| (size(gene), gene)).filter(|one| one.0 > 0.0).collect();
        sizes.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        sizes.iter().take(selection.top_genes).for_each(|&(_, gene)| is_chosen[gene] = true);
    }
    Ok((0..matrix.n_cols).filter(|&gene| is_chosen[gene]).collect())
}
