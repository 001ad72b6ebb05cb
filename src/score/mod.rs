//! How good predictions are: confusion and the scores that follow from it, and calibration.

mod calibration;
mod confusion;

pub use calibration::{
    UnknownThreshold, expected_calibration_error, fit_temperature, softmax_confidence,
    unknown_threshold,
};
pub use confusion::{ClassScores, Confusion, Scores};
