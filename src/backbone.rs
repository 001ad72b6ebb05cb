//! The frozen LLaMA of an annotator, or what stands in for it: which it is, and how it is put behind the
//! gene tokens.

use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData, backend::Backend};
use screader_models::annotator::{Annotator, Body};
use screader_models::llama::{Kernels, Llama, LlamaConfig, fingerprint};
use screader_models::reader::{Combine, TokenSource};
use screader_models::tokenizer::Tokenizer;
use screader_models::trainable::{PoolConfig, TrainableConfig};
use serde::{Deserialize, Serialize};

use crate::cells::Dense;
use crate::config::{Config, ModelConfig};
use crate::device::Shape;
use crate::embed::EmbeddingTable;
use crate::rank::positional_encoding;
use crate::{Error, Result};

/// Which frozen LLaMA an annotator was trained with; its weights are never copied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Backbone {
    /// A Hugging Face folder, known again by its hash.
    Folder {
        /// Where it was during training.
        path: PathBuf,
        /// SHA-256 over its configuration and weights.
        sha256: String,
    },
    /// Random weights from a seed: a control, not a language model.
    Random {
        /// Seed of the weights.
        seed: u64,
        /// Sizes, as a Hugging Face `config.json`.
        config: serde_json::Value,
    },
    /// No LLaMA: the head reads the mean of the projected genes. A control.
    None {
        /// Width of the projected genes.
        hidden_size: usize,
    },
}

/// Width of the projected genes where no backbone says it, as in the tiny random LLaMA.
const HIDDEN_SIZE: usize = 64;

/// Sizes of the random LLaMA: those of the smallest published one, so that it trains on a laptop.
fn tiny() -> serde_json::Value {
    serde_json::json!({
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_act": "silu",
        "hidden_size": HIDDEN_SIZE,
        "intermediate_size": 172,
        "num_hidden_layers": 5,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "vocab_size": 512,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": true,
    })
}

impl Backbone {
    /// A tiny LLaMA with random weights.
    pub fn random(seed: u64) -> Self {
        Self::Random { seed, config: tiny() }
    }

    /// The backbone that a user means: a folder, or `random` or `none` for a control.
    ///
    /// # Errors
    /// As [`Backbone::folder`].
    pub fn named(name: &Path, seed: u64) -> Result<Self> {
        match name.to_str() {
            Some("random") => Ok(Self::random(seed)),
            Some("none") => Ok(Self::None { hidden_size: HIDDEN_SIZE }),
            _ => Self::folder(name),
        }
    }

    /// Width of what the head is given.
    ///
    /// # Errors
    /// A configuration that cannot be read.
    pub fn hidden_size(&self) -> Result<usize> {
        Ok(match self {
            Self::Folder { path, .. } => LlamaConfig::load(path)?.hidden_size,
            Self::Random { config, .. } => {
                LlamaConfig::parse(&config.to_string(), Path::new("random backbone"))?.hidden_size
            }
            Self::None { hidden_size } => *hidden_size,
        })
    }

    /// Sizes of the LLaMA; `None` where there is none.
    ///
    /// # Errors
    /// A configuration that cannot be read.
    pub fn shape(&self) -> Result<Option<Shape>> {
        Ok(match self {
            Self::Folder { path, .. } => Some(Shape::from(&LlamaConfig::load(path)?)),
            Self::Random { config, .. } => {
                let sizes = LlamaConfig::parse(&config.to_string(), Path::new("random backbone"))?;
                Some(Shape::from(&sizes))
            }
            Self::None { .. } => None,
        })
    }

    /// The same network with random weights: what of it is due to its weights shows in the difference.
    ///
    /// # Errors
    /// A configuration that cannot be read.
    pub fn with_random_weights(&self, seed: u64) -> Result<Self> {
        let config = match self {
            Self::Folder { path, .. } => {
                let file = path.join("config.json");
                let text = std::fs::read(&file).map_err(Error::io(&file, "read"))?;
                serde_json::from_slice(&text).map_err(|error| {
                    Error::input(file.display(), "JSON", error, "fetch the backbone again")
                })?
            }
            Self::Random { config, .. } => config.clone(),
            Self::None { .. } => tiny(),
        };
        Ok(Self::Random { seed, config })
    }

    /// The backbone in a Hugging Face folder, hashed.
    pub fn folder(path: &Path) -> Result<Self> {
        if !path.join("config.json").exists() {
            return Err(Error::input(
                path.display(),
                "a Hugging Face folder with config.json",
                if path.exists() { "no config.json" } else { "no such folder" },
                "fetch one with `screader fetch backbone`, or pass --backbone random (or none) as a control",
            ));
        }
        Ok(Self::Folder { path: path.to_path_buf(), sha256: fingerprint(path)? })
    }

