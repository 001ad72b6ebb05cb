//! Kernels.

pub mod driver;
