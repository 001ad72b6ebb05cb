//! The decoder on a graphics card: whether it is right, and how fast. `scripts/gpu-suite` runs it.
//!
//!     card check    [--device cuda|wgpu]
//!     card products [--device cuda|wgpu] [--rows 8192,16384]
//!     card step     [--device cuda|wgpu] [--model 7b|13b|small] [--tokens 2064] [--cells 1,2,4]
//!                   [--recompute nothing|layers] [--weights wide|int8|int4] [--steps 5]
//!                   [--kernels fused|plain]
//!
//! Writes one line of JSON a measurement to stdout and talks on stderr. Exit code 1 where a check fails.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Instant;

use burn::backend::Flex;
use burn::tensor::{DType, Distribution, Tensor, TensorPrimitive, backend::Backend};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime};
use burn_cuda::Cuda;
use cubecl::cuda::CudaRuntime;
use cubecl::wgpu::WgpuRuntime;
use screader_kernels::gpu::product::{As, Matrices, Product, Products, Write};
use screader_kernels::gpu::quantised::{BLOCK, Bits, quantise, rounded};
use screader_kernels::rotary::RopeScaling;
use screader_models::llama::{Kernels, Llama, LlamaConfig, Precision, Recompute, Weights};
use serde_json::json;

/// A backend of one of the two.
type Card<R, BT> = CubeBackend<R, f32, i32, BT>;

/// What was typed after the verb, `--name value`.
struct Options(HashMap<String, String>);

impl Options {
    fn read() -> (String, Self) {
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        let verb = words.next().unwrap_or_else(|| "check".into());
        let mut options = HashMap::new();
        while let Some(name) = words.next() {
            let value = words.next().unwrap_or_default();
            options.insert(name.trim_start_matches('-').to_string(), value);
        }
        (verb, Self(options))
    }

    fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.0.get(name).map_or(default, String::as_str)
    }

    fn numbers(&self, name: &str, default: &str) -> Vec<usize> {
        self.text(name, default).split(',').flat_map(|word| word.parse()).collect()
    }

    fn number(&self, name: &str, default: usize) -> usize {
        self.0.get(name).and_then(|word| word.parse().ok()).unwrap_or(default)
    }
}

fn main() -> ExitCode {
    let (verb, options) = Options::read();
    match options.text("device", "cuda") {
        "cuda" => run::<CudaRuntime, u8>(&verb, &options),
        "wgpu" => run::<WgpuRuntime, u32>(&verb, &options),
        other => {
            eprintln!("--device {other}: expected cuda or wgpu");
            ExitCode::from(2)
        }
    }
}

fn run<R: CubeRuntime, BT: BoolElement>(verb: &str, options: &Options) -> ExitCode {
    let device = R::CubeDevice::default();
    match verb {
        "check" => check::<R, BT>(&device),
        "products" => products(options),
        "step" => step::<Card<R, BT>>(options, &device),
        _ => {
            eprintln!("expected check, products or step, found '{verb}'");
            return ExitCode::from(2);
        }
    }
}

fn sizes(hidden: usize, intermediate: usize, layers: usize, heads: [usize; 2]) -> LlamaConfig {
    LlamaConfig {
        hidden_size: hidden,
        intermediate_size: intermediate,
        num_hidden_layers: layers,
        num_attention_heads: heads[0],
        num_key_value_heads: heads[1],
        head_dim: hidden / heads[0],
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::Default,
        tie_word_embeddings: true,
        attention_bias: false,
        mlp_bias: false,
        vocab_size: 512,
        max_position_embeddings: 4096,
    }
}

