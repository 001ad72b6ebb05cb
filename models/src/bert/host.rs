//! Element-wise steps of the encoder on the CPU, in place and for the CPU's own vector width.
//!
//! burn's CPU backend takes the error function and the exponential from scalar code, which costs as
//! much as the matrix products beside it; here both are polynomials that the compiler vectorises.
//! Every function has its plain twin among burn's operations, against which the tests hold it.

use std::any::TypeId;

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn_flex::Flex;
use pulp::{Arch, NullaryFnOnce};

/// Values summed side by side, the width of the widest registers.
const LANES: usize = 16;

/// Whether the backend computes on the CPU, in memory that this module can reach.
pub(super) fn is_host<B: Backend>() -> bool {
    TypeId::of::<B>() == TypeId::of::<Flex>()
}

/// One change of the values of a tensor, row by row.
pub(super) enum Step<'a> {
    /// [`add_bias`].
    Bias(&'a [f32]),
    /// [`add_bias_gelu`].
    BiasGelu(&'a [f32]),
    /// [`normalise`] with scale, shift and epsilon.
    Normalise(&'a [f32], &'a [f32], f32),
    /// [`add_bias`] and [`add`] of the residual.
    BiasResidual(&'a [f32], &'a [f32]),
    /// [`masked_softmax`] with its width, rows and kept lengths.
    Softmax(usize, usize, &'a [usize]),
}

struct Run<'a> {
    values: &'a mut [f32],
    step: Step<'a>,
}

// A type of its own rather than a closure: only what is inlined into the dispatch is compiled for
// the wide registers, and a closure is not inlined for certain.
impl NullaryFnOnce for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        match self.step {
            Step::Bias(bias) => add_bias(self.values, bias),
            Step::BiasGelu(bias) => add_bias_gelu(self.values, bias),
            Step::Normalise(scale, shift, epsilon) => {
                normalise(self.values, scale, shift, epsilon);
            }
            Step::BiasResidual(bias, residual) => {
                add_bias(self.values, bias);
                add(self.values, residual);
            }
            Step::Softmax(width, rows, kept) => masked_softmax(self.values, width, rows, kept),
        }
    }
}

/// Change the values of a tensor where they lie. Only for the backend of [`is_host`], on which
/// nothing is copied as long as the tensor is not shared.
pub(super) fn in_place<B: Backend, const D: usize>(
    tensor: Tensor<B, D>,
    step: Step<'_>,
) -> Tensor<B, D> {
    let device = tensor.device();
    let mut data = tensor.into_data().convert::<f32>();
    // Cannot fail after the conversion, which does nothing to the f32 of the CPU backend.
    if let Ok(values) = data.as_mut_slice::<f32>() {
        Arch::new().dispatch(Run { values, step });
    }
    Tensor::from_data(data, &device)
}

/// Add `bias` to every row.
#[inline(always)]
fn add_bias(values: &mut [f32], bias: &[f32]) {
    for row in values.chunks_exact_mut(bias.len()) {
        for (value, &bias) in row.iter_mut().zip(bias) {
            *value += bias;
        }
    }
}

/// Add `bias` to every row and apply the exact GELU, `x/2 (1 + erf(x/√2))`
/// (Hendrycks & Gimpel 2016, arXiv:1606.08415).
#[inline(always)]
fn add_bias_gelu(values: &mut [f32], bias: &[f32]) {
    for row in values.chunks_exact_mut(bias.len()) {
        for (value, &bias) in row.iter_mut().zip(bias) {
            let x = *value + bias;
            *value = 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2));
        }
    }
}

/// Add the values of another tensor of the same shape.
#[inline(always)]
fn add(values: &mut [f32], others: &[f32]) {
    for (value, &other) in values.iter_mut().zip(others) {
        *value += other;
    }
}

/// Normalise every row to mean 0 and variance 1 and apply `scale` and `shift`
/// (Ba et al. 2016, arXiv:1607.06450).
#[inline(always)]
fn normalise(values: &mut [f32], scale: &[f32], shift: &[f32], epsilon: f32) {
    for row in values.chunks_exact_mut(scale.len()) {
        let count = row.len() as f32;
        let mean = sum(row, |value| value) / count;
        let variance = sum(row, |value| (value - mean) * (value - mean)) / count;
        let factor = 1.0 / (variance + epsilon).sqrt();
        for ((value, &scale), &shift) in row.iter_mut().zip(scale).zip(shift) {
            *value = (*value - mean) * factor * scale + shift;
        }
    }
}

/// Softmax over the first `kept` values of every row of `width`; the others become 0. `kept` has
/// one length for each block of `rows` rows.
#[inline(always)]
fn masked_softmax(values: &mut [f32], width: usize, rows: usize, kept: &[usize]) {
    for (block, &kept) in values.chunks_exact_mut(rows * width).zip(kept) {
        for row in block.chunks_exact_mut(width) {
            let (row, padding) = row.split_at_mut(kept);
            softmax(row);
            padding.fill(0.0);
        }
    }
}

