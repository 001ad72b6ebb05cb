//! How good predictions are: confusion and the scores that follow from it, and calibration; and how well
//! an embedding keeps the classes apart.

mod broad_type;
mod calibration;
mod confusion;
mod gptcelltype;
mod label_match;
mod largest;
mod neighbour_purity;
mod novelty;
mod silhouette;
mod token_set;

pub use broad_type::broad_type;
pub use calibration::{
    UnknownThreshold, expected_calibration_error, fit_temperature, macro_losses,
    negative_log_likelihood, softmax_confidence, unknown_threshold,
};
pub use confusion::{ClassScores, Confusion, Scores};
pub use gptcelltype::{GptCellType, Meaning};
pub use label_match::LabelMatch;
pub use largest::first_largest;
pub use neighbour_purity::neighbour_purity;
pub use novelty::{novelty_auroc, novelty_recall};
pub use silhouette::silhouette;
pub use token_set::{is_alike, token_set_ratio};
