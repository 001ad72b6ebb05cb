//! The encoder on CPU cores: the twin of [`Bert`](super::encoder::Bert) on burn's CPU backend.

use screader_kernels::host::{Dense, Encoder, EncoderLayer, LayerNorm};

use super::parameters::{LayerParameters, LinearParameters, NormParameters, Parameters};
use super::settings::BertSettings;

/// Lay the weights out for CPU cores.
pub(super) fn encoder(settings: &BertSettings, parameters: Parameters) -> Encoder {
    let epsilon = settings.layer_norm_eps as f32;
    Encoder {
        words: parameters.words,
        positions: parameters.positions,
        norm: norm(parameters.norm, epsilon),
        layers: parameters.layers.into_iter().map(|own| layer(own, epsilon)).collect(),
        heads: settings.num_attention_heads,
    }
}

fn layer(parameters: LayerParameters, epsilon: f32) -> EncoderLayer {
    EncoderLayer {
        query_key_value: dense(parameters.query_key_value),
        attended: dense(parameters.attended),
        attended_norm: norm(parameters.attended_norm, epsilon),
        widened: dense(parameters.widened),
        narrowed: dense(parameters.narrowed),
        narrowed_norm: norm(parameters.narrowed_norm, epsilon),
    }
}

fn dense(parameters: LinearParameters) -> Dense {
    Dense::new(&parameters.weight, parameters.bias)
}

fn norm(parameters: NormParameters, epsilon: f32) -> LayerNorm {
    LayerNorm { scale: parameters.scale, shift: parameters.shift, epsilon }
}

/// Group consecutive texts into groups of at most `budget` tokens; a longer text is a group of its own.
pub(super) fn groups(tokens: &[Vec<u32>], budget: usize) -> Vec<std::ops::Range<usize>> {
    let mut groups: Vec<std::ops::Range<usize>> = Vec::new();
    let mut filled = 0;
    for (at, text) in tokens.iter().enumerate() {
        match groups.last_mut() {
            Some(group) if filled + text.len() <= budget => group.end = at + 1,
            _ => {
                filled = 0;
                groups.push(at..at + 1);
            }
        }
        filled += text.len();
    }
    groups
}

/// Divide every row of `width` by its length; the least length is that of PyTorch's `normalize`.
pub(super) fn normalise(rows: &mut [f32], width: usize) {
    for row in rows.chunks_exact_mut(width) {
        let length = row.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-12);
        row.iter_mut().for_each(|value| *value /= length);
    }
}
