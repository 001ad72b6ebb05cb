//! Networks of screader in burn, with the loaders of their published weights.

pub mod adamw;
pub mod annotator;
pub mod bert;
pub mod chat;
mod error;
pub mod llama;
pub mod llama2c;
pub mod mlp;
pub mod reader;
pub mod tokenizer;
pub mod trainable;

pub use error::{Error, Result};

/// Tell whether a backend is burn's CPU backend, beside which this crate has kernels of its own.
pub fn is_processor<B: burn::tensor::backend::Backend>() -> bool {
    std::any::TypeId::of::<B>() == std::any::TypeId::of::<burn::backend::Flex>()
}
