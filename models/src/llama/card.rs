//! Which backends are graphics cards with kernels of our own, and their decoder behind a backend's name.

use std::any::{Any, TypeId};

use burn::tensor::{DType, backend::Backend};

use super::config::LlamaConfig;
use super::precision::Weights;
use super::run::Run;

/// Tell whether `B` is a backend that [`decoder`] knows.
pub(crate) fn is_card<B: Backend>() -> bool {
    let backend = TypeId::of::<B>();
    #[cfg(feature = "cuda")]
    if backend == TypeId::of::<burn_cuda::Cuda>() {
        return true;
    }
    #[cfg(feature = "wgpu")]
    if backend == TypeId::of::<burn_wgpu::Wgpu>() {
        return true;
    }
    let _ = backend;
    false
}

/// Begin the fused decoder of backend `B`.
///
/// # Panics
/// When `B` is no card, as [`is_card`] tells.
pub(crate) fn decoder<B: Backend>(
    config: &LlamaConfig,
    final_norm: Vec<f32>,
    dtype: DType,
    weights: Weights,
    device: &B::Device,
) -> Box<dyn Run<B>> {
    let device: &dyn Any = device;
    let found: Option<Box<dyn Any>> = None;
    #[cfg(feature = "cuda")]
    let found = found.or_else(|| {
        let device = device.downcast_ref::<burn_cuda::CudaDevice>()?;
        let decoder = super::fused::FusedDecoder::<cubecl::cuda::CudaRuntime>::new(
            config,
            final_norm.clone(),
            dtype,
            bits(weights),
            device,
        );
        Some(Box::new(Box::new(decoder) as Box<dyn Run<burn_cuda::Cuda>>))
    });
    #[cfg(feature = "wgpu")]
    let found = found.or_else(|| {
        let device = device.downcast_ref::<burn_wgpu::WgpuDevice>()?;
        let decoder = super::fused::FusedDecoder::<cubecl::wgpu::WgpuRuntime>::new(
            config,
            final_norm.clone(),
            dtype,
            bits(weights),
            device,
        );
        Some(Box::new(Box::new(decoder) as Box<dyn Run<burn_wgpu::Wgpu>>))
    });
    let _ = (config, &final_norm, dtype, weights, device);
    match found.map(|decoder| decoder.downcast::<Box<dyn Run<B>>>()) {
        Some(Ok(decoder)) => *decoder,
        _ => unreachable!("no card's backend"),
    }
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn bits(weights: Weights) -> Option<screader_kernels::gpu::quantised::Bits> {
    use screader_kernels::gpu::quantised::Bits;
    match weights {
        Weights::Wide => None,
        Weights::Int8 => Some(Bits::Eight),
        Weights::Int4 => Some(Bits::Four),
    }
}
