//! Networks of screader in burn, with the loaders of their published weights.

pub mod adamw;
mod error;
pub mod mlp;
pub mod reader;
pub mod trainable;
pub mod llama;

pub use error::{Error, Result};
