//! Time of one training step's backbone part on the CPU: `forward_save` and `backward_input`.
//!
//!     cargo bench -p screader-models --bench llama [-- host|plain [CELLS TOKENS]]
//!
//! The shape is that of stories260K (260,032 parameters), with random weights: time does not depend on them.

use std::time::Instant;

use burn::backend::Flex;
use burn::tensor::{DType, Distribution, Tensor};
use screader_kernels::rotary::RopeScaling;
use screader_models::llama::{Kernels, Llama, LlamaConfig};

fn main() {
    let config = LlamaConfig {
        hidden_size: 64,
        intermediate_size: 172,
        num_hidden_layers: 5,
        num_attention_heads: 8,
        num_key_value_heads: 4,
        head_dim: 8,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::Default,
        tie_word_embeddings: true,
        attention_bias: false,
        mlp_bias: false,
        vocab_size: 512,
        max_position_embeddings: 512,
    };
    let device = Default::default();
    println!("kernels\tcells\ttokens\tforward_ms\tbackward_ms");
    // `CELLS TOKENS` after the kind measures that size alone.
    let numbers: Vec<usize> = std::env::args().skip(2).flat_map(|word| word.parse()).collect();
    let sizes = match numbers[..] {
        [cells, tokens, ..] => vec![(cells, tokens)],
        _ => vec![(16, 256), (32, 128), (16, 1024)],
    };
    // `host` or `plain` measures one kind alone.
    let only = std::env::args().nth(1).unwrap_or_default();
    let wanted = [("host", Kernels::Host), ("plain", Kernels::Plain(DType::F32))]
        .into_iter()
        .filter(|(name, _)| !["host", "plain"].contains(&only.as_str()) || *name == only);
    for (kernels, (cells, tokens)) in
        wanted.flat_map(|(_, kernels)| sizes.iter().map(move |size| (kernels, *size)))
    {
        let llama = Llama::<Flex>::random_with_kernels(&config, 0, &device, kernels);
        let shape = [cells, tokens, config.hidden_size];
        let x0 = Tensor::<Flex, 3>::random(shape, Distribution::Default, &device);
        let g = Tensor::<Flex, 2>::ones([cells, config.hidden_size], &device);
        let mut best = [f64::INFINITY; 2];
        for _ in 0..5 {
            let start = Instant::now();
            let (_, saved) = llama.forward_save(x0.clone(), &vec![tokens; cells]);
            let middle = Instant::now();
            llama.backward_input(g.clone(), saved);
            let times = [middle - start, middle.elapsed()];
            for (best, time) in best.iter_mut().zip(times) {
                *best = best.min(time.as_secs_f64() * 1e3);
            }
        }
        println!("{kernels:?}\t{cells}\t{tokens}\t{:.1}\t{:.1}", best[0], best[1]);
    }
}
