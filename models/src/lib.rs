//! Networks of screader in burn, with the loaders of their published weights.

pub mod bert;
mod error;

pub use error::{Error, Result};