#[inline(always)]
fn softmax(row: &mut [f32]) {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let mut chunks = row.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = if value > *lane { value } else { *lane };
        }
    }
    let rest = chunks.remainder().iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let maximum = lanes.into_iter().fold(rest, f32::max);
    for value in row.iter_mut() {
        *value = exp_of_negative(*value - maximum);
    }
    let factor = 1.0 / sum(row, |value| value);
    for value in row.iter_mut() {
        *value *= factor;
    }
}

#[inline(always)]
fn sum(row: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let mut chunks = row.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += term(value);
        }
    }
    let rest: f32 = chunks.remainder().iter().map(|&value| term(value)).sum();
    lanes.iter().sum::<f32>() + rest
}

/// The error function within 3e-7: the rational approximation of degrees 13 and 8 that Eigen and
/// XLA use, which reaches ±1 at ±4.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let square = x * x;
    let mut top = -2.726_142_3e-10_f32;
    for coefficient in [
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_3e-5,
        -7.349_906_4e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ] {
        top = top * square + coefficient;
    }
    let mut bottom = -1.456_607_2e-5_f32;
    for coefficient in [-2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2] {
        bottom = bottom * square + coefficient;
    }
    x * top / bottom
}

/// `exp(x)` for `x <= 0` within 2 units in the last place, 0 below the smallest normal number:
/// `2^n e^r` with `|r| <= ln 2 / 2` and the polynomial of Cephes' `expf`.
#[inline(always)]
fn exp_of_negative(x: f32) -> f32 {
    // Adding and taking away 1.5 * 2^23 rounds to the nearest whole number.
    const ROUND: f32 = 12_582_912.0;
    let clamped = if x > -87.0 { x } else { -87.0 };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, the first exact in few bits.
    let r = (clamped - n * 0.693_359_4) - n * -2.121_944_4e-4;
    let mut polynomial = 1.987_569_2e-4_f32;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        polynomial = polynomial * r + coefficient;
    }
    let mantissa = polynomial * r * r + r + 1.0;
    let exponent = (shifted.to_bits() << 23).wrapping_add(127 << 23);
    if x > -87.0 { mantissa * f32::from_bits(exponent) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use burn::tensor::activation;

    use super::*;

    fn ramp(rows: usize, width: usize) -> Tensor<Flex, 2> {
        let count = (rows * width) as f32;
        let values: Vec<f32> = (0..rows * width)
            .map(|at| ((at * 7919) % (rows * width)) as f32 / count * 16.0 - 8.0)
            .collect();
        Tensor::<Flex, 1>::from_floats(values.as_slice(), &Default::default())
            .reshape([rows, width])
    }

    fn largest_difference(a: Tensor<Flex, 2>, b: Tensor<Flex, 2>) -> f32 {
        (a - b).abs().max().into_scalar()
    }

    #[test]
    fn gelu_is_the_exact_one() {
        let x = ramp(64, 333);
        let ours = in_place(x.clone(), Step::BiasGelu(&[0.25; 333]));
        assert!(largest_difference(ours, activation::gelu(x + 0.25)) < 2e-6);
    }

    #[test]
    fn softmax_over_the_kept_values_is_burns() {
        let x = ramp(24, 67) * 10.0;
        let ours = in_place(x.clone(), Step::Softmax(67, 12, &[67, 41]));
        let whole = activation::softmax(x.clone().slice([0..12, 0..67]), 1);
        let part = activation::softmax(x.slice([12..24, 0..41]), 1);
        assert!(largest_difference(ours.clone().slice([0..12, 0..67]), whole) < 1e-6);
        assert!(largest_difference(ours.clone().slice([12..24, 0..41]), part) < 1e-6);
        assert_eq!(ours.slice([12..24, 41..67]).abs().max().into_scalar(), 0.0);
    }

    #[test]
    fn normalisation_follows_its_equation() {
        let x = ramp(5, 50);
        let scale = vec![1.5; 50];
        let shift = vec![-0.5; 50];
        let residual = x.clone().into_data().to_vec::<f32>().unwrap();
        let sum = in_place(x.clone(), Step::BiasResidual(&[0.1; 50], &residual));
        let ours = in_place(sum, Step::Normalise(&scale, &shift, 1e-12));
        let sum = x * 2.0 + 0.1;
        let (variance, mean) = sum.clone().var_mean_bias(1);
        let theirs = (sum - mean) / variance.sqrt() * 1.5 - 0.5;
        assert!(largest_difference(ours, theirs) < 1e-5);
    }

    #[test]
    fn exponential_ends_at_zero() {
        assert_eq!(exp_of_negative(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp_of_negative(-200.0), 0.0);
        assert_eq!(exp_of_negative(0.0), 1.0);
        for at in 0..8700 {
            let x = -(at as f32) / 100.0;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp_of_negative(x)) / exact - 1.0).abs() < 3e-7, "{x}");
        }
    }
}
