//! Local regression (Cleveland and Devlin 1988) of one number on another.

/// Part of the neighbourhood that a cell of the interpolation may hold.
const CELL: f64 = 0.2;
/// A column of the design this small beside the others says nothing new.
const DEPENDENT: f64 = 1e-10;

/// Fit `y` over `x` by local quadratics, each of the nearest `span` of all points under tricube weights, and
/// say what the fit is at each point; `NaN` where all `x` are one.
///
/// As Cleveland's `loess` with its defaults (degree 2, gaussian, interpolated): the local fit and its slope
/// are computed at vertices that part the points into cells of at most `0.2 span` of them, and between two
/// vertices the cubic with these values and slopes is taken. `span` is from 0 to 1.
pub(super) fn loess(x: &[f64], y: &[f64], span: f64) -> Vec<f64> {
    let n = x.len();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    let sorted: Vec<(f64, f64)> = order.iter().map(|&at| (x[at], y[at])).collect();
    let distinct = n > 0 && sorted[0].0 < sorted[n - 1].0;
    if !distinct {
        return vec![f64::NAN; n];
    }
    let neighbours = ((n as f64 * span + 1e-5).floor() as usize).clamp(1, n);
    let most = (n as f64 * span * CELL).floor() as usize;
    let vertices = vertices(&sorted, most);
    let fits: Vec<(f64, f64)> =
        vertices.iter().map(|&at| local_fit(&sorted, at, neighbours)).collect();
    let fitted = |value: f64| {
        let right = vertices.partition_point(|&vertex| vertex < value).clamp(1, vertices.len() - 1);
        between((vertices[right - 1], fits[right - 1]), (vertices[right], fits[right]), value)
    };
    x.iter().map(|&value| fitted(value)).collect()
}

/// Places between which is interpolated, rising: a little beyond both ends, and the middle
/// point of every cell that holds more than `most`.
fn vertices(sorted: &[(f64, f64)], most: usize) -> Vec<f64> {
    let (low, high) = (sorted[0].0, sorted[sorted.len() - 1].0);
    let margin = 0.005 * (high - low).max(1e-10 * low.abs().max(high.abs()) + 1e-30);
    let (low, high) = (low - margin, high + margin);
    let mut found = vec![low, high];
    let mut cells = vec![(0, sorted.len() - 1, low, high)];
    while let Some((first, last, low, high)) = cells.pop() {
        if last - first < most.max(1) {
            continue;
        }
        let Some(median) = last_of_median(sorted, first, last) else { continue };
        let cut = sorted[median].0;
        if cut == low || cut == high {
            continue;
        }
        found.push(cut);
        cells.push((first, median, low, cut));
        cells.push((median + 1, last, cut, high));
    }
    found.sort_by(f64::total_cmp);
    found
}

/// The point nearest the middle of a cell after which another value follows; nothing where there is none.
fn last_of_median(sorted: &[(f64, f64)], first: usize, last: usize) -> Option<usize> {
    let middle = first + (last - first) / 2;
    let parts = |point: usize| sorted[point].0 != sorted[point + 1].0;
    for offset in 0..=last - first {
        // Of two places as far from the middle the later first.
        let later = Some(middle + offset).filter(|point| *point < last);
        let before = middle.checked_sub(offset).filter(|point| *point >= first && *point < last);
        let found = [later, before].into_iter().flatten().find(|&point| parts(point));
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Value and slope at `at` of the quadratic that fits the nearest points best under tricube weights.
fn local_fit(sorted: &[(f64, f64)], at: f64, neighbours: usize) -> (f64, f64) {
    let mut first = 0;
    // The window of nearest points slides while the point after it is nearer than its first.
    while first + neighbours < sorted.len()
        && sorted[first + neighbours].0 - at < at - sorted[first].0
    {
        first += 1;
    }
    let near = &sorted[first..first + neighbours];
    let radius = (at - near[0].0).abs().max((near[neighbours - 1].0 - at).abs());
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(3);
    // Triangular: the part of each earlier column in the next, and its length.
    let mut parts = [[0f64; 3]; 3];
    let weight = |x: f64| {
        let part = ((x - at).abs() / radius).min(1.0);
        (1.0 - part * part * part).powi(3).sqrt()
    };
    let weights: Vec<f64> = near.iter().map(|&(x, _)| weight(x)).collect();
    for degree in 0..3 {
        let of = |(&(x, _), weight): (&(f64, f64), &f64)| weight * ((x - at) / radius).powi(degree);
        let mut column: Vec<f64> = near.iter().zip(&weights).map(of).collect();
        let length = norm(&column);
        for _ in 0..2 {
            for (earlier, parts) in basis.iter().zip(&mut parts) {
                let part = inner(earlier, &column);
                parts[degree as usize] += part;
                column.iter_mut().zip(earlier).for_each(|(value, q)| *value -= part * q);
            }
        }
        let left = norm(&column);
        if left <= DEPENDENT * length || left == 0.0 {
            break;
        }
        column.iter_mut().for_each(|value| *value /= left);
        parts[degree as usize][degree as usize] = left;
        basis.push(column);
    }
    let target: Vec<f64> = near.iter().zip(&weights).map(|((_, y), weight)| weight * y).collect();
    let mut coefficients = [0f64; 3];
    for row in (0..basis.len()).rev() {
        let known: f64 =
            (row + 1..basis.len()).map(|column| parts[row][column] * coefficients[column]).sum();
        coefficients[row] = (inner(&basis[row], &target) - known) / parts[row][row];
    }
    (coefficients[0], coefficients[1] / radius)
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(values: &[f64]) -> f64 {
    inner(values, values).sqrt()
}

/// The cubic through two vertices with their values and slopes (Hermite), at `x`.
fn between(left: (f64, (f64, f64)), right: (f64, (f64, f64)), x: f64) -> f64 {
    let width = right.0 - left.0;
    let h = (x - left.0) / width;
    let (to_left, to_right) = ((1.0 - h).powi(2), h * h);
    let values = to_left * (1.0 + 2.0 * h) * left.1.0 + to_right * (3.0 - 2.0 * h) * right.1.0;
    let slopes = h * to_left * left.1.1 - to_right * (1.0 - h) * right.1.1;
    values + slopes * width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quadratic_is_fitted_exactly() {
        let x: Vec<f64> = (0..400).map(|point| f64::from(point % 173) * 0.03).collect();
        let y: Vec<f64> = x.iter().map(|x| 2.0 - x + 0.5 * x * x).collect();
        for (found, wanted) in loess(&x, &y, 0.3).iter().zip(&y) {
            // A cubic between vertices with the right values and slopes is the quadratic itself.
            assert!((found - wanted).abs() < 1e-9, "{found} is not {wanted}");
        }
    }

    #[test]
    fn few_distinct_points_leave_a_number() {
        let x = [1.0, 1.0, 1.0, 2.0, 2.0, 2.0];
        assert!(loess(&x, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], 1.0).iter().all(|v| v.is_finite()));
        assert!(loess(&[1.0; 4], &[0.0; 4], 0.3).iter().all(|v| v.is_nan()));
    }
}
