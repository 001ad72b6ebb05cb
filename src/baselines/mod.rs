//! What any trained model has to beat.

mod design;
mod features;
pub mod genept;
mod lbfgs;
mod logistic;
pub mod majority;
mod mlp;
mod neighbours;
mod network;
mod prediction;
mod selection;
mod sentence;

pub use crate::prep::Metric;
pub use features::Features;
pub use genept::{Denominator, GenePtConfig, Normalize, genept_w, genept_w_centred, mean_sum};
pub use logistic::{LogisticConfig, LogisticRegression};
pub use majority::majority;
pub use mlp::{ExpressionMlp, ExpressionMlpConfig};
pub use neighbours::{KnnConfig, knn};
pub use prediction::Prediction;
pub use selection::{SelectedRegression, SelectionConfig};
pub use sentence::{GenePtSConfig, cell_sentences};
