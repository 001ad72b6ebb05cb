//! Training.

pub mod splits;
