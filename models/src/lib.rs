//! Networks of screader in burn, with the loaders of their published weights.

mod error;
pub mod mlp;
pub mod trainable;

pub use error::{Error, Result};
