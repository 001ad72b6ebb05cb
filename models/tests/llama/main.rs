//! The frozen LLaMA held against outside references.

mod autodiff;
mod golden;
mod llama2c;
mod parity;
mod refusals;
