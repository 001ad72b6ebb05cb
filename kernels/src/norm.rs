//! Root-mean-square normalisation (Zhang and Sennrich, 2019).

use burn::tensor::{Tensor, backend::Backend};

use crate::{narrow, widen};

/// Normalise the last dimension: `y = weight · x / sqrt(mean(x²) + epsilon)`.
///
/// `x` is `[.., hidden]`, `weight` `[hidden]`. The statistics are in `f32` whatever the storage type.
pub fn rms_norm<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    weight: Tensor<B, 1>,
    epsilon: f64,
) -> Tensor<B, D> {
    let dtype = x.dtype();
    let x = widen(x);
    let inverse = inverse_rms(x.clone(), epsilon);
    narrow(x * inverse, dtype) * weight.unsqueeze()
}

/// Carry a gradient from the output of [`rms_norm`] to its input.
///
/// With `r = 1 / sqrt(mean(x²) + epsilon)` and `u = weight · g`: `g_x = r·u − x·r³·mean(x·u)`.
/// `g` and `x` are `[.., hidden]`.
pub fn rms_norm_backward<B: Backend, const D: usize>(
    g: Tensor<B, D>,
    x: Tensor<B, D>,
    weight: Tensor<B, 1>,
    epsilon: f64,
) -> Tensor<B, D> {
    let dtype = x.dtype();
    let x = widen(x);
    let u = widen(g * weight.unsqueeze());
    let inverse = inverse_rms(x.clone(), epsilon);
    let mean = (x.clone() * u.clone()).mean_dim(D - 1);
    let pull = mean * inverse.clone().powi_scalar(3);
    narrow(u * inverse - x * pull, dtype)
}

fn inverse_rms<B: Backend, const D: usize>(x: Tensor<B, D>, epsilon: f64) -> Tensor<B, D> {
    (x.clone() * x).mean_dim(D - 1).add_scalar(epsilon).sqrt().recip()
}
