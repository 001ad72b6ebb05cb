//! The comparison: every method on the same cells, and what came of it.

pub mod summary;
