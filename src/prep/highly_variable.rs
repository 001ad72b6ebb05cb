//! Highly variable genes, as scanpy's `pp.highly_variable_genes` finds them.

use super::dispersion::{normalised_cell_ranger, normalised_seurat};
use super::loess::loess;
use super::moments::{column_sums, moments};
use crate::cells::Rows;
use crate::{Error, Result};

/// Part of all genes that the trend of variance over mean is fitted to at a time.
const SPAN: f64 = 0.3;

/// By what genes are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum HvgFlavor {
    /// Dispersion of log-normalised values in bins of equal width (Satija et al. 2015).
    #[default]
    Seurat,
    /// Dispersion of log-normalised values in bins of equally many genes (Zheng et al. 2017).
    CellRanger,
    /// Variance of counts against its trend over the mean (Stuart et al. 2019).
    #[value(name = "seurat_v3")]
    SeuratV3,
}

/// Statistics of genes, one entry each; `NaN` where a gene does not vary.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HighlyVariableGenes {
    /// Mean expression: `ln(1 + mean)` of linear values for `seurat`.
    pub means: Vec<f64>,
    /// Variance by mean, its logarithm for `seurat`; for `seurat_v3` the variance, scanpy's `variances`.
    pub dispersions: Vec<f64>,
    /// `dispersions` centred and scaled within the bin of their mean; for `seurat_v3` scanpy's
    /// `variances_norm`.
    pub dispersions_norm: Vec<f64>,
    /// Whether the gene is among the chosen; more than asked for where normalised dispersions tie.
    pub highly_variable: Vec<bool>,
}

/// Choose the `n_top_genes` genes that vary most in a matrix `[cells, genes]`: log1p-normalised for `seurat`
/// and `cell_ranger`, counts for `seurat_v3`.
///
/// # Errors
/// [`Error::Input`] if there are fewer than two cells, or an entry is negative or not finite, or for
/// `seurat_v3` not whole; if rows cannot be read.
pub fn highly_variable_genes(
    matrix: &dyn Rows,
    n_top_genes: usize,
    flavor: HvgFlavor,
) -> Result<HighlyVariableGenes> {
    check(matrix, flavor)?;
    Ok(match flavor {
        HvgFlavor::Seurat => {
            // In single precision, as scanpy undoes the logarithm.
            let (means, variances) = moments(matrix, |value| f64::from(value.exp_m1()))?;
            by_dispersion(&means, &variances, n_top_genes)
        }
        HvgFlavor::CellRanger => {
            let (means, variances) = moments(matrix, f64::from)?;
            let means: Vec<f64> = means.iter().map(|mean| mean.max(MEAN_OF_NOTHING)).collect();
            let dispersions: Vec<f64> =
                variances.iter().zip(&means).map(|(variance, mean)| variance / mean).collect();
            let dispersions_norm = normalised_cell_ranger(&means, &dispersions);
            let highly_variable = top(&dispersions_norm, n_top_genes);
            HighlyVariableGenes { means, dispersions, dispersions_norm, highly_variable }
        }
        HvgFlavor::SeuratV3 => by_trend(matrix, n_top_genes)?,
    })
}

/// Stands for the mean of a gene that is nowhere expressed, so that the division is defined.
const MEAN_OF_NOTHING: f64 = 1e-12;

/// Choose genes of flavour `seurat` by mean and sample variance of each gene's linear expression.
pub(crate) fn by_dispersion(
    means: &[f64],
    variances: &[f64],
    n_top_genes: usize,
) -> HighlyVariableGenes {
    let dispersion = |(&mean, &variance): (&f64, &f64)| match variance / mean.max(MEAN_OF_NOTHING) {
        0.0 => f64::NAN,
        ratio => ratio.ln(),
    };
    let dispersions: Vec<f64> = means.iter().zip(variances).map(dispersion).collect();
    let means: Vec<f64> = means.iter().map(|mean| mean.max(MEAN_OF_NOTHING).ln_1p()).collect();
    let dispersions_norm = normalised_seurat(&means, &dispersions);
    let highly_variable = top(&dispersions_norm, n_top_genes);
    HighlyVariableGenes { means, dispersions, dispersions_norm, highly_variable }
}

