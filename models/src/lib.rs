//! Networks of screader in burn, with the loaders of their published weights.

mod error;
pub mod llama;
pub mod llama2c;
pub mod tokenizer;

pub use error::{Error, Result};
