//! Which cells and genes to keep.

use super::barcode_curve::BarcodeCurve;
use super::inflection::{InflectionPoint, inflection};
use super::knee::{KneePoint, knee};
use super::qc::QcMetrics;
use crate::{Error, Result};

/// A filter that leaves a smaller part of the cells is refused unless forced.
const LEAST_PART: f64 = 0.1;

/// Which cells stay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CellFilter {
    /// Those with enough genes.
    Standard,
    /// Those with at least the total counts of the barcode curve's knee.
    Knee(KneePoint),
    /// Those with at least the total counts of an inflection of the barcode curve.
    Inflection(InflectionPoint),
}

/// How cells are filtered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FilterConfig {
    /// The filter.
    pub cells: CellFilter,
    /// Genes that a cell expresses at least.
    pub min_genes: u32,
    /// Counts of mitochondrial genes that a cell has at most, in percent.
    pub max_pct_mt: Option<f64>,
    /// Whether fewer than a tenth of the cells may stay.
    pub force: bool,
}

impl Default for FilterConfig {
    /// scanpy's usual: 200 genes.
    fn default() -> Self {
        Self { cells: CellFilter::Standard, min_genes: 200, max_pct_mt: None, force: false }
    }
}

/// What the filter keeps.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptCells {
    /// Row numbers, rising.
    pub cells: Vec<usize>,
    /// Total counts that a cell had to have, where the filter is a threshold on the barcode curve.
    pub min_counts: Option<f64>,
}

/// Keep the cells that pass the filter; scanpy's `pp.filter_cells`.
///
/// # Errors
/// [`Error::Input`] if the barcode curve has not what the filter asks for, or if no cell stays, or fewer than
/// a tenth of them without `force`.
pub fn filter_cells(metrics: &QcMetrics, config: &FilterConfig) -> Result<KeptCells> {
    let min_counts = match config.cells {
        CellFilter::Standard => None,
        CellFilter::Knee(which) => Some(knee_or_error(&metrics.total_counts, which)?),
        CellFilter::Inflection(which) => {
            Some(inflection(&BarcodeCurve::new(&metrics.total_counts)?, which)?)
        }
    };
    let stays = |&cell: &usize| {
        metrics.n_genes_by_counts[cell] >= config.min_genes
            && min_counts.is_none_or(|least| metrics.total_counts[cell] >= least)
            // A cell without counts has no such part, and stays out.
            && config.max_pct_mt.is_none_or(|most| metrics.pct_counts_mt[cell] <= most)
    };
    let all = metrics.n_genes_by_counts.len();
    let cells: Vec<usize> = (0..all).filter(stays).collect();
    let too_few = (cells.len() as f64) < LEAST_PART * all as f64;
    if cells.is_empty() || (too_few && !config.force) {
        return Err(refuse(cells.len(), all, min_counts, config));
    }
    Ok(KeptCells { cells, min_counts })
}

/// Keep the genes that at least `min_cells` cells express, as column numbers, rising; scanpy's
/// `pp.filter_genes`. `n_cells_by_counts` is counted among the cells that stay.
///
/// # Errors
/// [`Error::Input`] if no gene stays.
pub fn filter_genes(n_cells_by_counts: &[u32], min_cells: u32) -> Result<Vec<usize>> {
    let stays = |&gene: &usize| n_cells_by_counts[gene] >= min_cells;
    let genes: Vec<usize> = (0..n_cells_by_counts.len()).filter(stays).collect();
    if genes.is_empty() {
        return Err(Error::input(
            "filter_genes",
            format!("genes that at least {min_cells} cells express"),
            format!("none of {}", n_cells_by_counts.len()),
            "lower min_cells, or look at the matrix",
        ));
    }
    Ok(genes)
}

fn knee_or_error(total_counts: &[f64], which: KneePoint) -> Result<f64> {
    knee(&BarcodeCurve::new(total_counts)?, which).ok_or_else(|| {
        let found = "a barcode curve without a knee";
        Error::input("knee", "a barcode curve that bends", found, "use the standard filter")
    })
}

fn refuse(kept: usize, all: usize, min_counts: Option<f64>, config: &FilterConfig) -> Error {
    let name = match config.cells {
        CellFilter::Standard => "standard",
        CellFilter::Knee(_) => "knee",
        CellFilter::Inflection(_) => "inflection",
    };
    let mut asked = vec![format!("at least {} genes", config.min_genes)];
    asked.extend(min_counts.map(|least| format!("at least {least} counts")));
    asked.extend(config.max_pct_mt.map(|most| format!("at most {most} % mitochondrial counts")));
    Error::input(
        format!("filter {name}"),
        "a filter that leaves at least 10 % of the cells",
        format!("{kept} of {all} cells with {}", asked.join(", ")),
        match kept {
            0 => "lower the thresholds, or choose another filter",
            _ => "lower the thresholds, choose another filter, or force it",
        },
    )
}
