//! The frozen decoder: whether a graphics card computes it rightly, and how fast each device does.
//!
//!     decoder step     [--device cpu|cuda|wgpu] [--model 7b|13b|small|260k] [--tokens 2064] [--cells 1,2,4]
//!                      [--shortest N] [--pads skipped|computed] [--last-layer cls|whole] [--steps 5]
//!                      [--recompute nothing|layers] [--weights wide|int8|int4] [--kernels best|plain]
//!     decoder slope    [the same, of one size: memory over 300 steps]
//!     decoder check    --device cuda|wgpu
//!     decoder products --device cuda [--rows 8192,16384] [--burn yes]
//!
//! On the processor: `cargo bench -p screader-models --bench decoder -- step --device cpu --model small`. What
//! needs a card is built with the features `cuda` and `wgpu`, and `scripts/gpu-suite` runs it beside PyTorch.
//! Writes one line of JSON a measurement to stdout and talks on stderr. Exit code 1 where a check fails.

#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod check;
#[cfg(feature = "cuda")]
mod products;
mod step;

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Instant;

use burn::backend::Flex;
use burn::tensor::{Tensor, backend::Backend};
use screader_kernels::rotary::RopeScaling;
use screader_models::llama::LlamaConfig;

/// What was typed after the verb, `--name value`.
struct Options(HashMap<String, String>);

impl Options {
    fn read() -> (String, Self) {
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        let verb = words.next().unwrap_or_else(|| "step".into());
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
    let measured = match options.text("device", "cpu") {
        "cpu" => measure::<Flex>(&verb, &options),
        #[cfg(feature = "cuda")]
        "cuda" => match verb.as_str() {
            "check" => check::check::<cubecl::cuda::CudaRuntime, u8>(&Default::default()),
            "products" => products::products(&options),
            _ => measure::<burn_cuda::Cuda>(&verb, &options),
        },
        #[cfg(feature = "wgpu")]
        "wgpu" => match verb.as_str() {
            "check" => check::check::<cubecl::wgpu::WgpuRuntime, u32>(&Default::default()),
            _ => measure::<burn_wgpu::Wgpu>(&verb, &options),
        },
        other => Err(format!("--device {other}: this build knows no such device")),
    };
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn measure<B: Backend>(verb: &str, options: &Options) -> Result<(), String> {
    match verb {
        "step" => step::step::<B>(options, &Default::default()),
        "slope" => step::slope::<B>(options, &Default::default()),
        _ => Err(format!("expected step or slope on this device, found '{verb}'")),
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
