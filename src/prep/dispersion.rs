//! Dispersions of genes compared with those of genes of similar mean.

/// Bins of the flavour `seurat`.
const BINS: usize = 20;
/// Median absolute deviation of the standard normal distribution.
const MAD_OF_NORMAL: f64 = 0.674_489_750_196_081_7;

/// Centre and scale each dispersion by mean and standard deviation within 20 bins of means, of equal width.
/// A bin with one gene has no deviation: that gene gets 1.
pub(super) fn normalised_seurat(means: &[f64], dispersions: &[f64]) -> Vec<f64> {
    let bins = Bins { edges: equal_width(means) };
    bins.normalise(means, dispersions, |values| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        if values.len() < 2 {
            return (0.0, mean);
        }
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (mean, (squares / (values.len() - 1) as f64).sqrt())
    })
}

/// Centre and scale each dispersion by median and median absolute deviation within bins of means that end at
/// their percentiles 10, 15, … 100.
pub(super) fn normalised_cell_ranger(means: &[f64], dispersions: &[f64]) -> Vec<f64> {
    let mut sorted = means.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let percentiles = (2..=20).map(|part| percentile(&sorted, f64::from(part) * 5.0));
    let edges = [f64::NEG_INFINITY].into_iter().chain(percentiles).chain([f64::INFINITY]);
    let bins = Bins { edges: edges.collect() };
    bins.normalise(means, dispersions, |values| {
        let centre = median(values.to_vec());
        let deviations = values.iter().map(|value| (value - centre).abs()).collect();
        (centre, median(deviations) / MAD_OF_NORMAL)
    })
}

/// Bins that are closed on the right.
struct Bins {
    /// Rising; one more than there are bins.
    edges: Vec<f64>,
}

impl Bins {
    fn of(&self, value: f64) -> usize {
        self.edges.partition_point(|edge| *edge < value).saturating_sub(1)
    }

    /// Centre and scale within each bin; `centre_and_scale` sees the bin's dispersions that are numbers.
    fn normalise(
        &self,
        means: &[f64],
        dispersions: &[f64],
        centre_and_scale: impl Fn(&[f64]) -> (f64, f64),
    ) -> Vec<f64> {
        let mut members: Vec<Vec<f64>> = vec![Vec::new(); self.edges.len()];
        for (&mean, &dispersion) in means.iter().zip(dispersions) {
            if !dispersion.is_nan() {
                members[self.of(mean)].push(dispersion);
            }
        }
        let found: Vec<(f64, f64)> =
            members.iter().map(|values| centre_and_scale(values)).collect();
        let normalise = |(&mean, dispersion): (&f64, &f64)| {
            let (centre, scale) = found[self.of(mean)];
            (dispersion - centre) / scale
        };
        means.iter().zip(dispersions).map(normalise).collect()
    }
}

/// Edges as of `pandas.cut(values, bins=20)`: equal widths, the lowest moved down by a thousandth of the
/// range.
fn equal_width(values: &[f64]) -> Vec<f64> {
    let mut low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let mut high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let constant = low == high;
    if constant {
        let margin = if low == 0.0 { 0.001 } else { 0.001 * low.abs() };
        (low, high) = (low - margin, high + margin);
    }
    let step = (high - low) / BINS as f64;
    let mut edges: Vec<f64> = (0..BINS).map(|bin| bin as f64 * step + low).collect();
    edges.push(high);
    if !constant {
        edges[0] -= 0.001 * (high - low);
    }
    edges
}

/// Percentile of sorted values, between two of them on a straight line, as numpy has it.
fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = percent / 100.0 * last as f64;
    let below = (place.floor() as usize).min(last);
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    let part = place - below as f64;
    // From the nearer end, so that the last percentile is the last value.
    if part < 0.5 { low + (high - low) * part } else { high - (high - low) * (1.0 - part) }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => (values[even / 2 - 1] + values[even / 2]) / 2.0,
    }
}