/// Hold outputs and input gradients of small LLaMAs against the processor's kernels, and rounded weights
/// against their twins.
fn check<R: CubeRuntime, BT: BoolElement>(device: &R::CubeDevice) -> ExitCode {
    let mut right = check_rounding::<R, BT>(device);
    let shapes = [
        ("grouped", sizes(256, 688, 3, [8, 2]), vec![1100, 700, 37, 1]),
        ("wide heads", sizes(512, 1376, 2, [4, 4]), vec![600, 600]),
        ("narrow heads", sizes(64, 172, 5, [8, 4]), vec![9, 130, 64]),
    ];
    for (name, config, lengths) in shapes {
        right &= check_network::<Card<R, BT>>(name, &config, &lengths, device);
    }
    if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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

fn numbers<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().into_vec().unwrap_or_default()
}

/// Time `act`, which must end in a wait for the device, `repeats` times after two that do not count: the
/// median in seconds.
fn median(repeats: usize, mut act: impl FnMut()) -> f64 {
    act();
    act();
    let mut times: Vec<f64> = (0..repeats)
        .map(|_| {
            let start = Instant::now();
            act();
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Rates of the matrix products of a 7B and a 13B LLaMA on CUDA, forward and back.
fn products(options: &Options) -> ExitCode {
    let device = Default::default();
    let (library, reason) = Products::for_device::<CudaRuntime>(&device);
    if let Some(reason) = reason {
        eprintln!("cuBLASLt: {reason}");
    }
    let random = |rows: usize, columns: usize| {
        let shape = [rows, columns];
        let tensor = Tensor::<Cuda, 2>::random(shape, Distribution::Normal(0.0, 1.0), &device);
        tensor.cast(DType::BF16).into_primitive().tensor()
    };
    let maps = [
        (12_288, 4096),
        (22_016, 4096),
        (4096, 11_008),
        (15_360, 5120),
        (27_648, 5120),
        (5120, 13_824),
        (5120, 5120),
    ];
    for rows in options.numbers("rows", "8192,16384") {
        for (outputs, inputs) in maps {
            let (weight, x, y) =
                (random(outputs, inputs), random(rows, inputs), random(rows, outputs));
            let work = 2.0 * rows as f64 * outputs as f64 * inputs as f64;
            for (by, products) in [("cuBLASLt", &library), ("burn", &Products::Burn)] {
                if products.name() != by || (by == "burn" && !options.0.contains_key("burn")) {
                    continue;
                }
                let [x, y, weight] = [&x, &y, &weight].map(Matrices::whole);
                let repeats = 10;
                let multiply = |a: &Matrices<_>, b: &Matrices<_>, b_as, out: &Matrices<_>| {
                    let (a, b, out) = ((a.clone(), As::Is), (b.clone(), b_as), out.clone());
                    products.multiply(&[Product { a, b, out, scale: 1.0, write: Write::Over }]);
                };
                let wait = |tensor: &burn_cubecl::tensor::CubeTensor<CudaRuntime>| {
                    let tensor =
                        Tensor::<Cuda, 2>::from_primitive(TensorPrimitive::Float(tensor.clone()));
                    tensor.slice([0..1, 0..1]).into_data();
                };
                let forward = median(3, || {
                    for _ in 0..repeats {
                        multiply(&x, &weight, As::Transposed, &y);
                    }
                    wait(y.buffer);
                });
                let back = median(3, || {
                    for _ in 0..repeats {
                        multiply(&y, &weight, As::Is, &x);
                    }
                    wait(x.buffer);
                });
                let rate = |seconds: f64| work * f64::from(repeats) / seconds / 1e12;
                eprintln!(
                    "{rows} × {inputs} → {outputs}, {by}: {:.0} and back {:.0} TFLOP/s",
                    rate(forward),
                    rate(back)
                );
                println!(
                    "{}",
                    json!({"what": "product", "rows": rows, "inputs": inputs, "outputs": outputs, "by": by, "forward_tflops": rate(forward), "back_tflops": rate(back)})
                );
            }
        }
    }
    ExitCode::SUCCESS
}

/// Time forward passes and training steps of the frozen decoder.
fn step<B: Backend>(options: &Options, device: &B::Device) -> ExitCode {
    let name = options.text("model", "13b");
    let config = match name {
        "7b" => sizes(4096, 11_008, 32, [32, 32]),
        "13b" => sizes(5120, 13_824, 40, [40, 40]),
        "small" => sizes(512, 1376, 8, [8, 8]),
        other => {
            eprintln!("--model {other}: expected 7b, 13b or small");
            return ExitCode::from(2);
        }
    };
    let weights = match options.text("weights", "wide") {
        "int8" => Weights::Int8,
        "int4" => Weights::Int4,
        _ => Weights::Wide,
    };
    let kernels = Kernels::for_device::<B>(device, Precision::Auto);
    let kernels = match kernels.and_then(|kernels| kernels.with_weights(weights)) {
        Ok(Kernels::Fused(dtype, _)) if options.text("kernels", "fused") == "plain" => {
            Kernels::Plain(dtype)
        }
        Ok(kernels) => kernels,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let recompute = match options.text("recompute", "nothing") {
        "layers" => Recompute::Layers,
        _ => Recompute::Nothing,
    };
    let began = Instant::now();
    let llama = Llama::<B>::random_of_device(&config, device, kernels).with_recompute(recompute);
    let hidden = config.hidden_size;
    numbers(llama.forward(Tensor::zeros([1, 8, hidden], device), &[8]));
    eprintln!(
        "{name}: {}, {kernels:?}, weights made in {:.1} s",
        llama.describe(),
        began.elapsed().as_secs_f64()
    );
    let repeats = options.number("steps", 5);
    for tokens in options.numbers("tokens", "2064") {
        for cells in options.numbers("cells", "1,2,4") {
            let x0 = Tensor::<B, 3>::random(
                [cells, tokens, hidden],
                Distribution::Normal(0.0, 1.0),
                device,
            );
            let g = Tensor::<B, 2>::random([cells, hidden], Distribution::Normal(0.0, 1.0), device);
            let lengths = vec![tokens; cells];
            let forward = median(repeats, || {
                numbers(llama.forward(x0.clone(), &lengths));
            });
            let mut sum = 0.0;
            let step = median(repeats, || {
                let (_, saved) = llama.forward_save(x0.clone(), &lengths);
                let g_x0 = llama.backward_input(g.clone(), saved);
                sum = numbers(g_x0.sum())[0];
            });
            let per_cell = flops(&config, tokens);
            let rate = cells as f64 / step;
            let memory = memory_used();
            eprintln!(
                "{name}, {tokens} tokens, {cells} cells: forward {:.2} cells/s, step {rate:.2} cells/s, {:.0} TFLOP/s, {memory:?} MiB, Σg {sum:e}",
                cells as f64 / forward,
                rate * per_cell / 1e12,
            );
            println!(
                "{}",
                json!({"what": "step", "model": name, "tokens": tokens, "cells": cells, "recompute": format!("{recompute:?}"), "kernels": format!("{kernels:?}"), "weights": weights, "forward_cells_per_s": cells as f64 / forward, "step_cells_per_s": rate, "tflops": rate * per_cell / 1e12, "memory_mib": memory})
            );
        }
    }
    ExitCode::SUCCESS
}

/// Arithmetic of one cell's training step with nothing recomputed: each weight multiplies each token once
/// forward and once back; of the half of the attention map under the diagonal two products forward and five
/// back.
fn flops(config: &LlamaConfig, tokens: usize) -> f64 {
    let (hidden, tokens, layers) =
        (config.hidden_size as f64, tokens as f64, config.num_hidden_layers as f64);
    let key_width = (config.num_key_value_heads * config.head_dim) as f64;
    let weights = 2.0 * hidden * hidden
        + 2.0 * hidden * key_width
        + 3.0 * hidden * config.intermediate_size as f64;
    layers * (4.0 * weights * tokens + 7.0 * tokens * tokens * hidden)
}

/// Memory in use on the first card, in MiB, as NVIDIA's driver says; burn's pools give none back, so at the
/// end it is the peak.
fn memory_used() -> Option<u64> {
    let arguments = ["--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"];
    let output = std::process::Command::new("nvidia-smi").args(arguments).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}
