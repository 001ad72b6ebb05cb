//! Which GPU drivers are there, asked without starting a backend.
//!
//! cubecl panics when the CUDA driver is missing, so it must not be the one to ask. Both libraries are
//! opened by name at run time, and nothing is left initialised that a later backend would mind.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::path::PathBuf;

use libloading::{Library, Symbol};

/// What the CUDA driver says of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CudaDriver {
    /// Newest CUDA version that the driver runs, as `12.8`.
    pub version: String,
    /// The devices, in CUDA's order.
    pub devices: Vec<CudaDevice>,
    /// Whether NVRTC, which compiles kernels at run time, can be opened.
    pub nvrtc: bool,
    /// The toolkit whose headers NVRTC includes: `CUDA_PATH`, or the usual folders.
    pub toolkit: Option<PathBuf>,
}

/// One CUDA device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CudaDevice {
    /// Name, as `NVIDIA H100 PCIe`.
    pub name: String,
    /// Memory of the device, in bytes.
    pub memory: u64,
    /// Compute capability, major and minor.
    pub capability: (i32, i32),
}

/// One Vulkan device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VulkanDevice {
    /// Name, as the driver gives it.
    pub name: String,
    /// What kind of device it is.
    pub kind: VulkanKind,
    /// Its place among the devices of its kind, which is how burn addresses it.
    pub index_of_kind: usize,
    /// Memory local to the device, in bytes; of an integrated or software device, of the machine.
    pub memory: u64,
}

/// The kinds of Vulkan device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VulkanKind {
    /// A graphics card.
    Discrete,
    /// Graphics on the processor's chip.
    Integrated,
    /// A share of a card in a virtual machine.
    Virtual,
    /// Software on the processor, such as Mesa's lavapipe.
    Software,
    /// Anything else.
    Other,
}

/// Ask the CUDA driver for its devices.
///
/// # Errors
/// A sentence that says why there is none: no driver library, or what the driver answered.
pub fn cuda_driver() -> Result<CudaDriver, String> {
    let names: &[&str] =
        if cfg!(windows) { &["nvcuda.dll"] } else { &["libcuda.so.1", "libcuda.so"] };
    let library = open(names).ok_or_else(|| format!("{} is not installed", names[0]))?;
    // SAFETY: the symbols are of the CUDA driver API, with the signatures of its header cuda.h; every
    // pointer handed over is to a live local of the type and length that the function writes.
    unsafe {
        let init: Symbol<unsafe extern "C" fn(c_uint) -> c_int> = symbol(&library, b"cuInit\0")?;
        let get_version: Symbol<unsafe extern "C" fn(*mut c_int) -> c_int> =
            symbol(&library, b"cuDriverGetVersion\0")?;
        let get_count: Symbol<unsafe extern "C" fn(*mut c_int) -> c_int> =
            symbol(&library, b"cuDeviceGetCount\0")?;
        let get: Symbol<unsafe extern "C" fn(*mut c_int, c_int) -> c_int> =
            symbol(&library, b"cuDeviceGet\0")?;
        let get_name: Symbol<unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int> =
            symbol(&library, b"cuDeviceGetName\0")?;
        let total_memory: Symbol<unsafe extern "C" fn(*mut usize, c_int) -> c_int> =
            symbol(&library, b"cuDeviceTotalMem_v2\0")?;
        let attribute: Symbol<unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int> =
            symbol(&library, b"cuDeviceGetAttribute\0")?;

        cuda("cuInit", init(0))?;
        let (mut version, mut count) = (0, 0);
        cuda("cuDriverGetVersion", get_version(&mut version))?;
        cuda("cuDeviceGetCount", get_count(&mut count))?;
        let mut devices = Vec::new();
        for ordinal in 0..count {
            let (mut device, mut memory, mut capability) = (0, 0usize, (0, 0));
            let mut name: [c_char; 256] = [0; 256];
            cuda("cuDeviceGet", get(&mut device, ordinal))?;
            // One less than the array, so that it ends in a nul whatever the driver writes.
            cuda("cuDeviceGetName", get_name(name.as_mut_ptr(), 255, device))?;
            cuda("cuDeviceTotalMem", total_memory(&mut memory, device))?;
            // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR.
            cuda("cuDeviceGetAttribute", attribute(&mut capability.0, 75, device))?;
            cuda("cuDeviceGetAttribute", attribute(&mut capability.1, 76, device))?;
            let name = CStr::from_ptr(name.as_ptr()).to_string_lossy().into_owned();
            devices.push(CudaDevice { name, memory: memory as u64, capability });
        }
        Ok(CudaDriver {
            version: format!("{}.{}", version / 1000, version % 1000 / 10),
            devices,
            nvrtc: nvrtc_opens(),
            toolkit: cuda_toolkit(),
        })
    }
}

