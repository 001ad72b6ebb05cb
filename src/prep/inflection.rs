//! Inflections of the barcode curve, on both axes logarithmic.

use super::barcode_curve::BarcodeCurve;
use super::savitzky_golay::{find_peaks, gradient, savgol_filter};
use crate::{Error, Result};

/// Points that a polynomial is fitted to.
const WINDOW: usize = 101;
/// Degree of the polynomial.
const ORDER: usize = 3;
/// How much the slope has to change for a turn to count.
const PROMINENCE: f64 = 0.05;

/// How far around an inflection its steepness is read, as a factor of its rank: wide enough that the steps of
/// a few counts, at which the tail of empty droplets falls, are not steep.
const AROUND: f64 = 1.1;

/// Which inflection is the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum InflectionPoint {
    /// Where the curve falls most steeply: between cells and empty droplets.
    #[default]
    Steepest,
    /// The first, at the top of the curve; of PBMC3k's 2,700 cells it leaves 19.
    First,
    /// The last, at the curve's end.
    Last,
}

/// A turn of the slope.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Inflection {
    /// Rank of the barcode, from 1.
    pub rank: f64,
    /// Its total counts.
    pub total: f64,
    /// Slope of `log10(total + 1)` over `log10(rank)`, smoothed.
    pub slope: f64,
    /// The same slope, not smoothed, from the rank divided by 1.1 to the rank times 1.1.
    pub steepness: f64,
}

/// Find the inflections of the barcode curve, the greatest totals first: places where the slope of
/// `log10(total + 1)` over `log10(rank)` turns by at least 0.05.
///
/// The curve and its slope are both smoothed by cubics over 101 points (Savitzky and Golay).
///
/// # Errors
/// [`Error::Input`] if there are fewer than 101 barcodes.
pub fn inflections(curve: &BarcodeCurve) -> Result<Vec<Inflection>> {
    if curve.ranks.len() < WINDOW {
        return Err(Error::input(
            "inflection",
            format!("at least {WINDOW} barcodes"),
            curve.ranks.len(),
            "use the standard filter",
        ));
    }
    let x: Vec<f64> = curve.ranks.iter().map(|rank| rank.log10()).collect();
    let y: Vec<f64> = curve.totals.iter().map(|total| (total + 1.0).log10()).collect();
    let slope = gradient(&savgol_filter(&y, WINDOW, ORDER), &x);
    let slope = savgol_filter(&slope, WINDOW, ORDER);
    let fall: Vec<f64> = slope.iter().map(|slope| -slope).collect();
    let mut points = find_peaks(&fall, PROMINENCE);
    points.extend(find_peaks(&slope, PROMINENCE));
    points.sort_unstable();
    let inflection = |point: usize| Inflection {
        rank: curve.ranks[point],
        total: curve.totals[point],
        slope: slope[point],
        steepness: secant(&x, &y, point),
    };
    Ok(points.into_iter().map(inflection).collect())
}

/// The slope of a straight line around a point, over a tenth of its rank to both sides; 0 where no other point
/// is as near.
fn secant(x: &[f64], y: &[f64], point: usize) -> f64 {
    let room = AROUND.log10();
    let from = x.partition_point(|&other| other < x[point] - room);
    let to = x.partition_point(|&other| other <= x[point] + room) - 1;
    if from == to { 0.0 } else { (y[to] - y[from]) / (x[to] - x[from]) }
}

/// Find the total counts that a cell has at least: those of an inflection.
///
/// # Errors
/// [`Error::Input`] if there are fewer than 101 barcodes, or the curve has no inflection.
pub fn inflection(curve: &BarcodeCurve, which: InflectionPoint) -> Result<f64> {
    let points = inflections(curve)?;
    let found = match which {
        InflectionPoint::First => points.first(),
        InflectionPoint::Last => points.last(),
        InflectionPoint::Steepest => {
            points.iter().min_by(|a, b| a.steepness.total_cmp(&b.steepness))
        }
    };
    found.map(|point| point.total).ok_or_else(|| {
        Error::input(
            "inflection",
            "a barcode curve that turns",
            "a curve without inflections",
            "use the standard filter",
        )
    })
}