    /// The same backbone at another place, refused where its hash differs.
    pub fn moved_to(&self, path: &Path) -> Result<Self> {
        let found = Self::folder(path)?;
        match (self, &found) {
            (Self::Folder { sha256: expected, .. }, Self::Folder { sha256, .. })
                if expected != sha256 =>
            {
                Err(Error::input(
                    path.display(),
                    format!("the backbone of the training run, sha256 {expected}"),
                    sha256,
                    "pass the folder that the annotator was trained with",
                ))
            }
            (Self::Random { .. } | Self::None { .. }, _) => Err(Error::input(
                path.display(),
                "no --backbone: this annotator was trained without a folder",
                "a folder",
                "leave --backbone out",
            )),
            _ => Ok(found),
        }
    }

    /// The same backbone where training found it, refused where its hash has changed.
    pub fn unchanged(&self) -> Result<Self> {
        match self {
            Self::Folder { path, .. } => self.moved_to(path),
            Self::Random { .. } | Self::None { .. } => Ok(self.clone()),
        }
    }

    /// What it is, in a few words.
    pub fn describe(&self) -> String {
        match self {
            Self::Folder { path, sha256 } => {
                format!("{} (sha256 {})", path.display(), &sha256[..sha256.len().min(12)])
            }
            Self::Random { seed, config } => format!(
                "a random {}-layer LLaMA (seed {seed}): a control, not a language model",
                config["num_hidden_layers"]
            ),
            Self::None { .. } => {
                "no LLaMA but the mean of the projected genes: a control, not a language model"
                    .into()
            }
        }
    }

    /// Load the weights to `device` and put them behind the gene tokens that `config` asks for.
    ///
    /// # Errors
    /// A weight or setting that does not fit, by its key; an instruction without a tokenizer.
    pub fn annotator<B: Backend>(
        &self,
        table: &EmbeddingTable,
        config: &Config,
        device: &B::Device,
    ) -> Result<Annotator<B>> {
        let (body, words) = self.body::<B>(config, device)?;
        let instruction = match &body {
            Body::Llama(backbone) if !words.is_empty() => Some(backbone.embed_tokens(&words)?),
            Body::Llama(_) | Body::MeanPool { .. } => None,
        };
        let dim = table.embeddings.n_cols;
        let pe_dim = match config.model.combine {
            Combine::AddPe => dim,
            _ => config.model.pe_dim,
        };
        let tokens = TokenSource::new(
            to_device(gene_vectors(table, config), device),
            to_device(positional_encoding(config.rank.top_genes, pe_dim), device),
            instruction,
            config.model.combine,
            config.model.order,
        );
        Ok(Annotator::new(body, tokens))
    }

    /// The frozen network and the tokens of its instruction.
    fn body<B: Backend>(&self, config: &Config, device: &B::Device) -> Result<(Body<B>, Vec<u32>)> {
        let ModelConfig { precision, weights, recompute, .. } = config.model;
        let kernels = Kernels::for_device::<B>(device, precision)?.with_weights(weights)?;
        Ok(match self {
            Self::Random { seed, config } => {
                let sizes = LlamaConfig::parse(&config.to_string(), Path::new("random backbone"))?;
                let llama = Llama::random_with_kernels(&sizes, *seed, device, kernels);
                // Random token embeddings mean nothing, so no instruction is put to them.
                (Body::Llama(Box::new(llama.with_recompute(recompute.settled()))), Vec::new())
            }
            Self::Folder { path, .. } => {
                let words = match config.model.instruction.as_str() {
                    "" => Vec::new(),
                    instruction => Tokenizer::load(path)?.encode(instruction, false)?,
                };
                let llama = Llama::load_with_kernels(path, device, kernels, &|_, _| {})?;
                (Body::Llama(Box::new(llama.with_recompute(recompute.settled()))), words)
            }
            Self::None { hidden_size } => {
                (Body::MeanPool { hidden_size: *hidden_size }, Vec::new())
            }
        })
    }
}

impl ModelConfig {
    /// Sizes of projection and head around `annotator`, for `classes` cell types.
    pub fn trainable<B: Backend>(
        &self,
        annotator: &Annotator<B>,
        classes: usize,
    ) -> TrainableConfig {
        TrainableConfig {
            token_size: annotator.tokens().token_size(),
            hidden_size: annotator.hidden_size(),
            classes,
            projection_layers: self.projection_layers,
            projection: self.projection,
            head_layers: self.head_layers,
            head: self.head,
            pool: (self.pool_size > 0)
                .then(|| PoolConfig { dim: annotator.tokens().dim(), size: self.pool_size }),
        }
    }
}

fn gene_vectors(table: &EmbeddingTable, config: &Config) -> Dense {
    match config.model.standardise_embeddings {
        true => table.standardised().embeddings,
        false => table.embeddings.clone(),
    }
}

fn to_device<B: Backend>(matrix: Dense, device: &B::Device) -> Tensor<B, 2> {
    let Dense { n_rows, n_cols, values } = matrix;
    Tensor::from_data(TensorData::new(values, [n_rows, n_cols]), device)
}
