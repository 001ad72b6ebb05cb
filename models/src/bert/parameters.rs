//! The encoder's weights as plain values, before they go to where they are used.

use super::settings::BertSettings;
use super::weights::Weights;
use crate::Result;

/// All weights of an encoder.
pub(super) struct Parameters {
    /// `[vocab_size, hidden_size]`.
    pub(super) words: Vec<f32>,
    /// Position embeddings plus the embedding of the first token type, `[positions, hidden_size]`.
    pub(super) positions: Vec<f32>,
    pub(super) norm: NormParameters,
    pub(super) layers: Vec<LayerParameters>,
}

/// The weights of one layer.
pub(super) struct LayerParameters {
    /// Queries (already divided by √head_size), keys and values in one product.
    pub(super) query_key_value: LinearParameters,
    pub(super) attended: LinearParameters,
    pub(super) attended_norm: NormParameters,
    pub(super) widened: LinearParameters,
    pub(super) narrowed: LinearParameters,
    pub(super) narrowed_norm: NormParameters,
}

/// `weight` is `[outputs, inputs]`, as published.
pub(super) struct LinearParameters {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

/// Both `[hidden_size]`.
pub(super) struct NormParameters {
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
}

impl Parameters {
    /// Take the parts of the encoder from a checkpoint by their names.
    pub(super) fn take(settings: &BertSettings, weights: &mut Weights<'_>) -> Result<Self> {
        let hidden = settings.hidden_size;
        let words =
            weights.take("embeddings.word_embeddings.weight", &[settings.vocab_size, hidden])?;
        let mut positions = weights.take(
            "embeddings.position_embeddings.weight",
            &[settings.max_position_embeddings, hidden],
        )?;
        let types = weights
            .take("embeddings.token_type_embeddings.weight", &[settings.type_vocab_size, hidden])?;
        for row in positions.chunks_exact_mut(hidden) {
            row.iter_mut().zip(&types).for_each(|(value, first_type)| *value += first_type);
        }
        let norm = NormParameters::take(weights, "embeddings.LayerNorm", hidden)?;
        let layers = (0..settings.num_hidden_layers)
            .map(|at| LayerParameters::take(settings, weights, &format!("encoder.layer.{at}")))
            .collect::<Result<_>>()?;
        Ok(Self { words, positions, norm, layers })
    }
}

impl LayerParameters {
    fn take(settings: &BertSettings, weights: &mut Weights<'_>, name: &str) -> Result<Self> {
        let (hidden, inner) = (settings.hidden_size, settings.intermediate_size);
        let attention = format!("{name}.attention");
        let scale = 1.0 / (settings.head_size() as f32).sqrt();
        let mut query_key_value = LinearParameters { weight: Vec::new(), bias: Vec::new() };
        for (part, scale) in [("query", scale), ("key", 1.0), ("value", 1.0)] {
            let name = format!("{attention}.self.{part}");
            let part = LinearParameters::take(weights, &name, hidden, hidden)?;
            query_key_value.weight.extend(part.weight.iter().map(|value| value * scale));
            query_key_value.bias.extend(part.bias.iter().map(|value| value * scale));
        }
        let mut linear =
            |name: &str, inputs, outputs| LinearParameters::take(weights, name, inputs, outputs);
        Ok(Self {
            query_key_value,
            attended: linear(&format!("{attention}.output.dense"), hidden, hidden)?,
            widened: linear(&format!("{name}.intermediate.dense"), hidden, inner)?,
            narrowed: linear(&format!("{name}.output.dense"), inner, hidden)?,
            attended_norm: NormParameters::take(
                weights,
                &format!("{attention}.output.LayerNorm"),
                hidden,
            )?,
            narrowed_norm: NormParameters::take(
                weights,
                &format!("{name}.output.LayerNorm"),
                hidden,
            )?,
        })
    }
}

impl LinearParameters {
    fn take(weights: &mut Weights<'_>, name: &str, inputs: usize, outputs: usize) -> Result<Self> {
        let weight = weights.take(&format!("{name}.weight"), &[outputs, inputs])?;
        Ok(Self { weight, bias: weights.take(&format!("{name}.bias"), &[outputs])? })
    }
}

impl NormParameters {
    fn take(weights: &mut Weights<'_>, name: &str, hidden: usize) -> Result<Self> {
        let scale = weights.take(&format!("{name}.weight"), &[hidden])?;
        Ok(Self { scale, shift: weights.take(&format!("{name}.bias"), &[hidden])? })
    }
}
