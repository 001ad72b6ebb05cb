//! From a device to burn's backend for it: the one place where a backend is named.

/// Run `$body` with `$backend` the type of the device's backend and `$place` its device.
///
/// `DeviceChoice::resolve` refuses a device whose backend this build lacks, so a missing arm is no way
/// a user can go.
macro_rules! on_device {
    ($device:expr, $backend:ident, $place:ident => $body:expr) => {
        match $device {
            $crate::device::Device::Cpu => {
                type $backend = burn::backend::Flex;
                let $place = Default::default();
                $body
            }
            #[cfg(feature = "cuda")]
            $crate::device::Device::Cuda(number) => {
                type $backend = burn_cuda::Cuda<f32, i32>;
                let $place = burn_cuda::CudaDevice::new(number);
                $body
            }
            #[cfg(feature = "wgpu")]
            $crate::device::Device::Wgpu(number) => {
                type $backend = burn_wgpu::Wgpu<f32, i32, u8>;
                let $place = $crate::device::vulkan_device(number);
                $body
            }
            #[cfg(not(all(feature = "cuda", feature = "wgpu")))]
            other => Err($crate::Error::input(
                format!("--device {other}"),
                "a device that this build supports",
                "a build without its backend",
                "use --device cpu",
            )),
        }
    };
}

pub(crate) use on_device;

/// Burn's address of the Vulkan device `number` of the loader's list.
#[cfg(feature = "wgpu")]
pub(crate) fn vulkan_device(number: usize) -> burn_wgpu::WgpuDevice {
    use burn_wgpu::WgpuDevice;
    use screader_kernels::driver::VulkanKind;

    let found = super::Survey::drivers().vulkan.devices.unwrap_or_default();
    let Some(device) = found.into_iter().nth(number) else { return WgpuDevice::DefaultDevice };
    match device.kind {
        VulkanKind::Discrete => WgpuDevice::DiscreteGpu(device.index_of_kind),
        VulkanKind::Integrated => WgpuDevice::IntegratedGpu(device.index_of_kind),
        VulkanKind::Virtual => WgpuDevice::VirtualGpu(device.index_of_kind),
        VulkanKind::Software => WgpuDevice::Cpu,
        VulkanKind::Other => WgpuDevice::DefaultDevice,
    }
}
