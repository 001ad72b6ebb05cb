//! The fused and the plain kernels on Vulkan, where a driver is present.
#![cfg(feature = "wgpu")]
// clippy's leave for tests does not reach the functions that they share.
#![allow(clippy::unwrap_used)]

#[path = "llama/golden.rs"]
mod golden;

use burn::tensor::{DType, backend::Backend};
use burn_wgpu::{Wgpu, WgpuDevice};
use golden::{Golden, floats, relative_distance};
use screader_models::llama::{Kernels, Llama, Weights};

/// Run `work` on the first Vulkan device, or print why not.
///
/// cubecl panics where no adapter is found, and offers no other way to ask.
fn on_vulkan(work: impl FnOnce(&WgpuDevice) + std::panic::UnwindSafe) {
    let device = WgpuDevice::DefaultDevice;
    let probe = std::panic::catch_unwind(|| {
        let one = burn::tensor::Tensor::<Wgpu, 1>::ones([1], &WgpuDevice::DefaultDevice);
        floats(one)
    });
    match probe {
        Ok(one) => {
            assert_eq!(one, [1.0]);
            work(&device);
        }
        Err(_) => println!("skipped: no Vulkan driver (Debian: mesa-vulkan-drivers)"),
    }
}

#[test]
fn goldens_hold_on_vulkan() {
    on_vulkan(|device| {
        // What each type may be off by: of the states, of the gradients.
        let types = [(DType::F32, 1e-4, 1e-3), (DType::F16, 8e-3, 2e-2), (DType::BF16, 3e-2, 6e-2)];
        for (dtype, allowed_cls, allowed_gradient) in types {
            if !Wgpu::<f32, i32>::supports_dtype(device, dtype) {
                println!("skipped {dtype:?}: {device:?} does not compute in it");
                continue;
            }
            for kind in ["gqa_tied", "mha", "mqa", "head_dim", "biases", "rope_llama3"] {
                let golden = Golden::read(kind);
                for kernels in [Kernels::Fused(dtype, Weights::Wide), Kernels::Plain(dtype)] {
                    if kind != "gqa_tied" && kernels == Kernels::Plain(dtype) {
                        continue;
                    }
                    let llama = Llama::<Wgpu>::load_with_kernels(
                        &golden.folder,
                        device,
                        kernels,
                        &|_, _| {},
                    )
                    .unwrap();
                    let x0 = golden.numbers("x0").tensor::<Wgpu, 3>(device);
                    let (h_cls, saved) = llama.forward_save(x0, &golden.lengths);
                    let cls = relative_distance(&floats(h_cls), &golden.numbers("h_cls").values);
                    let r = golden.numbers("r").tensor::<Wgpu, 2>(device);
                    let gradient = floats(llama.backward_input(r, saved));
                    let gradient = relative_distance(&gradient, &golden.numbers("g_x0").values);
                    println!(
                        "{kind}, {kernels:?} on {device:?}: cls {cls:e}, gradient {gradient:e}"
                    );
                    assert!(cls < allowed_cls && gradient < allowed_gradient, "{kind} {kernels:?}");
                }
            }
        }
    });
}

#[test]
fn a_last_layer_for_cls_alone_changes_nothing_on_vulkan() {
    on_vulkan(|device| {
        let golden = Golden::read("gqa_tied");
        let kernels = Kernels::Fused(DType::F32, Weights::Wide);
        let llama =
            Llama::<Wgpu>::load_with_kernels(&golden.folder, device, kernels, &|_, _| {}).unwrap();
        let llama = llama.with_whole_last_layer();
        let x0 = golden.numbers("x0").tensor::<Wgpu, 3>(device);
        let (h_cls, saved) = llama.forward_save(x0, &golden.lengths);
        let cls = relative_distance(&floats(h_cls), &golden.numbers("h_cls").values);
        let r = golden.numbers("r").tensor::<Wgpu, 2>(device);
        let gradient = floats(llama.backward_input(r, saved));
        let gradient = relative_distance(&gradient, &golden.numbers("g_x0").values);
        assert!(cls < 1e-4 && gradient < 1e-3, "cls {cls:e}, gradient {gradient:e}");
    });
}
