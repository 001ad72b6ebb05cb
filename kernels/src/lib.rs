//! The numerical kernels of a frozen LLaMA: each operation with its vector-Jacobian product.
//!
//! The backbone never trains, so nothing here computes a weight gradient and nothing is taped: every
//! operation is a plain function on a non-autodiff burn backend, beside the function that carries a
//! gradient from its output to its input. Where a fused kernel exists for one kind of device it lives
//! beside the plain operation in the same module, and a test asserts that the two agree:
//!
//! - [`norm`], [`rotary`], [`swiglu`], [`attention`] run on any burn backend.
//! - [`host`] runs a whole decoder on CPU cores, one cell a task, as the twin of those four.
//!
//! Kernels written for GPUs in CubeCL come beside the plain operations here as well, behind the features
//! `wgpu` and `cuda`; this is the only crate of the workspace that may name cubecl or use `unsafe`.

pub mod attention;
pub mod driver;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
pub mod gpu;
pub mod host;
pub mod norm;
pub mod rotary;
pub mod swiglu;

use burn::tensor::{DType, Tensor, backend::Backend};

/// Widen half-precision numbers to `f32`, as sums and exponentials need; others pass through.
fn widen<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Tensor<B, D> {
    match tensor.dtype() {
        DType::F16 | DType::BF16 => tensor.cast(DType::F32),
        _ => tensor,
    }
}

/// Return to the storage type that [`widen`] left.
fn narrow<B: Backend, const D: usize>(tensor: Tensor<B, D>, dtype: DType) -> Tensor<B, D> {
    if tensor.dtype() == dtype { tensor } else { tensor.cast(dtype) }
}
