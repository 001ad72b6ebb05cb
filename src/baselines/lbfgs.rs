//! L-BFGS (Liu and Nocedal 1989) for smooth convex functions of many variables.
//!
//! Written out because the published ones do not fit: they ask for value and gradient apart, which costs
//! the scores of all cells twice, and do their own sums on one thread, which for genes × classes takes as
//! long as the gradient.

use rayon::prelude::*;

/// Steps that are remembered.
const MEMORY: usize = 10;

/// Numbers of one task. Fixed, so that no sum depends on the number of threads.
const TASK: usize = 1 << 14;

/// Steps that one search along a line may try.
const TRIALS: usize = 30;

/// Wolfe's two conditions: how much of the promised decrease is enough, and how much of the slope may be
/// left.
const DECREASE: f64 = 1e-4;
const SLOPE: f64 = 0.9;

/// What single precision adds to a value, relatively: near the minimum a step cannot be told from this.
const NOISE: f64 = 1e-7;

/// A step, the change of the gradient along it, and `1 / (step · change)`.
struct Pair {
    step: Vec<f32>,
    change: Vec<f32>,
    inverse: f64,
}

/// Move `point` to the minimum of `value`, which writes the gradient at a point and gives the value.
///
/// Ends where `is_enough` says so of a gradient, after `max_iterations`, or where no step gets lower any
/// more. Gives the number of iterations.
pub(super) fn minimise(
    point: &mut Vec<f32>,
    max_iterations: usize,
    mut value: impl FnMut(&[f32], &mut [f32]) -> f64,
    is_enough: impl Fn(&[f32]) -> bool,
) -> usize {
    let mut gradient = vec![0f32; point.len()];
    let mut current = value(point, &mut gradient);
    let mut pairs: Vec<Pair> = Vec::new();
    for iteration in 0..max_iterations {
        if is_enough(&gradient) {
            return iteration;
        }
        let direction = direction(&gradient, &pairs);
        let slope = dot(&direction, &gradient);
        // Nothing is known of the scale before the first step.
        let first = if pairs.is_empty() { 1.0 / dot(&gradient, &gradient).sqrt() } else { 1.0 };
        let line = Line { point, direction: &direction, value: current, slope };
        let Some(found) = line.search(first, &mut value) else {
            if pairs.is_empty() {
                return iteration;
            }
            pairs.clear();
            continue;
        };
        let change = subtract(&found.gradient, &gradient);
        let step = subtract(&found.point, point);
        let product = dot(&step, &change);
        if product > 0.0 {
            if pairs.len() == MEMORY {
                pairs.remove(0);
            }
            pairs.push(Pair { step, change, inverse: 1.0 / product });
        }
        (*point, gradient, current) = (found.point, found.gradient, found.value);
    }
    max_iterations
}

/// The gradient times the remembered approximation of the inverse Hessian, downhill.
fn direction(gradient: &[f32], pairs: &[Pair]) -> Vec<f32> {
    let mut direction: Vec<f32> = gradient.par_iter().map(|slope| -slope).collect();
    let mut factors = Vec::with_capacity(pairs.len());
    for pair in pairs.iter().rev() {
        let factor = pair.inverse * dot(&pair.step, &direction);
        add(&mut direction, -factor, &pair.change);
        factors.push(factor);
    }
    if let Some(last) = pairs.last() {
        let scale = (1.0 / (last.inverse * dot(&last.change, &last.change))) as f32;
        direction.par_iter_mut().for_each(|value| *value *= scale);
    }
    for (pair, factor) in pairs.iter().zip(factors.into_iter().rev()) {
        let back = pair.inverse * dot(&pair.change, &direction);
        add(&mut direction, factor - back, &pair.step);
    }
    direction
}

struct Line<'a> {
    point: &'a [f32],
    direction: &'a [f32],
    value: f64,
    slope: f64,
}

struct Found {
    point: Vec<f32>,
    gradient: Vec<f32>,
    value: f64,
}

impl Line<'_> {
    /// Find a step that meets Wolfe's conditions by doubling and halving (Lewis and Overton 2013).
    fn search(
        &self,
        first: f64,
        value: &mut impl FnMut(&[f32], &mut [f32]) -> f64,
    ) -> Option<Found> {
        if self.slope >= 0.0 || !self.slope.is_finite() {
            return None;
        }
        let (mut low, mut high, mut length) = (0f64, f64::INFINITY, first);
        let mut gradient = vec![0f32; self.point.len()];
        for _ in 0..TRIALS {
            let mut point = self.point.to_vec();
            add(&mut point, length, self.direction);
            let found = value(&point, &mut gradient);
            let allowed = self.value + DECREASE * length * self.slope + NOISE * self.value.abs();
            if !found.is_finite() || found > allowed {
                high = length;
            } else if dot(&gradient, self.direction) < SLOPE * self.slope {
                low = length;
            } else {
                return (point != self.point).then_some(Found { point, gradient, value: found });
            }
            length = if high.is_finite() { (low + high) / 2.0 } else { 2.0 * length };
        }
        None
    }
}

/// Add `factor · other` to `sum`.
fn add(sum: &mut [f32], factor: f64, other: &[f32]) {
    sum.par_chunks_mut(TASK).zip(other.par_chunks(TASK)).for_each(|(sum, other)| {
        sum.iter_mut().zip(other).for_each(|(sum, other)| *sum += factor as f32 * other);
    });
}

fn subtract(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.par_iter().with_min_len(TASK).zip(b).map(|(a, b)| a - b).collect()
}

/// Inner product, in single precision over a few hundred numbers and in double over these.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let short = |(a, b): (&[f32], &[f32])| {
        let mut sums = [0f32; 8];
        for (a, b) in a.chunks(8).zip(b.chunks(8)) {
            sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
        }
        sums.iter().map(|&sum| f64::from(sum)).sum::<f64>()
    };
    let parts: Vec<f64> = (a.par_chunks(TASK).zip(b.par_chunks(TASK)))
        .map(|(a, b)| a.chunks(256).zip(b.chunks(256)).map(short).sum())
        .collect();
    parts.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minimum_of_a_long_valley_is_found() {
        // Σ 10^(i/20) (x_i − i)²
        let weight = |at: usize| 10f64.powf(at as f64 / 20.0);
        let value = |point: &[f32], gradient: &mut [f32]| {
            let off = |at: usize| f64::from(point[at]) - at as f64;
            for (at, slope) in gradient.iter_mut().enumerate() {
                *slope = (2.0 * weight(at) * off(at)) as f32;
            }
            (0..point.len()).map(|at| weight(at) * off(at).powi(2)).sum()
        };
        let mut point = vec![0f32; 60];
        let largest = |gradient: &[f32]| gradient.iter().fold(0f32, |a, b| a.max(b.abs()));
        let iterations = minimise(&mut point, 500, value, |gradient| largest(gradient) < 1e-3);
        assert!(iterations < 200, "{iterations}");
        for (at, found) in point.iter().enumerate() {
            assert!((found - at as f32).abs() < 1e-3, "{found} is not {at}");
        }
    }

    #[test]
    fn a_minimum_is_left_alone() {
        let mut point = vec![0f32; 3];
        let value = |point: &[f32], gradient: &mut [f32]| {
            gradient.copy_from_slice(point);
            f64::from(point.iter().map(|x| x * x).sum::<f32>() / 2.0)
        };
        assert_eq!(minimise(&mut point, 10, value, |_| false), 0);
        assert_eq!(point, [0.0; 3]);
    }
}
