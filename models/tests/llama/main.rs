//! The frozen LLaMA held against outside references.

// clippy's leave for tests does not reach the functions that they share.
#![allow(clippy::unwrap_used)]

mod autodiff;
mod golden;
mod llama2c;
mod parity;
mod refusals;
