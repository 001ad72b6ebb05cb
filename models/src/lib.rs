//! Networks of screader in burn, with the loaders of their published weights.

mod error;
pub mod llama;

pub use error::{Error, Result};