/// Ask the Vulkan loader for its devices, in its order.
///
/// # Errors
/// A sentence that says why there are none: no loader library, or no driver behind it.
pub fn vulkan_devices() -> Result<Vec<VulkanDevice>, String> {
    // SAFETY: the loader is trusted as any backend would trust it; the instance is destroyed below,
    // after its last use, and no handle of it leaves this function.
    unsafe {
        let entry =
            ash::Entry::load().map_err(|_| "the Vulkan loader is not installed".to_string())?;
        let instance = entry
            .create_instance(&ash::vk::InstanceCreateInfo::default(), None)
            .map_err(|code| format!("the Vulkan loader has no driver ({code})"))?;
        let listed = instance.enumerate_physical_devices();
        let described = listed.map(|handles| {
            let describe = |handle| {
                let properties = instance.get_physical_device_properties(handle);
                let memory = instance.get_physical_device_memory_properties(handle);
                (properties, memory)
            };
            handles.into_iter().map(describe).collect::<Vec<_>>()
        });
        instance.destroy_instance(None);
        let described = described.map_err(|code| format!("Vulkan lists no devices ({code})"))?;
        Ok(number_kinds(described.iter().map(|(properties, memory)| {
            let name = properties.device_name_as_c_str().unwrap_or(c"unnamed");
            let local = memory.memory_heaps_as_slice().iter();
            let local = local
                .filter(|heap| heap.flags.contains(ash::vk::MemoryHeapFlags::DEVICE_LOCAL))
                .map(|heap| heap.size)
                .max();
            (name.to_string_lossy().into_owned(), kind(properties.device_type), local.unwrap_or(0))
        })))
    }
}

fn kind(device_type: ash::vk::PhysicalDeviceType) -> VulkanKind {
    use ash::vk::PhysicalDeviceType;
    match device_type {
        PhysicalDeviceType::DISCRETE_GPU => VulkanKind::Discrete,
        PhysicalDeviceType::INTEGRATED_GPU => VulkanKind::Integrated,
        PhysicalDeviceType::VIRTUAL_GPU => VulkanKind::Virtual,
        PhysicalDeviceType::CPU => VulkanKind::Software,
        _ => VulkanKind::Other,
    }
}

/// Count the devices within each kind, in the loader's order.
fn number_kinds(found: impl Iterator<Item = (String, VulkanKind, u64)>) -> Vec<VulkanDevice> {
    let mut devices: Vec<VulkanDevice> = Vec::new();
    for (name, kind, memory) in found {
        let index_of_kind = devices.iter().filter(|device| device.kind == kind).count();
        devices.push(VulkanDevice { name, kind, index_of_kind, memory });
    }
    devices
}

fn open(names: &[&str]) -> Option<Library> {
    // SAFETY: these are vendors' libraries found on the system's own path; loading them runs their
    // initialisers, as the backend itself would a moment later.
    names.iter().find_map(|name| unsafe { Library::new(name).ok() })
}

/// Look up a function.
///
/// # Safety
/// `T` must be the type of the function of that name.
unsafe fn symbol<'a, T>(library: &'a Library, name: &[u8]) -> Result<Symbol<'a, T>, String> {
    // SAFETY: passed on to the caller.
    unsafe { library.get(name) }.map_err(|_| {
        let name = String::from_utf8_lossy(name).trim_end_matches('\0').to_string();
        format!("the driver is too old: it has no {name}")
    })
}

/// Turn a CUDA result code into words; the commonest are spelt out.
fn cuda(function: &str, code: c_int) -> Result<(), String> {
    match code {
        0 => Ok(()),
        100 => Err("the driver finds no CUDA device".to_string()),
        803 => Err("the driver's library does not match its kernel module; reboot".to_string()),
        999 => Err("the driver does not answer (error 999); reload the nvidia module".to_string()),
        _ => Err(format!("{function} failed with CUDA error {code}")),
    }
}

/// Tell whether NVRTC opens under one of the names that distributions give it.
fn nvrtc_opens() -> bool {
    let names: &[&str] = if cfg!(windows) {
        &["nvrtc64_130_0.dll", "nvrtc64_120_0.dll", "nvrtc64_112_0.dll"]
    } else {
        &["libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2"]
    };
    open(names).is_some()
}

/// Find the CUDA toolkit where cubecl looks for it; without it cubecl panics at its first kernel.
fn cuda_toolkit() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("CUDA_PATH") {
        return Some(PathBuf::from(path));
    }
    let folders: &[&str] = if cfg!(windows) {
        &["C:/Program Files/NVIDIA GPU Computing Toolkit/CUDA/"]
    } else {
        &["/usr/local/cuda", "/opt/cuda"]
    };
    let found = folders.iter().map(PathBuf::from).find(|folder| folder.exists());
    let nvcc = || std::path::Path::new("/usr/bin/nvcc").exists().then(|| PathBuf::from("/usr"));
    found.or_else(nvcc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_an_answer_not_a_panic() {
        assert!(open(&["libscreader-has-no-such-library.so"]).is_none());
        // Whatever this machine has, asking twice gives the same answer.
        assert_eq!(cuda_driver(), cuda_driver());
        assert_eq!(vulkan_devices(), vulkan_devices());
    }

    #[test]
    fn cuda_codes_become_sentences() {
        assert_eq!(cuda("cuInit", 0), Ok(()));
        assert!(cuda("cuInit", 100).unwrap_err().contains("no CUDA device"));
        assert!(cuda("cuInit", 42).unwrap_err().contains("cuInit failed with CUDA error 42"));
    }

    #[test]
    fn devices_are_numbered_within_their_kind() {
        let card = |name: &str| (name.to_string(), VulkanKind::Discrete, 1);
        let software = ("llvmpipe".to_string(), VulkanKind::Software, 2);
        let devices = number_kinds([card("a"), software, card("b")].into_iter());
        let numbers: Vec<usize> = devices.iter().map(|device| device.index_of_kind).collect();
        assert_eq!(numbers, [0, 0, 1]);
    }
}
