//! The barcode curve: total counts of cells, greatest first, over their rank.

use crate::{Error, Result};

/// Points that the curve is thinned to where there are at least twice as many barcodes.
const POINTS: usize = 10_000;

/// Total counts over rank; both as `f64`, since curves are fitted to them.
#[derive(Debug, Clone, PartialEq)]
pub struct BarcodeCurve {
    /// Ranks from 1, rising.
    pub ranks: Vec<f64>,
    /// Total counts at these ranks, falling.
    pub totals: Vec<f64>,
    /// Barcodes, of which every step-th is a point.
    pub barcodes: usize,
}

impl BarcodeCurve {
    /// Sort the total counts of all barcodes; from 20,000 barcodes on every `n / 10,000`-th is a point.
    ///
    /// # Errors
    /// [`Error::Input`] if a total is negative or not finite.
    pub fn new(total_counts: &[f64]) -> Result<Self> {
        if let Some(total) =
            total_counts.iter().find(|total| !(total.is_finite() && **total >= 0.0))
        {
            let remedy = "leave such cells out";
            return Err(Error::input("total_counts", "finite numbers from 0", total, remedy));
        }
        let mut totals = total_counts.to_vec();
        totals.sort_unstable_by(|a, b| b.total_cmp(a));
        let (barcodes, step) = (totals.len(), (totals.len() / POINTS).max(1));
        let ranks = (1..=barcodes).step_by(step).map(|rank| rank as f64).collect();
        let totals = totals.into_iter().step_by(step).collect();
        Ok(Self { ranks, totals, barcodes })
    }
}
