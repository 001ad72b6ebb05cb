//! Where the networks run: what was asked for with `--device`, and whether it is there.

mod backend;
mod memory;
pub(crate) mod peak_memory;
mod survey;

use std::fmt;
use std::str::FromStr;

use screader_kernels::driver::{CudaDriver, VulkanDevice, VulkanKind};

use crate::{Error, Result};

pub(crate) use backend::{beside, on_device};
pub use memory::{Format, Plan, Shape};
pub use survey::{CudaFound, DeviceMemory, GpuFound, Survey, VulkanFound, available_memory};

/// A device that is there and that this build can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Device {
    /// The processor, through burn's flex backend.
    Cpu,
    /// A CUDA device, by its number in CUDA's order.
    Cuda(usize),
    /// A Vulkan device, by its number in the loader's order.
    Wgpu(usize),
}

/// A device as typed after `--device`: `auto`, `cpu`, `cuda`, `cuda:1`, `wgpu`, `wgpu:1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DeviceChoice {
    /// CUDA if it can be used, else a Vulkan graphics card, else the processor.
    #[default]
    Auto,
    /// This device or an error.
    This(Device),
}

impl fmt::Display for Device {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => out.write_str("cpu"),
            Self::Cuda(number) => write!(out, "cuda:{number}"),
            Self::Wgpu(number) => write!(out, "wgpu:{number}"),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => out.write_str("auto"),
            Self::This(device) => device.fmt(out),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = Error;

    /// Read a device as typed.
    ///
    /// # Errors
    /// [`Error::Input`] for anything but `auto`, `cpu`, `cuda[:N]` and `wgpu[:N]`.
    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            let expected = "auto, cpu, cuda, cuda:N, wgpu or wgpu:N";
            let remedy = "see `screader doctor` for the devices of this machine";
            Error::input("--device", expected, format!("'{text}'"), remedy)
        };
        let (kind, number) = match text.split_once(':') {
            Some((kind, number)) => {
                // `parse` alone would take "+1".
                let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
                let number = number.parse().ok().filter(|_| digits).ok_or_else(bad)?;
                (kind, Some(number))
            }
            None => (text, None),
        };
        match (kind, number) {
            ("auto", None) => Ok(Self::Auto),
            ("cpu", None) => Ok(Self::This(Device::Cpu)),
            ("cuda", number) => Ok(Self::This(Device::Cuda(number.unwrap_or(0)))),
            ("wgpu", number) => Ok(Self::This(Device::Wgpu(number.unwrap_or(0)))),
            _ => Err(bad()),
        }
    }
}

impl DeviceChoice {
    /// Decide on a device of this machine, before any work and without starting a backend.
    ///
    /// # Errors
    /// [`Error::Input`] if this build lacks the backend, the driver is missing or has no such device.
    pub fn resolve(self) -> Result<Device> {
        self.resolve_among(&Survey::drivers())
    }

    /// Decide on a device among those of `found`.
    ///
    /// # Errors
    /// As [`DeviceChoice::resolve`].
    pub fn resolve_among(self, found: &GpuFound) -> Result<Device> {
        match self {
            Self::This(Device::Cpu) => Ok(Device::Cpu),
            Self::This(Device::Cuda(number)) => require_cuda(&found.cuda, number),
            Self::This(Device::Wgpu(number)) => require_vulkan(&found.vulkan, number),
            Self::Auto => Ok(require_cuda(&found.cuda, 0)
                .ok()
                .or_else(|| first_card(&found.vulkan))
                .unwrap_or(Device::Cpu)),
        }
    }
}

