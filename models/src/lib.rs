//! Networks of screader in burn, with the loaders of their published weights.

pub mod adamw;
pub mod annotator;
pub mod bert;
mod error;
pub mod llama;
pub mod llama2c;
pub mod mlp;
pub mod reader;
pub mod tokenizer;
pub mod trainable;

pub use error::{Error, Result};
