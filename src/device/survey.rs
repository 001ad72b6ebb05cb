//! What this machine has: processor, memory, GPUs, and which of them this build can use.

use screader_kernels::driver::{CudaDriver, VulkanDevice, VulkanKind, cuda_driver, vulkan_devices};

use super::Device;

/// The machine as `screader doctor` shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// Name of the processor.
    pub processor: String,
    /// Threads that this process may use.
    pub threads: usize,
    /// Memory of the machine in bytes, or of the control group that confines this process.
    pub memory: u64,
    /// Memory not in use, in bytes.
    pub memory_available: u64,
    /// The GPUs.
    pub gpus: GpuFound,
}

/// Drivers and devices of both kinds of GPU.
#[derive(Debug, Clone, PartialEq)]
pub struct GpuFound {
    /// CUDA.
    pub cuda: CudaFound,
    /// Vulkan.
    pub vulkan: VulkanFound,
}

/// What there is of CUDA.
#[derive(Debug, Clone, PartialEq)]
pub struct CudaFound {
    /// Whether this build has the `cuda` feature.
    pub built: bool,
    /// The driver, or why there is none.
    pub driver: Result<CudaDriver, String>,
}

/// What there is of Vulkan.
#[derive(Debug, Clone, PartialEq)]
pub struct VulkanFound {
    /// Whether this build has the `wgpu` feature.
    pub built: bool,
    /// The devices, or why there are none.
    pub devices: Result<Vec<VulkanDevice>, String>,
}

/// A device with the memory that a backbone can have on it.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceMemory {
    /// The device, as typed after `--device`.
    pub device: Device,
    /// What it is called.
    pub name: String,
    /// Its memory in bytes; of the processor, what is available now.
    pub bytes: u64,
}

impl Survey {
    /// Look at this machine. Opens the GPU drivers but starts no backend.
    pub fn take() -> Self {
        let mut system = sysinfo::System::new();
        system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
        let name = system.cpus().first().map(|cpu| cpu.brand().trim().to_string());
        let (memory, available) = memory(&mut system);
        Self {
            processor: name.filter(|name| !name.is_empty()).unwrap_or_else(|| "unnamed".into()),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            memory,
            memory_available: available,
            gpus: Self::drivers(),
        }
    }

    /// Ask both drivers for their devices.
    pub fn drivers() -> GpuFound {
        GpuFound {
            cuda: CudaFound { built: cfg!(feature = "cuda"), driver: cuda_driver() },
            vulkan: VulkanFound { built: cfg!(feature = "wgpu"), devices: vulkan_devices() },
        }
    }

    /// List the devices with their memory, whether or not this build can use them: the processor
    /// first, then CUDA, then Vulkan. Software Vulkan is left out, being the processor again, and so
    /// are cards that CUDA lists already.
    pub fn devices(&self) -> Vec<DeviceMemory> {
        let mut devices = vec![DeviceMemory {
            device: Device::Cpu,
            name: self.processor.clone(),
            bytes: self.memory_available,
        }];
        let cuda = self.gpus.cuda.driver.as_ref().map_or(&[][..], |driver| &driver.devices);
        for (number, card) in cuda.iter().enumerate() {
            let (name, bytes) = (card.name.clone(), card.memory);
            devices.push(DeviceMemory { device: Device::Cuda(number), name, bytes });
        }
        let vulkan = self.gpus.vulkan.devices.as_deref().unwrap_or(&[]);
        for (number, card) in vulkan.iter().enumerate() {
            let twin = cuda.iter().any(|other| card.name.contains(&other.name));
            if card.kind != VulkanKind::Software && !twin {
                let (name, bytes) = (card.name.clone(), card.memory);
                devices.push(DeviceMemory { device: Device::Wgpu(number), name, bytes });
            }
        }
        devices
    }
}

/// Memory in bytes that is available now, to this process where its group of processes has a limit.
pub fn available_memory() -> u64 {
    memory(&mut sysinfo::System::new()).1
}

/// All memory and what of it is available, in bytes.
fn memory(system: &mut sysinfo::System) -> (u64, u64) {
    system.refresh_memory();
    let (all, available) = (system.total_memory(), system.available_memory());
    // On a cluster the job's limit counts, not the node's memory.
    match system.cgroup_limits() {
        Some(limits) => (all.min(limits.total_memory), available.min(limits.free_memory)),
        None => (all, available),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_processor_and_memory() {
        let survey = Survey::take();
        assert!(survey.threads >= 1 && !survey.processor.is_empty());
        assert!(survey.memory > 100 << 20, "{}", survey.memory);
        assert!(survey.memory_available <= survey.memory);
        assert_eq!(survey.devices()[0].device, Device::Cpu);
    }

    #[test]
    fn a_card_is_listed_once_and_software_not_at_all() {
        use screader_kernels::driver::CudaDevice;
        let vulkan = |name: &str, kind| VulkanDevice {
            name: name.into(),
            kind,
            index_of_kind: 0,
            memory: 16 << 30,
        };
        let mut survey = Survey::take();
        survey.gpus.cuda.driver = Ok(CudaDriver {
            version: "12.8".into(),
            devices: vec![CudaDevice {
                name: "NVIDIA L4".into(),
                memory: 24 << 30,
                capability: (8, 9),
            }],
            nvrtc: true,
            toolkit: None,
        });
        survey.gpus.vulkan.devices = Ok(vec![
            vulkan("llvmpipe (LLVM 19)", VulkanKind::Software),
            vulkan("NVIDIA L4", VulkanKind::Discrete),
            vulkan("AMD Radeon", VulkanKind::Discrete),
        ]);
        let listed: Vec<Device> = survey.devices().iter().map(|found| found.device).collect();
        assert_eq!(listed, [Device::Cpu, Device::Cuda(0), Device::Wgpu(2)]);
    }
}
