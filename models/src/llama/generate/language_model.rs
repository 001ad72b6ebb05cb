//! A LLaMA that tells which token comes next.

use std::path::{Path, PathBuf};

use burn::tensor::backend::Backend;

use super::ends::end_ids;
use super::network::{Continue, Network, network};
use crate::llama::config::LlamaConfig;
use crate::llama::embeddings::TokenEmbeddings;
use crate::llama::precision::{Kernels, Precision};
use crate::llama::weights::{Source, output_head};
use crate::{Error, Result};

/// A LLaMA with its output head: its own matrix, or the tied embeddings.
///
/// It holds no state of a text, so that several threads may read with one model at once.
pub struct LanguageModel {
    config: LlamaConfig,
    folder: PathBuf,
    embeddings: TokenEmbeddings,
    network: Box<dyn Network>,
    ends: Vec<u32>,
}

/// What a model has read, with the keys and values of every token, and the logits after the last one.
pub struct Context<'a> {
    model: &'a LanguageModel,
    rest: Box<dyn Continue + 'a>,
    logits: Vec<f32>,
    tokens: usize,
}

impl LanguageModel {
    /// Load a Hugging Face folder onto a device of backend `B`, as [`Llama::load`](crate::llama::Llama::load)
    /// does, with what its configuration says of how texts end.
    ///
    /// # Errors
    /// As for a backbone; a folder without an output head.
    pub fn load<B: Backend>(folder: &Path, device: &B::Device) -> Result<Self> {
        Self::load_on::<B>(folder, device, &|_, _| {})
    }

    /// Load as [`Self::load`] does, calling `on_layer(done, total)` after each layer.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_on<B: Backend>(
        folder: &Path,
        device: &B::Device,
        on_layer: &dyn Fn(usize, usize),
    ) -> Result<Self> {
        let kernels = Kernels::for_device::<B>(device, Precision::Auto)?;
        Self::load_with_kernels::<B>(folder, device, kernels, on_layer)
    }

    /// Load as [`Self::load`] does with the kernels of the caller's choice, calling `on_layer(done, total)`
    /// after each layer. Kernels of a graphics card are those of burn, in the type that `kernels` name.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_with_kernels<B: Backend>(
        folder: &Path,
        device: &B::Device,
        kernels: Kernels,
        on_layer: &dyn Fn(usize, usize),
    ) -> Result<Self> {
        let config = LlamaConfig::load(folder)?;
        let mut source = Source::open(folder, &config)?;
        let head = output_head(folder, &config)?;
        let network = network::<B>(&config, &mut source, head, kernels, device, on_layer)?;
        let embeddings = TokenEmbeddings::of(source, folder.to_path_buf(), 0);
        let ends = end_ids(folder, config.vocab_size)?;
        Ok(Self { config, folder: folder.to_path_buf(), embeddings, network, ends })
    }

    /// Give the shape of the network.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// Give the ids that end a text, as `generation_config.json` or `config.json` names them.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Count another id among those that end a text, as the tokenizer's own end of a turn.
    pub fn add_end(&mut self, id: u32) {
        if !self.ends.contains(&id) {
            self.ends.push(id);
        }
    }

    /// Read a prompt in one pass.
    ///
    /// # Errors
    /// No token, an id outside the vocabulary, or more tokens than `max_position_embeddings`.
    pub fn read(&self, ids: &[u32]) -> Result<Context<'_>> {
        if ids.is_empty() {
            return Err(self.refuse("prompt", "at least one token", "none"));
        }
        self.check_length(ids.len())?;
        let (logits, rest) = self.network.read(self.embeddings.rows(ids, &self.config)?);
        Ok(Context { model: self, rest, logits, tokens: ids.len() })
    }

    fn check_length(&self, tokens: usize) -> Result<()> {
        let most = self.config.max_position_embeddings;
        if tokens <= most {
            return Ok(());
        }
        let expected = format!("a text of at most {most} tokens");
        Err(self.refuse("max_position_embeddings", &expected, &format!("{tokens} tokens")))
    }

    pub(super) fn refuse(&self, key: &str, expected: &str, found: &str) -> Error {
        Error::checkpoint(&self.folder, key, expected, found)
    }
}

impl Context<'_> {
    /// Give the logits of the next token, `[vocab_size]`.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// Count the tokens read.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Count the tokens that may still be read.
    pub fn room(&self) -> usize {
        self.model.config.max_position_embeddings - self.tokens
    }

    /// Go on by one token.
    ///
    /// # Errors
    /// As [`LanguageModel::read`].
    pub fn push(&mut self, id: u32) -> Result<()> {
        self.model.check_length(self.tokens + 1)?;
        let row = self.model.embeddings.rows(&[id], &self.model.config)?;
        self.logits = self.rest.step(row);
        self.tokens += 1;
        Ok(())
    }
}
