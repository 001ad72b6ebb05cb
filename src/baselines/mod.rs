//! What any trained model has to beat.

pub mod genept;
pub mod majority;
mod neighbours;

pub use genept::{Denominator, GenePtConfig, Normalize, genept_w};
pub use majority::majority_class;
pub use neighbours::knn_predict;
