//! The knee of a curve: Kneedle (Satopaa, Albrecht, Irwin and Raghavan 2011).

use super::barcode_curve::BarcodeCurve;

/// Which knee is the threshold, where a curve has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum KneePoint {
    /// The last, as the Python package `kneed` has it with `online=True`.
    #[default]
    Last,
    /// The first, as `kneed` has it with `online=False`: for raw matrices, whose tail of empty droplets falls
    /// in steps of one count, each a knee.
    First,
}

/// Find the knee of the barcode curve: total counts that a cell has at least; `None` where the curve has no
/// knee.
///
/// A matrix without empty droplets has no knee worth the name: of PBMC3k's 2,700 cells the last takes 5 away.
pub fn knee(curve: &BarcodeCurve, which: KneePoint) -> Option<f64> {
    kneedle(&curve.ranks, &curve.totals, 1.0, which).map(|point| curve.totals[point])
}

/// Find the knee of a falling convex curve, as the index of its point.
///
/// Both axes are scaled to 0 to 1 and the curve is turned over, so that the knee is a local maximum of
/// `y - x`. A maximum counts once the difference has fallen below it by `sensitivity` mean steps of `x`, or
/// below 0 after a local minimum.
pub fn kneedle(x: &[f64], y: &[f64], sensitivity: f64, which: KneePoint) -> Option<usize> {
    let points = x.len().min(y.len());
    if points < 2 {
        return None;
    }
    let (x, y) = (scaled(&x[..points])?, scaled(&y[..points])?);
    let top = y.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let difference: Vec<f64> = x.iter().zip(&y).map(|(x, y)| (top - y) - x).collect();
    let step = ((x[points - 1] - x[0]) / (points - 1) as f64).abs();
    // At both ends a point is compared with itself and with its one neighbour.
    let is_extremum = |point: usize, holds: fn(&f64, &f64) -> bool| {
        let (before, after) = (point.saturating_sub(1), (point + 1).min(points - 1));
        let own = &difference[point];
        holds(own, &difference[before]) && holds(own, &difference[after])
    };
    let (mut maximum, mut knee, mut threshold) = (None, None, f64::NEG_INFINITY);
    for point in 0..points - 1 {
        if is_extremum(point, f64::ge) {
            threshold = difference[point] - sensitivity * step;
            maximum = Some(point);
        }
        if maximum.is_some() && is_extremum(point, f64::le) {
            threshold = 0.0;
        }
        if difference[point + 1] < threshold {
            knee = maximum;
            if which == KneePoint::First {
                break;
            }
        }
    }
    knee
}

/// The values as parts of their range; nothing where all are one.
fn scaled(values: &[f64]) -> Option<Vec<f64>> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (high > low).then(|| values.iter().map(|value| (value - low) / (high - low)).collect())
}
