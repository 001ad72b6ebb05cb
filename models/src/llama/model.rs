//! The frozen LLaMA that users hold.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};

use super::batch::Batch;
use super::config::LlamaConfig;
use super::decoder::{Decoder, SavedDecoder};
use super::embeddings::TokenEmbeddings;
use super::host::{HostDecoder, SavedHost};
use super::precision::{Kernels, Precision};
use super::random::RandomWeights;
use super::weights::{LayerWeights, Source, output_head};
use crate::Result;

/// A frozen LLaMA on a device.
pub struct Llama<B: Backend> {
    config: LlamaConfig,
    embeddings: TokenEmbeddings,
    decoder: AnyDecoder<B>,
    kernels: Kernels,
    device: B::Device,
}

enum AnyDecoder<B: Backend> {
    Plain(Decoder<B>),
    Host(HostDecoder),
}

/// What [`Llama::forward_save`] keeps for [`Llama::backward_input`]: every activation that the gradient
/// needs, and no attention map.
pub struct Saved<B: Backend>(AnySaved<B>);

enum AnySaved<B: Backend> {
    Plain(SavedDecoder<B>),
    Host(SavedHost),
}

impl<B: Backend> AnyDecoder<B> {
    fn new(
        kernels: Kernels,
        config: &LlamaConfig,
        final_norm: Vec<f32>,
        device: &B::Device,
    ) -> Self {
        match kernels {
            Kernels::Plain(dtype) => Self::Plain(Decoder::new(config, final_norm, dtype, device)),
            Kernels::Host => Self::Host(HostDecoder::new(config, final_norm)),
        }
    }

    fn push(&mut self, layer: LayerWeights) {
        match self {
            Self::Plain(decoder) => decoder.push(layer),
            Self::Host(decoder) => decoder.push(layer),
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
        let mut decoder = AnyDecoder::new(kernels, &config, final_norm, device);
        for index in 0..config.num_hidden_layers {
            decoder.push(source.layer(&config, index)?);
            on_layer(index + 1, config.num_hidden_layers);
        }
        let embeddings = TokenEmbeddings::of(source, folder, seed);
        Ok(Self { config, embeddings, decoder, kernels, device: device.clone() })
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
        match &self.decoder {
            AnyDecoder::Plain(decoder) => decoder.forward(x0, &batch),
            AnyDecoder::Host(decoder) => decoder.forward(x0, &batch, false).0,
        }
    }

    /// Run the decoder as [`Self::forward`] does and keep what [`Self::backward_input`] needs.
    ///
    /// # Panics
    /// As [`Self::forward`].
    pub fn forward_save(&self, x0: Tensor<B, 3>, lengths: &[usize]) -> (Tensor<B, 2>, Saved<B>) {
        let batch = Batch::new(x0.dims(), lengths);
        match &self.decoder {
            AnyDecoder::Plain(decoder) => {
                let (h_cls, saved) = decoder.forward_save(x0, &batch);
                (h_cls, Saved(AnySaved::Plain(saved)))
            }
            AnyDecoder::Host(decoder) => {
                let (h_cls, saved) = decoder.forward(x0, &batch, true);
                (h_cls, Saved(AnySaved::Host(saved)))
            }
        }
    }

    /// Carry a gradient `[cells, hidden]` of the output back to the inputs, `[cells, tokens, hidden]`.
    ///
    /// Pads get zero. No weight gradient is computed.
    ///
    /// # Panics
    /// When `saved` comes from another LLaMA, of other kernels or shape.
    pub fn backward_input(&self, g_cls: Tensor<B, 2>, saved: Saved<B>) -> Tensor<B, 3> {
        match (&self.decoder, saved.0) {
            (AnyDecoder::Plain(decoder), AnySaved::Plain(saved)) => {
                decoder.backward_input(g_cls, saved)
            }
            (AnyDecoder::Host(decoder), AnySaved::Host(saved)) => {
                decoder.backward_input(g_cls, saved)
            }
            _ => unreachable!("saved by a LLaMA of other kernels"),
        }
    }

    /// Give the residual stream as transformers' `output_hidden_states` does: the inputs, then the output
    /// of each layer, the last one normalised; each `[cells, tokens, hidden]`, meaningless at pads.
    ///
    /// # Panics
    /// As [`Self::forward`].
    pub fn hidden_states(&self, x0: Tensor<B, 3>, lengths: &[usize]) -> Vec<Tensor<B, 3>> {
        let batch = Batch::new(x0.dims(), lengths);
        match &self.decoder {
            AnyDecoder::Plain(decoder) => decoder.hidden_states(x0, &batch),
            AnyDecoder::Host(decoder) => decoder.hidden_states(x0, &batch),
        }
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