/// Choose genes of flavour `seurat_v3`: by their variance after standardising by the trend, with values cut at
/// `sqrt(cells)` standard deviations.
fn by_trend(counts: &dyn Rows, n_top_genes: usize) -> Result<HighlyVariableGenes> {
    let (means, variances) = moments(counts, f64::from)?;
    let varying: Vec<usize> = (0..means.len()).filter(|&gene| variances[gene] > 0.0).collect();
    let log =
        |values: &[f64]| -> Vec<f64> { varying.iter().map(|&gene| values[gene].log10()).collect() };
    let trend = loess(&log(&means), &log(&variances), SPAN);
    // Deviation by the trend; that of a gene without variance is never used.
    let mut std = vec![1f64; means.len()];
    varying.iter().zip(trend).for_each(|(&gene, log)| std[gene] = 10f64.powf(log).sqrt());
    let cells = counts.n_rows() as f64;
    let most = |gene: usize| std[gene] * cells.sqrt() + means[gene];
    let cut = |gene: usize, value: f32| f64::from(value).min(most(gene));
    let sums = column_sums(counts, cut)?;
    let squares = column_sums(counts, |gene, value| cut(gene, value).powi(2))?;
    let normalised = |gene: usize| {
        let mean = means[gene];
        let around = cells * mean * mean + squares[gene] - 2.0 * sums[gene] * mean;
        around / ((cells - 1.0) * std[gene] * std[gene])
    };
    let variances_norm: Vec<f64> = (0..means.len()).map(normalised).collect();
    let mut order: Vec<usize> = (0..means.len()).collect();
    order.sort_by(|&a, &b| variances_norm[b].total_cmp(&variances_norm[a]));
    let mut highly_variable = vec![false; means.len()];
    order.into_iter().take(n_top_genes).for_each(|gene| highly_variable[gene] = true);
    Ok(HighlyVariableGenes {
        means,
        dispersions: variances,
        dispersions_norm: variances_norm,
        highly_variable,
    })
}

/// Mark the values that are at least the `n`-th largest; `NaN` never is.
fn top(values: &[f64], n: usize) -> Vec<bool> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    match n.min(sorted.len()).checked_sub(1) {
        None => vec![false; values.len()],
        Some(last) => values.iter().map(|&value| value >= sorted[last]).collect(),
    }
}

fn check(matrix: &dyn Rows, flavor: HvgFlavor) -> Result<()> {
    let place = "highly variable genes";
    if matrix.n_rows() < 2 {
        return Err(Error::input(place, "at least 2 cells", matrix.n_rows(), "give more cells"));
    }
    let counts = flavor == HvgFlavor::SeuratV3;
    matrix.for_each_block(&mut |block| {
        let is_wrong = |value: f32| !(value >= 0.0 && value.is_finite());
        let is_refused = |value: &f32| is_wrong(*value) || (counts && value.fract() != 0.0);
        if !block.values().iter().any(is_refused) {
            return Ok(());
        }
        for cell in 0..block.n_rows() {
            let (columns, values) = block.row(cell);
            let Some(at) = values.iter().position(is_refused) else { continue };
            let cell = block.first + cell;
            if is_wrong(values[at]) {
                let place = format!("{place}: cell {cell}, column {}", columns[at]);
                let remedy = "use log-normalised values, neither centred nor scaled";
                return Err(Error::input(place, "a finite value from 0", values[at], remedy));
            }
            let place = format!("{place} by seurat_v3: cell {cell}");
            let remedy = "use the flavour seurat, or give counts";
            return Err(Error::input(place, "counts", values[at], remedy));
        }
        Ok(())
    })
}
