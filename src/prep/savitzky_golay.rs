//! Smoothing by local polynomials (Savitzky and Golay 1964), and slopes and peaks of what is smoothed.

/// Smooth `values` by a polynomial of degree `order` fitted to each `window` of them, an odd number; the
/// first and last half window are read from the polynomials of the first and last window. As scipy's
/// `savgol_filter`; the values themselves where there are fewer than a window.
pub fn savgol_filter(values: &[f64], window: usize, order: usize) -> Vec<f64> {
    let n = values.len();
    if n < window || window.is_multiple_of(2) || order >= window {
        return values.to_vec();
    }
    let basis = orthonormal(window, order);
    // What the fitted polynomial says at `place` of a window that begins at `from`.
    let fitted = |from: usize, weights: &[f64]| -> f64 {
        weights.iter().zip(&values[from..from + window]).map(|(weight, value)| weight * value).sum()
    };
    let weights = |place: usize| -> Vec<f64> {
        let at = |entry: usize| basis.iter().map(|q| q[entry] * q[place]).sum();
        (0..window).map(at).collect()
    };
    let half = window / 2;
    let middle = weights(half);
    let mut smooth = Vec::with_capacity(n);
    smooth.extend((0..half).map(|place| fitted(0, &weights(place))));
    smooth.extend((0..=n - window).map(|from| fitted(from, &middle)));
    smooth.extend((half + 1..window).map(|place| fitted(n - window, &weights(place))));
    smooth
}

/// Polynomials of degree 0 to `order` that are orthonormal on `window` even places.
fn orthonormal(window: usize, order: usize) -> Vec<Vec<f64>> {
    let half = (window / 2).max(1) as f64;
    let place = |entry: usize| (entry as f64 - half) / half;
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(order + 1);
    for degree in 0..=order {
        let mut next: Vec<f64> = match degree.checked_sub(1) {
            None => vec![1.0; window],
            Some(last) => (0..window).map(|entry| basis[last][entry] * place(entry)).collect(),
        };
        // Twice, so that rounding leaves nothing of the lower degrees.
        for lower in basis.iter().chain(&basis) {
            let part: f64 = lower.iter().zip(&next).map(|(a, b)| a * b).sum();
            next.iter_mut().zip(lower).for_each(|(value, lower)| *value -= part * lower);
        }
        let length = next.iter().map(|value| value * value).sum::<f64>().sqrt();
        next.iter_mut().for_each(|value| *value /= length);
        basis.push(next);
    }
    basis
}

/// The slope of `y` over uneven `x`, to second order within and to first order at both ends; as numpy's
/// `gradient`. There are at least two points.
pub(super) fn gradient(y: &[f64], x: &[f64]) -> Vec<f64> {
    let last = y.len() - 1;
    let step = |from: usize| (y[from + 1] - y[from]) / (x[from + 1] - x[from]);
    let slope = |point: usize| {
        if point == 0 || point == last {
            return step(point.min(last - 1));
        }
        let (before, after) = (x[point] - x[point - 1], x[point + 1] - x[point]);
        (step(point - 1) * after + step(point) * before) / (before + after)
    };
    (0..=last).map(slope).collect()
}

/// Peaks that stand out by at least `prominence`, rising; of a flat top its middle. As scipy's `find_peaks`.
pub fn find_peaks(values: &[f64], prominence: f64) -> Vec<usize> {
    let mut peaks = Vec::new();
    let mut left = 1;
    while left + 1 < values.len() {
        let mut right = left;
        while right + 1 < values.len() && values[right + 1] == values[left] {
            right += 1;
        }
        let rises = values[left - 1] < values[left];
        if rises && right + 1 < values.len() && values[right + 1] < values[left] {
            let peak = (left + right) / 2;
            if stands_out_by(values, peak) >= prominence {
                peaks.push(peak);
            }
        }
        left = right + 1;
    }
    peaks
}

/// The height of a peak above the higher of the two valleys that part it from higher ground.
fn stands_out_by(values: &[f64], peak: usize) -> f64 {
    let top = values[peak];
    let valley = |side: &mut dyn Iterator<Item = &f64>| {
        side.take_while(|value| **value <= top).copied().fold(top, f64::min)
    };
    let left = valley(&mut values[..peak].iter().rev());
    let right = valley(&mut values[peak + 1..].iter());
    top - left.max(right)
}