fn require_cuda(found: &CudaFound, number: usize) -> Result<Device> {
    let place = format!("--device cuda:{number}");
    let other = "or use --device cpu";
    if !found.built {
        return Err(not_built(Device::Cuda(number)));
    }
    let driver: &CudaDriver = found.driver.as_ref().map_err(|reason| {
        let remedy = format!("install NVIDIA's driver, {other}");
        Error::input(&place, "a CUDA driver", format!("none: {reason}"), remedy)
    })?;
    if number >= driver.devices.len() {
        let found = count(driver.devices.len(), "CUDA device");
        let remedy = format!("see `screader doctor` for their numbers, {other}");
        return Err(Error::input(place, format!("device {number}"), found, remedy));
    }
    if !driver.nvrtc || driver.toolkit.is_none() {
        let missing = if driver.nvrtc { "its headers" } else { "libnvrtc" };
        let remedy = format!("install the CUDA toolkit and set CUDA_PATH to its folder, {other}");
        let expected = "the CUDA toolkit, which compiles kernels at run time";
        return Err(Error::input(place, expected, format!("no {missing}"), remedy));
    }
    Ok(Device::Cuda(number))
}

fn require_vulkan(found: &VulkanFound, number: usize) -> Result<Device> {
    let place = format!("--device wgpu:{number}");
    let other = "or use --device cpu";
    if !found.built {
        return Err(not_built(Device::Wgpu(number)));
    }
    let devices = found.devices.as_ref().map_err(|reason| {
        let remedy = format!("install a Vulkan driver, such as mesa-vulkan-drivers, {other}");
        Error::input(&place, "a Vulkan driver", format!("none: {reason}"), remedy)
    })?;
    if number >= devices.len() {
        let found = count(devices.len(), "Vulkan device");
        let remedy = format!("see `screader doctor` for their numbers, {other}");
        return Err(Error::input(place, format!("device {number}"), found, remedy));
    }
    Ok(Device::Wgpu(number))
}

/// Say that this build lacks the backend of `device`.
pub(crate) fn not_built(device: Device) -> Error {
    let feature = if matches!(device, Device::Cuda(_)) { "cuda" } else { "wgpu" };
    let remedy =
        format!("install with `cargo install screader --features {feature}`, or use --device cpu");
    let expected = format!("a build with the feature {feature}");
    Error::input(format!("--device {device}"), expected, "a build without", remedy)
}

/// The first graphics card: software Vulkan is slower than the processor's own backend.
fn first_card(found: &VulkanFound) -> Option<Device> {
    let devices = found.devices.as_ref().ok().filter(|_| found.built)?;
    let card = |device: &VulkanDevice| device.kind == VulkanKind::Discrete;
    let integrated = |device: &VulkanDevice| device.kind == VulkanKind::Integrated;
    let at = devices.iter().position(card).or_else(|| devices.iter().position(integrated))?;
    Some(Device::Wgpu(at))
}

/// The address of a Vulkan device for burn, which numbers devices within their kind.
///
/// # Errors
/// [`Error::Input`] if there is no such device.
#[cfg(feature = "wgpu")]
pub fn wgpu_address(number: usize) -> Result<burn_wgpu::WgpuDevice> {
    use burn_wgpu::WgpuDevice;
    let found = Survey::drivers().vulkan;
    require_vulkan(&found, number)?;
    let device = found.devices.ok().and_then(|devices| devices.into_iter().nth(number));
    match device.map(|device| (device.kind, device.index_of_kind)) {
        Some((VulkanKind::Discrete, at)) => Ok(WgpuDevice::DiscreteGpu(at)),
        Some((VulkanKind::Integrated, at)) => Ok(WgpuDevice::IntegratedGpu(at)),
        Some((VulkanKind::Virtual, at)) => Ok(WgpuDevice::VirtualGpu(at)),
        Some((VulkanKind::Software, 0)) => Ok(WgpuDevice::Cpu),
        _ => Err(Error::input(
            format!("--device wgpu:{number}"),
            "a graphics card or the first software device",
            "a device that burn cannot address",
            "name another of `screader doctor`, or use --device cpu",
        )),
    }
}

