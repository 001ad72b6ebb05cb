//! From a device to the burn backend that runs on it.

use std::any::Any;

use burn::tensor::backend::{Backend, BackendTypes};

use super::Device;
use crate::{Error, Result};

/// Run generic code on the backend of a device: `on_device!(device, B, handle => train::<B>(&handle))`.
///
/// In the expression, `B` is the backend and `handle` its device. The expression must be a
/// [`Result`](crate::Result); so is the value of the macro, an error if the build lacks the backend.
macro_rules! on_device {
    ($device:expr, $backend:ident, $handle:ident => $body:expr) => {
        match $device {
            $crate::device::Device::Cpu => {
                type $backend = burn::backend::Flex;
                let $handle = <$backend as burn::tensor::backend::BackendTypes>::Device::default();
                $body
            }
            #[cfg(feature = "cuda")]
            $crate::device::Device::Cuda(number) => {
                type $backend = burn_cuda::Cuda;
                let $handle = burn_cuda::CudaDevice::new(number);
                $body
            }
            #[cfg(feature = "wgpu")]
            $crate::device::Device::Wgpu(number) => {
                type $backend = burn_wgpu::Wgpu;
                match $crate::device::wgpu_address(number) {
                    Ok($handle) => $body,
                    Err(error) => Err(error),
                }
            }
            #[allow(unreachable_patterns)] // with both features every device is above
            other => Err($crate::device::not_built(other)),
        }
    };
}

pub(crate) use on_device;

/// The handle of `device` on backend `B`, on which another device, `first`, is already.
///
/// # Errors
/// A device of another backend, and as [`on_device`].
pub(crate) fn beside<B: Backend>(first: Device, device: Device) -> Result<B::Device> {
    let handle: Box<dyn Any> = match device {
        Device::Cpu => Box::new(<burn::backend::Flex as BackendTypes>::Device::default()),
        #[cfg(feature = "cuda")]
        Device::Cuda(number) => Box::new(burn_cuda::CudaDevice::new(number)),
        #[cfg(feature = "wgpu")]
        Device::Wgpu(number) => Box::new(super::wgpu_address(number)?),
        #[allow(unreachable_patterns)] // with both features every device is above
        other => return Err(super::not_built(other)),
    };
    handle.downcast().map(|handle| *handle).map_err(|_| {
        let remedy = "name devices of one kind, as cuda:0,cuda:1";
        Error::input(format!("--device {device}"), format!("one like {first}"), device, remedy)
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tensor;

    use super::*;
    use crate::device::DeviceChoice;

    fn sum<B: Backend>(device: &B::Device) -> Result<f32> {
        Ok(Tensor::<B, 1>::from_floats([1.0, 2.0, 4.0], device).sum().into_scalar_f32())
    }

    trait IntoScalar {
        fn into_scalar_f32(self) -> f32;
    }

    impl<B: Backend> IntoScalar for Tensor<B, 1> {
        fn into_scalar_f32(self) -> f32 {
            self.into_data().convert::<f32>().to_vec::<f32>().unwrap()[0]
        }
    }

    #[test]
    fn the_processor_adds() {
        assert_eq!(on_device!(Device::Cpu, B, device => sum::<B>(&device)).unwrap(), 7.0);
    }

    #[test]
    fn whatever_auto_finds_adds() {
        let device = DeviceChoice::Auto.resolve().unwrap();
        assert_eq!(on_device!(device, B, device => sum::<B>(&device)).unwrap(), 7.0);
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_backend_that_is_not_built_is_an_error() {
        let error = on_device!(Device::Cuda(0), B, device => sum::<B>(&device)).unwrap_err();
        assert!(error.to_string().contains("--features cuda"), "{error}");
    }
}
