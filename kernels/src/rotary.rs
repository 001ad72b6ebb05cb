//! Rotary position embedding (Su et al., 2021) in the rotate-half layout of Hugging Face's LLaMA.

use burn::tensor::{Tensor, TensorData, backend::Backend};

use crate::narrow;

/// How the frequencies of a rotary embedding are stretched for contexts longer than the trained one.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// As trained: `theta^(-2i/head_dim)`.
    Default,
    /// Every frequency divided by `factor` (position interpolation).
    Linear {
        /// The ratio of the wanted context to the trained one.
        factor: f64,
    },
    /// LLaMA 3.1: low frequencies divided by `factor`, high ones kept, a smooth ramp between.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f64,
        /// Wavelengths beyond `original / low_freq_factor` count as low frequencies.
        low_freq_factor: f64,
        /// Wavelengths under `original / high_freq_factor` count as high frequencies.
        high_freq_factor: f64,
        /// The trained context in tokens.
        original_max_position_embeddings: f64,
    },
}

/// Give the angle per position of each pair of a head, `[head_dim / 2]`, in radians.
///
/// Computed in `f64` and rounded once, so that late positions do not drift between machines.
pub fn inverse_frequencies(head_dim: usize, theta: f64, scaling: &RopeScaling) -> Vec<f64> {
    (0..head_dim / 2)
        .map(|pair| {
            let frequency = theta.powf(-((2 * pair) as f64) / head_dim as f64);
            match scaling {
                RopeScaling::Default => frequency,
                RopeScaling::Linear { factor } => frequency / factor,
                RopeScaling::Llama3 {
                    factor,
                    low_freq_factor,
                    high_freq_factor,
                    original_max_position_embeddings: original,
                } => {
                    let wavelength = 2.0 * std::f64::consts::PI / frequency;
                    if wavelength > original / low_freq_factor {
                        frequency / factor
                    } else if wavelength < original / high_freq_factor {
                        frequency
                    } else {
                        let smooth = (original / wavelength - low_freq_factor)
                            / (high_freq_factor - low_freq_factor);
                        (1.0 - smooth) * frequency / factor + smooth * frequency
                    }
                }
            }
        })
        .collect()
}

/// Give the cosines and sines of the given positions, row-major `[positions, head_dim / 2]` each.
pub fn cosines_and_sines(inverse_frequencies: &[f64], positions: &[usize]) -> (Vec<f32>, Vec<f32>) {
    let angles =
        positions.iter().flat_map(|&p| inverse_frequencies.iter().map(move |f| p as f64 * f));
    angles.map(|angle| (angle.cos() as f32, angle.sin() as f32)).unzip()
}

/// The rotations of a list of positions, `cos` and `sin` each `[positions, head_dim / 2]`.
#[derive(Debug, Clone)]
pub struct Rotation<B: Backend> {
    cos: Tensor<B, 2>,
    sin: Tensor<B, 2>,
}

impl<B: Backend> Rotation<B> {
    /// Tabulate the rotations of `positions`, one row a token, in any order.
    pub fn new(inverse_frequencies: &[f64], positions: &[usize], device: &B::Device) -> Self {
        let (cos, sin) = cosines_and_sines(inverse_frequencies, positions);
        let shape = [positions.len(), inverse_frequencies.len()];
        Self {
            cos: Tensor::from_data(TensorData::new(cos, shape), device),
            sin: Tensor::from_data(TensorData::new(sin, shape), device),
        }
    }

    /// Rotate `x` `[cells, tokens, heads, head_dim]` by the row of each token.
    ///
    /// The two halves `(a, b)` of a head become `(a·cos − b·sin, b·cos + a·sin)`.
    pub fn apply(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let (a, b, cos, sin) = self.halves(x);
        let first = a.clone() * cos.clone() - b.clone() * sin.clone();
        Tensor::cat(vec![first, b * cos + a * sin], 3)
    }

    /// Rotate back: the inverse of [`Self::apply`], and, a rotation being orthogonal, its gradient.
    pub fn invert(&self, g: Tensor<B, 4>) -> Tensor<B, 4> {
        let (a, b, cos, sin) = self.halves(g);
        let first = a.clone() * cos.clone() + b.clone() * sin.clone();
        Tensor::cat(vec![first, b * cos - a * sin], 3)
    }

    #[allow(clippy::type_complexity)]
    fn halves(&self, x: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, 4>, Tensor<B, 4>, Tensor<B, 4>) {
        let half = x.dims()[3] / 2;
        let a = x.clone().narrow(3, 0, half);
        let b = x.narrow(3, half, half);
        // One row a token, the same for every cell and head.
        let cos = self.cos.clone().unsqueeze_dim::<3>(1).unsqueeze_dim::<4>(0);
        let sin = self.sin.clone().unsqueeze_dim::<3>(1).unsqueeze_dim::<4>(0);
        let dtype = a.dtype();
        (a, b, narrow(cos, dtype), narrow(sin, dtype))
    }

    /// Rotate one token a cell: `x` `[cells, heads, head_dim]`, row `c` of the table for cell `c`.
    pub fn apply_per_cell(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        self.apply(x.unsqueeze_dim::<4>(0)).squeeze_dim(0)
    }

    /// The inverse, and the gradient, of [`Self::apply_per_cell`].
    pub fn invert_per_cell(&self, g: Tensor<B, 3>) -> Tensor<B, 3> {
        self.invert(g.unsqueeze_dim::<4>(0)).squeeze_dim(0)
    }
}
