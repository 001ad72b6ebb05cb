//! The frozen LLaMA that users hold.

use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData, backend::Backend};

use super::batch::Batch;
use super::config::LlamaConfig;
use super::decoder::{Decoder, SavedDecoder};
use super::embeddings::TokenEmbeddings;
use super::random::RandomWeights;
use super::weights::{Source, output_head};
use crate::Result;

/// A frozen LLaMA on a device.
pub struct Llama<B: Backend> {
    config: LlamaConfig,
    embeddings: TokenEmbeddings,
    decoder: Decoder<B>,
    device: B::Device,
}

/// What [`Llama::forward_save`] keeps for [`Llama::backward_input`]: every activation that the gradient
/// needs, and no attention map.
pub struct Saved<B: Backend>(SavedDecoder<B>);

impl<B: Backend> Llama<B> {
    /// Load a Hugging Face folder: `config.json` and one safetensors file or shards with their index.
    ///
    /// Weights are memory-mapped and moved to the device layer by layer, so that host memory holds about
    /// one layer; f32, f16 and bf16 become the backend's float type.
    ///
    /// # Errors
    /// Names the key when the architecture or rope type is unknown, or a tensor is missing, extra or of a
    /// wrong shape or type.
    pub fn load(folder: &Path, device: &B::Device) -> Result<Self> {
        Self::load_with_progress(folder, device, &|_, _| {})
    }

    /// Load as [`Self::load`] does, calling `on_layer(done, total)` after each layer.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_with_progress(
        folder: &Path,
        device: &B::Device,
        on_layer: &dyn Fn(usize, usize),
    ) -> Result<Self> {
        let config = LlamaConfig::load(folder)?;
        let source = Source::open(folder, &config)?;
        Self::build(config, source, folder.to_path_buf(), 0, device, on_layer)
    }

    /// Make a LLaMA of seeded random weights: a control, not a language model.
    ///
    /// Nearly normal weights of deviation `1/sqrt(inputs)`, unit norms and zero biases; the same seed
    /// gives the same bytes on every machine.
    pub fn random(config: &LlamaConfig, seed: u64, device: &B::Device) -> Self {
        let source = Source::Seed(RandomWeights::new(seed));
        match Self::build(config.clone(), source, PathBuf::new(), seed, device, &|_, _| {}) {
            Ok(llama) => llama,
            Err(error) => unreachable!("a seed reads no file: {error}"),
        }
    }

    fn build(
        config: LlamaConfig,
        mut source: Source,
        folder: PathBuf,
        seed: u64,
        device: &B::Device,
        on_layer: &dyn Fn(usize, usize),
    ) -> Result<Self> {
        let mut decoder = Decoder::new(&config, source.final_norm(&config)?, device);
        for index in 0..config.num_hidden_layers {
            decoder.push(source.layer(&config, index)?);
            on_layer(index + 1, config.num_hidden_layers);
        }
        let embeddings = TokenEmbeddings::of(source, folder, seed);
        Ok(Self { config, embeddings, decoder, device: device.clone() })
    }

    /// Give the shape of the network.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// Look up token embeddings, `[tokens, hidden]`.
    ///
    /// # Errors
    /// An id outside the vocabulary.
    pub fn embed_tokens(&self, ids: &[u32]) -> Result<Tensor<B, 2>> {
        let rows = self.embeddings.rows(ids, &self.config)?;
        let shape = [ids.len(), self.config.hidden_size];
        Ok(Tensor::from_data(TensorData::new(rows, shape), &self.device))
    }

    /// Run the decoder: the final-normed hidden state at each cell's last real token, `[cells, hidden]`.
    ///
    /// `x0` is `[cells, tokens, hidden]`, right-padded; `lengths[c]` counts the real tokens of cell `c`.
    /// What stands in the pads does not matter.
    ///
    /// # Panics
    /// When `lengths` is not one number in `1..=tokens` a cell, as burn does for shapes that disagree.
    pub fn forward(&self, x0: Tensor<B, 3>, lengths: &[usize]) -> Tensor<B, 2> {
        let batch = Batch::new(x0.dims(), lengths);
        self.decoder.forward(x0, &batch)
    }

    /// Run the decoder as [`Self::forward`] does and keep what [`Self::backward_input`] needs.
    ///
    /// # Panics
    /// As [`Self::forward`].
    pub fn forward_save(&self, x0: Tensor<B, 3>, lengths: &[usize]) -> (Tensor<B, 2>, Saved<B>) {
        let batch = Batch::new(x0.dims(), lengths);
        let (h_cls, saved) = self.decoder.forward_save(x0, &batch);
        (h_cls, Saved(saved))
    }

    /// Carry a gradient `[cells, hidden]` of the output back to the inputs, `[cells, tokens, hidden]`.
    ///
    /// Pads get zero. No weight gradient is computed.
    pub fn backward_input(&self, g_cls: Tensor<B, 2>, saved: Saved<B>) -> Tensor<B, 3> {
        self.decoder.backward_input(g_cls, saved.0)
    }

    /// Give the residual stream as transformers' `output_hidden_states` does: the inputs, then the output
    /// of each layer, the last one normalised; each `[cells, tokens, hidden]`, meaningless at pads.
    ///
    /// # Panics
    /// As [`Self::forward`].
    pub fn hidden_states(&self, x0: Tensor<B, 3>, lengths: &[usize]) -> Vec<Tensor<B, 3>> {
        let batch = Batch::new(x0.dims(), lengths);
        self.decoder.hidden_states(x0, &batch)
    }
}

/// Load the output head of a folder, `[vocab_size, hidden]`: its own matrix or the tied embeddings.
///
/// Apart from [`Llama`], which has no use for it: `logits = h · headᵀ`.
///
/// # Errors
/// As [`Llama::load`], and a folder without a head.
pub fn load_output_head<B: Backend>(folder: &Path, device: &B::Device) -> Result<Tensor<B, 2>> {
    let config = LlamaConfig::load(folder)?;
    let head = output_head(folder, &config)?;
    let shape = [config.vocab_size, config.hidden_size];
    Ok(Tensor::from_data(TensorData::new(head, shape), device))
}
