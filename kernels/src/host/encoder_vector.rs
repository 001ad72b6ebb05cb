//! Elementwise kernels of the encoder over rows.

use super::vector::vectorised;

/// Values summed side by side, an order that vector units of every width can keep.
const LANES: usize = 16;

vectorised! {
    /// Add `bias` to every row of `y` `[rows, bias.len()]` and apply the exact GELU,
    /// `x/2 (1 + erf(x/√2))` (Hendrycks & Gimpel 2016, arXiv:1606.08415).
    pub(crate) fn add_bias_gelu(y: &mut [f32], bias: &[f32]) {
        for row in y.chunks_exact_mut(bias.len()) {
            for (y, bias) in row.iter_mut().zip(bias) {
                let x = *y + bias;
                *y = 0.5 * x * (1.0 + error_function(x * std::f32::consts::FRAC_1_SQRT_2));
            }
        }
    }
}

vectorised! {
    /// Add `bias` to every row, normalise the row to mean 0 and variance 1, apply `scale` and `shift`
    /// (Ba et al. 2016, arXiv:1607.06450); all of `[rows, scale.len()]` or `[scale.len()]`.
    pub(crate) fn normalise(
        y: &mut [f32],
        bias: &[f32],
        scale: &[f32],
        shift: &[f32],
        epsilon: f32,
    ) {
        for row in y.chunks_exact_mut(scale.len()) {
            for (y, bias) in row.iter_mut().zip(bias) {
                *y += bias;
            }
            let count = row.len() as f32;
            let mean = sum(row, |y| y) / count;
            let variance = sum(row, |y| (y - mean) * (y - mean)) / count;
            let inverse = 1.0 / (variance + epsilon).sqrt();
            for ((y, scale), shift) in row.iter_mut().zip(scale).zip(shift) {
                *y = (*y - mean) * inverse * scale + shift;
            }
        }
    }
}

#[inline(always)]
fn sum(row: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] += term(chunk[lane]);
        }
    }
    for (lane, &y) in lanes.iter_mut().zip(rest) {
        *lane += term(y);
    }
    lanes.iter().sum()
}

/// The error function within 3e-7: the rational approximation of degrees 13 and 8 that Eigen and XLA
/// use, which reaches ±1 at ±4.
#[inline(always)]
fn error_function(x: f32) -> f32 {
    let x = if x > 4.0 { 4.0 } else { x };
    let x = if x < -4.0 { -4.0 } else { x };
    let square = x * x;
    let top = -2.726_142_3e-10_f32;
    let top = top * square + 2.770_681_4e-8;
    let top = top * square - 2.101_024e-6;
    let top = top * square - 5.692_506_3e-5;
    let top = top * square - 7.349_906_4e-4;
    let top = top * square - 2.954_6e-3;
    let top = top * square - 1.609_603_3e-2;
    let bottom = -1.456_607_2e-5_f32;
    let bottom = bottom * square - 2.133_740_6e-4;
    let bottom = bottom * square - 1.682_827e-3;
    let bottom = bottom * square - 7.373_329e-3;
    let bottom = bottom * square - 1.426_473_9e-2;
    x * top / bottom
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::{Tensor, activation};

    use super::*;

    fn ramp(rows: usize, width: usize) -> Vec<f32> {
        let count = rows * width;
        (0..count).map(|at| ((at * 7919) % count) as f32 / count as f32 * 16.0 - 8.0).collect()
    }

    fn tensor(values: &[f32], rows: usize) -> Tensor<Flex, 2> {
        let columns = values.len() / rows;
        Tensor::<Flex, 1>::from_floats(values, &Default::default()).reshape([rows, columns])
    }

    fn largest_difference(a: Tensor<Flex, 2>, b: Tensor<Flex, 2>) -> f32 {
        (a - b).abs().max().into_scalar()
    }

    #[test]
    fn gelu_is_the_exact_one() {
        let x = ramp(64, 333);
        let mut y = x.clone();
        add_bias_gelu(&mut y, &[0.25; 333]);
        let expected = activation::gelu(tensor(&x, 64) + 0.25);
        assert!(largest_difference(tensor(&y, 64), expected) < 2e-6);
    }

    #[test]
    fn normalisation_follows_its_equation() {
        let x = ramp(5, 50);
        let mut y = x.clone();
        normalise(&mut y, &[0.1; 50], &[1.5; 50], &[-0.5; 50], 1e-12);
        let sum = tensor(&x, 5) + 0.1;
        let (variance, mean) = sum.clone().var_mean_bias(1);
        let expected = (sum - mean) / variance.sqrt() * 1.5 - 0.5;
        assert!(largest_difference(tensor(&y, 5), expected) < 1e-5);
    }
}
