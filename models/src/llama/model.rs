//! The frozen LLaMA that users hold.

use std::any::Any;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use serde::{Deserialize, Serialize};

use super::batch::Batch;
use super::config::LlamaConfig;
use super::decoder::Decoder;
use super::embeddings::TokenEmbeddings;
use super::host::HostDecoder;
use super::precision::{Kernels, Precision};
use super::random::RandomWeights;
use super::run::{Keep, Run};
use super::weights::{Source, output_head};
use crate::Result;

/// A frozen LLaMA on a device.
pub struct Llama<B: Backend> {
    config: LlamaConfig,
    embeddings: TokenEmbeddings,
    decoder: Box<dyn Run<B>>,
    kernels: Kernels,
    recompute: Recompute,
    device: B::Device,
}

/// What [`Llama::forward_save`] keeps for [`Llama::backward_input`], and never an attention map.
pub struct Saved(Box<dyn Any + Send>);

/// How much of the forward pass is done again in the backward pass, to save memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recompute {
    /// Nothing: every activation that the gradient needs is kept.
    #[default]
    Nothing,
    /// Every layer but the last: only its input is kept. Of graphics cards alone; others keep everything.
    Layers,
}

fn decoder<B: Backend>(
    kernels: Kernels,
    config: &LlamaConfig,
    final_norm: Vec<f32>,
    device: &B::Device,
) -> Box<dyn Run<B>> {
    match kernels {
        Kernels::Host => Box::new(HostDecoder::new(config, final_norm)),
        Kernels::Plain(dtype) => Box::new(Decoder::<B>::new(config, final_norm, dtype, device)),
        Kernels::Fused(dtype, weights) => {
            super::card::decoder(config, final_norm, dtype, weights, device)
        }
    }
}

impl<B: Backend> Llama<B> {
    /// Load a Hugging Face folder: `config.json` and one safetensors file or shards with their index.
    ///
    /// Weights are memory-mapped and moved to the device layer by layer, so that host memory holds about
    /// one layer; f32, f16 and bf16 become what [`Precision::Auto`] means on the device.
    ///
    /// # Errors
    /// Names the key when the architecture or rope type is unknown, or a tensor is missing, extra or of a
    /// wrong shape or type.
    pub fn load(folder: &Path, device: &B::Device) -> Result<Self> {
        let kernels = Kernels::for_device::<B>(device, Precision::Auto)?;
        Self::load_with_kernels(folder, device, kernels, &|_, _| {})
    }

    /// Load as [`Self::load`] does, with the kernels of the caller's choice, calling
    /// `on_layer(done, total)` after each layer.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_with_kernels(
        folder: &Path,
        device: &B::Device,
        kernels: Kernels,
        on_layer: &dyn Fn(usize, usize),
    ) -> Result<Self> {
        let config = LlamaConfig::load(folder)?;
        let source = Source::open(folder, &config)?;
        Self::build(config, source, folder.to_path_buf(), 0, device, kernels, on_layer)
    }

    /// Make a LLaMA of seeded random weights: a control, not a language model.
    ///
    /// Nearly normal weights of deviation `1/sqrt(inputs)`, unit norms and zero biases; the same seed
    /// gives the same bytes on every machine.
    pub fn random(config: &LlamaConfig, seed: u64, device: &B::Device) -> Self {
        // Every device computes in f32.
        let kernels = Kernels::for_device::<B>(device, Precision::Auto);
        Self::random_with_kernels(
            config,
            seed,
            device,
            kernels.unwrap_or(Kernels::Plain(DType::F32)),
        )
    }

    /// Make a LLaMA as [`Self::random`] does, with the kernels of the caller's choice.
    pub fn random_with_kernels(
        config: &LlamaConfig,
        seed: u64,
        device: &B::Device,
        kernels: Kernels,
    ) -> Self {
        let (source, folder) = (Source::Seed(Box::new(RandomWeights::new(seed))), PathBuf::new());
        match Self::build(config.clone(), source, folder, seed, device, kernels, &|_, _| {}) {
            Ok(llama) => llama,
            Err(error) => unreachable!("a seed reads no file: {error}"),
        }
    }

    /// Make a LLaMA of random weights that the device draws for itself, in seconds even at 13 billion: for
    /// measuring time and memory, which do not depend on them.
    pub fn random_of_device(config: &LlamaConfig, device: &B::Device, kernels: Kernels) -> Self {
        let (source, folder) = (Source::Device, PathBuf::new());
        match Self::build(config.clone(), source, folder, 0, device, kernels, &|_, _| {}) {
            Ok(llama) => llama,
            Err(error) => unreachable!("a device reads no file: {error}"),
        }
    }

    fn build(
        config: LlamaConfig,
        mut source: Source,
        folder: PathBuf,
        seed: u64,
        device: &B::Device,
        kernels: Kernels,
        on_layer: &dyn Fn(usize, usize),
    ) -> Result<Self> {
        let final_norm = source.final_norm(&config)?;
        let mut decoder = decoder::<B>(kernels, &config, final_norm, device);
        for index in 0..config.num_hidden_layers {
            decoder.push(source.layer(&config, index)?);
            on_layer(index + 1, config.num_hidden_layers);
        }
        let embeddings = TokenEmbeddings::of(source, folder, seed);
        let recompute = Recompute::default();
        Ok(Self { config, embeddings, decoder, kernels, recompute, device: device.clone() })
    }

    /// Say how much of the forward pass [`Self::backward_input`] does again.
    pub fn with_recompute(self, recompute: Recompute) -> Self {
        Self { recompute, ..self }
    }

    /// Compute the last layer for every token, not for each cell's last alone: for measuring what that saves.
    pub fn with_whole_last_layer(mut self) -> Self {
        self.decoder.compute_last_layer_whole();
        self
    }

    /// Say in a few words what runs the decoder.
    pub fn describe(&self) -> String {
        self.decoder.describe()
    }

    /// Give the type that the decoder multiplies in.
    pub fn precision(&self) -> Precision {
        self.kernels.precision()
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
        self.decoder.forward(x0, &batch, Keep::Nothing).0
    }

    /// Run the decoder as [`Self::forward`] does and keep what [`Self::backward_input`] needs.
    ///
    /// # Panics
    /// As [`Self::forward`].
    pub fn forward_save(&self, x0: Tensor<B, 3>, lengths: &[usize]) -> (Tensor<B, 2>, Saved) {
        let batch = Batch::new(x0.dims(), lengths);
        let keep = match self.recompute {
            Recompute::Nothing => Keep::Everything,
            Recompute::Layers => Keep::Inputs,
        };
        let (h_cls, saved) = self.decoder.forward(x0, &batch, keep);
        let Some(saved) = saved else { unreachable!("a decoder keeps what it is asked to keep") };
        (h_cls, Saved(saved))
    }

    /// Carry a gradient `[cells, hidden]` of the output back to the inputs, `[cells, tokens, hidden]`.
    ///
    /// Pads get zero. No weight gradient is computed.
    ///
    /// # Panics
    /// When `saved` comes from another LLaMA, of other kernels or shape.
    pub fn backward_input(&self, g_cls: Tensor<B, 2>, saved: Saved) -> Tensor<B, 3> {
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