fn count(number: usize, what: &str) -> String {
    match number {
        0 => format!("no {what}"),
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use screader_kernels::driver::CudaDevice;

    use super::*;

    fn card(name: &str, kind: VulkanKind) -> VulkanDevice {
        VulkanDevice { name: name.into(), kind, index_of_kind: 0, memory: 8 << 30 }
    }

    fn cuda(devices: usize) -> CudaFound {
        let device = CudaDevice { name: "card".into(), memory: 24 << 30, capability: (8, 9) };
        CudaFound {
            built: true,
            driver: Ok(CudaDriver {
                version: "12.8".into(),
                devices: vec![device; devices],
                nvrtc: true,
                toolkit: Some("/usr/local/cuda".into()),
            }),
        }
    }

    fn found(cuda: CudaFound, devices: Vec<VulkanDevice>) -> GpuFound {
        GpuFound { cuda, vulkan: VulkanFound { built: true, devices: Ok(devices) } }
    }

    fn choice(text: &str) -> DeviceChoice {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_typed_is_read_and_written_back() {
        assert_eq!(choice("auto"), DeviceChoice::Auto);
        assert_eq!(choice("cuda"), DeviceChoice::This(Device::Cuda(0)));
        for text in ["auto", "cpu", "cuda:0", "cuda:3", "wgpu:1"] {
            assert_eq!(choice(text).to_string(), text);
        }
        for text in ["", "gpu", "cpu:0", "auto:1", "cuda:", "cuda:+1", "cuda:-1", "wgpu:x", "CPU"] {
            let error = text.parse::<DeviceChoice>().unwrap_err();
            assert!(error.to_string().contains(&format!("'{text}'")), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }

    #[test]
    fn auto_prefers_cuda_then_a_card_then_the_processor() {
        let software = || card("llvmpipe", VulkanKind::Software);
        let cards = || vec![software(), card("arc", VulkanKind::Discrete)];
        let auto = |found: &GpuFound| DeviceChoice::Auto.resolve_among(found).unwrap();
        assert_eq!(auto(&found(cuda(1), cards())), Device::Cuda(0));
        assert_eq!(auto(&found(cuda(0), cards())), Device::Wgpu(1));
        assert_eq!(auto(&found(cuda(0), vec![software()])), Device::Cpu);
        let no_toolkit = CudaFound {
            driver: Ok(CudaDriver { toolkit: None, ..cuda(1).driver.unwrap() }),
            built: true,
        };
        assert_eq!(auto(&found(no_toolkit, vec![])), Device::Cpu);
    }

    #[test]
    fn what_is_not_there_is_refused_with_the_way_out() {
        let refuse = |text: &str, found: &GpuFound| {
            let error = choice(text).resolve_among(found).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            error.to_string()
        };
        let here = found(cuda(1), vec![card("llvmpipe", VulkanKind::Software)]);
        assert_eq!(choice("wgpu").resolve_among(&here).unwrap(), Device::Wgpu(0));
        assert!(refuse("cuda:1", &here).contains("expected device 1, found 1 CUDA device"));
        assert!(refuse("wgpu:2", &here).contains("expected device 2, found 1 Vulkan device"));
        let not_built = GpuFound {
            cuda: CudaFound { built: false, ..cuda(1) },
            vulkan: VulkanFound { built: false, devices: Ok(vec![]) },
        };
        assert!(refuse("cuda", &not_built).contains("cargo install screader --features cuda"));
        assert!(refuse("wgpu", &not_built).contains("cargo install screader --features wgpu"));
        let no_driver = GpuFound {
            cuda: CudaFound { built: true, driver: Err("libcuda.so.1 is not installed".into()) },
            vulkan: VulkanFound { built: true, devices: Err("no loader".into()) },
        };
        assert!(refuse("cuda", &no_driver).contains("libcuda.so.1 is not installed"));
        assert!(refuse("wgpu", &no_driver).contains("mesa-vulkan-drivers"));
        let mut bare = cuda(1);
        if let Ok(driver) = &mut bare.driver {
            driver.nvrtc = false;
        }
        assert!(refuse("cuda", &found(bare, vec![])).contains("no libnvrtc"));
    }

    #[test]
    fn this_machine_resolves_without_a_panic() {
        // Whatever is installed here: auto always finds something, and the rest answers.
        assert!(DeviceChoice::Auto.resolve().is_ok());
        assert_eq!(choice("cpu").resolve().unwrap(), Device::Cpu);
        for text in ["cuda:97", "wgpu:97"] {
            assert!(choice(text).resolve().is_err());
        }
    }
}
