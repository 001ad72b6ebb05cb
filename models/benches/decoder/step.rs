//! Time and memory of forward passes and training steps.

use std::time::Instant;

use burn::tensor::{DType, Distribution, Tensor, backend::Backend};
use screader_models::llama::{Kernels, Llama, LlamaConfig, Precision, Recompute, Weights};
use serde_json::{Value, json};

use super::{Options, median, numbers, sizes};

/// A frozen decoder of random weights, as the options describe it.
fn network<B: Backend>(
    options: &Options,
    device: &B::Device,
) -> Result<(Llama<B>, Kernels), String> {
    let name = options.text("model", "13b");
    let config = match name {
        "7b" => sizes(4096, 11_008, 32, [32, 32]),
        "13b" => sizes(5120, 13_824, 40, [40, 40]),
        "small" => sizes(512, 1376, 8, [8, 8]),
        "260k" => sizes(64, 172, 5, [8, 4]),
        other => return Err(format!("--model {other}: expected 7b, 13b, small or 260k")),
    };
    let weights = match options.text("weights", "wide") {
        "int8" => Weights::Int8,
        "int4" => Weights::Int4,
        _ => Weights::Wide,
    };
    let kernels = Kernels::for_device::<B>(device, Precision::Auto);
    let kernels = kernels.and_then(|kernels| kernels.with_weights(weights));
    let kernels =
        match (kernels.map_err(|error| error.to_string())?, options.text("kernels", "best")) {
            (Kernels::Fused(dtype, _), "plain") => Kernels::Plain(dtype),
            (Kernels::Host, "plain") => Kernels::Plain(DType::F32),
            (kernels, _) => kernels,
        };
    let recompute = match options.text("recompute", "nothing") {
        "layers" => Recompute::Layers,
        _ => Recompute::Nothing,
    };
    let began = Instant::now();
    let llama = Llama::<B>::random_of_device(&config, device, kernels).with_recompute(recompute);
    let llama = match options.text("last-layer", "cls") {
        "whole" => llama.with_whole_last_layer(),
        _ => llama,
    };
    numbers(llama.forward(Tensor::zeros([1, 8, config.hidden_size], device), &[8]));
    let (by, seconds) = (llama.describe(), began.elapsed().as_secs_f64());
    eprintln!("{name}: {by}, {kernels:?}, weights made in {seconds:.1} s");
    Ok((llama, kernels))
}

/// What a measurement was made of, to which its results are added.
fn about(options: &Options, kernels: Kernels, tokens: usize, cells: usize) -> Value {
    json!({
        "device": options.text("device", "cpu"),
        "model": options.text("model", "13b"),
        "weights": options.text("weights", "wide"),
        "kernels": format!("{kernels:?}"),
        "recompute": options.text("recompute", "nothing"),
        "last_layer": options.text("last-layer", "cls"),
        "pads": options.text("pads", "skipped"),
        "shortest": options.number("shortest", tokens),
        "tokens": tokens,
        "cells": cells,
    })
}

fn random<B: Backend, const D: usize>(shape: [usize; D], device: &B::Device) -> Tensor<B, D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

/// Run a training step; gives the sum of the gradient, for which the device has to be done.
fn run<B: Backend>(
    llama: &Llama<B>,
    x0: &Tensor<B, 3>,
    lengths: &[usize],
    g: &Tensor<B, 2>,
) -> f32 {
    let (_, saved) = llama.forward_save(x0.clone(), lengths);
    numbers(llama.backward_input(g.clone(), saved).sum())[0]
}

/// Time forward passes and training steps of the frozen decoder.
pub(super) fn step<B: Backend>(options: &Options, device: &B::Device) -> Result<(), String> {
    let (llama, kernels) = network::<B>(options, device)?;
    let (config, repeats) = (llama.config(), options.number("steps", 5));
    for tokens in options.numbers("tokens", "2064") {
        for cells in options.numbers("cells", "1,2,4") {
            let x0 = random::<B, 3>([cells, tokens, config.hidden_size], device);
            let g = random::<B, 2>([cells, config.hidden_size], device);
            let lengths = lengths(options, tokens, cells);
            let forward = median(repeats, || {
                numbers(llama.forward(x0.clone(), &lengths));
            });
            let mut sum = 0.0;
            let step = median(repeats, || sum = run(&llama, &x0, &lengths, &g));
            let flops: f64 = lengths.iter().map(|&length| flops(config, length)).sum();
            let [forward, rate] = [forward, step].map(|seconds| cells as f64 / seconds);
            let (tflops, memory) = (flops / step / 1e12, memory_mib(options));
            eprintln!(
                "{tokens} tokens, {cells} cells: forward {forward:.2} cells/s, step {rate:.2} cells/s, \
                 {tflops:.2} TFLOP/s, {memory:?} MiB, Σg {sum:e}"
            );
            let mut result = about(options, kernels, tokens, cells);
            result["what"] = "step".into();
            result["forward_cells_per_s"] = forward.into();
            result["step_cells_per_s"] = rate.into();
            result["tflops"] = tflops.into();
            result["memory_mib"] = memory.into();
            println!("{result}");
        }
    }
    Ok(())
}

/// Run 300 training steps and see whether memory grows once the first 50 have settled it.
pub(super) fn slope<B: Backend>(options: &Options, device: &B::Device) -> Result<(), String> {
    let (llama, kernels) = network::<B>(options, device)?;
    let (tokens, cells) = (options.number("tokens", 2064), options.number("cells", 1));
    let (steps, settled) = (options.number("steps", 300), 50);
    let hidden = llama.config().hidden_size;
    let x0 = random::<B, 3>([cells, tokens, hidden], device);
    let g = random::<B, 2>([cells, hidden], device);
    let lengths = lengths(options, tokens, cells);
    let mut memory = Vec::new();
    for step in 1..=steps.max(2 * settled) {
        run(&llama, &x0, &lengths, &g);
        if step % settled == 0 {
            memory.push(memory_mib(options).ok_or("no way to ask for the memory in use")?);
        }
    }
    let grown = memory[memory.len() - 1] as f64 - memory[0] as f64;
    let per_step = grown / (settled * (memory.len() - 1)) as f64;
    eprintln!("{memory:?} MiB every {settled} steps: {per_step:.3} MiB a step");
    let mut result = about(options, kernels, tokens, cells);
    result["what"] = "slope".into();
    result["memory_mib"] = memory.into();
    result["mib_per_step"] = per_step.into();
    println!("{result}");
    Ok(())
}

/// Lengths of the cells: spread evenly from `--shortest` to `tokens`, or all of `tokens` where pads are computed.
fn lengths(options: &Options, tokens: usize, cells: usize) -> Vec<usize> {
    let shortest = match options.text("pads", "skipped") {
        "computed" => tokens,
        _ => options.number("shortest", tokens).min(tokens),
    };
    let spread = (cells - 1).max(1);
    (0..cells).map(|cell| tokens - (tokens - shortest) * cell / spread).collect()
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

/// Memory in use, in MiB: of the process on the processor; on the first card as NVIDIA's driver says, where
/// burn's pools give none back, so that at the end it is the peak.
fn memory_mib(options: &Options) -> Option<u64> {
    if options.text("device", "cpu") == "cpu" {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        return Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? / 1024);
    }
    let arguments = ["--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"];
    let output = std::process::Command::new("nvidia-smi").args(arguments).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}
