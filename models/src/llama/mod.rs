//! A frozen LLaMA: read from a Hugging Face folder, run without a tape, with gradients to its inputs.
//!
//! Touvron et al. (2023) and its successors: RMS normalisation, rotary grouped-query attention and a
//! gated MLP. [`Llama::forward_save`] and [`Llama::backward_input`] are plain functions on a non-autodiff
//! backend. Autodiff modules join it through the surrogate loss `(x0 * backward_input(..)).sum()`.
//!
//! [`LanguageModel`] is the same network with its output head, for generating text.

mod batch;
mod card;
mod checkpoint;
mod config;
mod decoder;
mod embeddings;
mod fingerprint;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod fused;
mod generate;
mod host;
mod model;
mod precision;
mod random;
mod run;
mod weights;

pub use config::LlamaConfig;
pub use fingerprint::fingerprint;
pub use generate::{
    Constraint, Context, Finish, GenerateSettings, Generation, LanguageModel, Sampling,
    SchemaConstraint, SchemaRules,
};
pub use model::{Llama, Recompute, Saved, load_output_head};
pub use precision::{Kernels, Precision, Weights};
