//! Inference: a checkpoint and cells in; labels, confidence, "unknown" and embeddings out.

pub mod annotate;
mod answer;
mod predictions;
mod reader;

pub use answer::{Answer, TOP};
pub use predictions::{Format, PredictionFile};
pub use reader::{Places, ReadBlock, TrainedAnnotator, read_block};
