//! Whether a graphics card's decoder is right.

use burn::backend::Flex;
use burn::tensor::{Distribution, Tensor, TensorPrimitive, backend::Backend};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime};
use screader_kernels::gpu::quantised::{BLOCK, Bits, quantise, rounded};
use screader_models::llama::{Kernels, Llama, LlamaConfig, Precision, Recompute, Weights};
use serde_json::json;

use super::{numbers, sizes};

/// A backend of one of the two kinds of card.
type Card<R, BT> = CubeBackend<R, f32, i32, BT>;

/// Hold outputs and input gradients of small LLaMAs against the processor's kernels, and rounded weights
/// against their twins.
pub(super) fn check<R: CubeRuntime, BT: BoolElement>(device: &R::CubeDevice) -> Result<(), String> {
    let mut right = check_rounding::<R, BT>(device);
    let shapes = [
        ("grouped", sizes(256, 688, 3, [8, 2]), vec![1100, 700, 37, 1]),
        ("wide heads", sizes(512, 1376, 2, [4, 4]), vec![600, 600]),
        ("narrow heads", sizes(64, 172, 5, [8, 4]), vec![9, 130, 64]),
    ];
    for (name, config, lengths) in shapes {
        right &= check_network::<Card<R, BT>>(name, &config, &lengths, device);
    }
    if right { Ok(()) } else { Err("a network is off by more than its bounds".into()) }
}

/// What a network may be off by, relative to the whole: of the states, of the gradients. Rounding weights is
/// no error; how far it carries is reported, and bounded so that a wrong scale would show.
const BOUNDS: [(Precision, Weights, f64, f64); 5] = [
    (Precision::F32, Weights::Wide, 1e-4, 1e-3),
    (Precision::F16, Weights::Wide, 1e-2, 2e-2),
    (Precision::Bf16, Weights::Wide, 3e-2, 6e-2),
    (Precision::F32, Weights::Int8, 3e-2, 6e-2),
    (Precision::F32, Weights::Int4, 0.4, 0.6),
];

fn check_network<B: Backend>(
    name: &str,
    config: &LlamaConfig,
    lengths: &[usize],
    device: &B::Device,
) -> bool {
    let tokens = lengths.iter().copied().max().unwrap_or(1);
    let shape = [lengths.len(), tokens, config.hidden_size];
    let processor = Default::default();
    Flex::seed(&processor, 0);
    let x0 = Tensor::<Flex, 3>::random(shape, Distribution::Default, &processor) * 2.0 - 1.0;
    let g = Tensor::<Flex, 2>::random([shape[0], shape[2]], Distribution::Default, &processor);
    let twin = Llama::<Flex>::random_with_kernels(config, 7, &processor, Kernels::Host);
    let (h_twin, saved) = twin.forward_save(x0.clone(), lengths);
    let (h_twin, g_twin) = (numbers(h_twin), numbers(twin.backward_input(g.clone(), saved)));
    let mut right = true;
    for (precision, weights, allowed_states, allowed_gradients) in BOUNDS {
        let kernels = Kernels::for_device::<B>(device, precision);
        let Ok(kernels) = kernels.and_then(|kernels| kernels.with_weights(weights)) else {
            eprintln!("{name}, {precision}: skipped, the device does not compute in it");
            continue;
        };
        for recompute in [Recompute::Nothing, Recompute::Layers] {
            let llama = Llama::<B>::random_with_kernels(config, 7, device, kernels)
                .with_recompute(recompute);
            let moved = Tensor::<B, 3>::from_data(x0.to_data(), device);
            let (h, saved) = llama.forward_save(moved, lengths);
            let pulled = Tensor::<B, 2>::from_data(g.to_data(), device);
            let g_x0 = numbers(llama.backward_input(pulled, saved));
            let states = relative_distance(&numbers(h), &h_twin);
            let gradients = relative_distance(&g_x0, &g_twin);
            let passed = states < allowed_states && gradients < allowed_gradients;
            right &= passed;
            let (by, verdict) = (llama.describe(), if passed { "" } else { "  WRONG" });
            eprintln!(
                "{name}, {precision}, weights {weights}, recomputing {recompute:?}, {by}: \
                 states {states:.1e}, gradients {gradients:.1e}{verdict}"
            );
            println!(
                "{}",
                json!({"what": "check", "network": name, "precision": precision, "weights": weights,
                    "recompute": format!("{recompute:?}"), "kernels": by, "states": states,
                    "gradients": gradients, "passed": passed})
            );
        }
    }
    right
}

/// Round weights on the card and on the host.
fn check_rounding<R: CubeRuntime, BT: BoolElement>(device: &R::CubeDevice) -> bool {
    let shape = [96, 160];
    let processor = Default::default();
    let weight = Tensor::<Flex, 2>::random(shape, Distribution::Normal(0.0, 0.1), &processor);
    // A block of zeros has no scale.
    let weight = weight.slice_assign([0..1, 0..BLOCK], Tensor::zeros([1, BLOCK], &processor));
    let mut right = true;
    for bits in [Bits::Eight, Bits::Four] {
        let moved = Tensor::<Card<R, BT>, 2>::from_data(weight.to_data(), device);
        let wide = quantise(&into_contiguous(moved.into_primitive().tensor()), bits).dequantise();
        let wide = Tensor::<Card<R, BT>, 2>::from_primitive(TensorPrimitive::Float(wide));
        let distance = relative_distance(&numbers(wide), &rounded(&numbers(weight.clone()), bits));
        eprintln!("rounded to {bits:?} bits: {distance:.1e} from the twin");
        right &= distance < 1e-6;
    }
    right
}

fn relative_distance(found: &[f32], expected: &[f32]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let mut apart = found.iter().zip(expected).map(|(a, b)| f64::from(a - b));
    let apart = norm(&mut apart);
    let distance = apart / norm(&mut expected.iter().map(|&v| f64::from(v)));
    if distance.is_nan() { f64::INFINITY } else { distance }
}
