//! What the validation cells teach about confidence.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use super::evaluate::Evaluation;
use super::task::Task;
use crate::Result;
use crate::score::{
    UnknownThreshold, expected_calibration_error, fit_temperature, softmax_confidence,
    unknown_threshold,
};

/// Bins of the reported calibration error, as in Guo et al. 2017.
const BINS: usize = 15;

/// How scores become a confidence, and below which confidence a cell is called unknown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Divides the class scores before softmax.
    pub temperature: f64,
    /// The confidence below which the answer is "unknown".
    pub unknown: UnknownThreshold,
    /// Expected calibration error on the validation cells, before and after.
    pub expected_error: [f64; 2],
    /// Number of validation cells.
    pub cells: usize,
}

impl Display for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnknownThreshold { threshold, precision, coverage, reached_target } = self.unknown;
        write!(
            f,
            "\"unknown\" below {threshold:.2}, which keeps {:.0} % of {} validation cells, {:.1} % of \
             them right{}; calibration error {:.3}, {:.3} before",
            100.0 * coverage,
            self.cells,
            100.0 * precision,
            if reached_target { "" } else { " (under infer.unknown_precision)" },
            self.expected_error[1],
            self.expected_error[0],
        )
    }
}

impl Calibration {
    /// Choose temperature and threshold on the validation cells.
    pub fn fit(task: &Task, evaluation: &Evaluation, precision: f64) -> Result<Self> {
        let cells = &task.split.validation;
        let truth: Vec<usize> = cells.iter().map(|&cell| task.labels[cell]).collect();
        let temperature = fit_temperature(&evaluation.logits, &truth)?;
        let judged = |temperature: f64| -> Result<(Vec<f32>, Vec<bool>)> {
            let answers = softmax_confidence(&evaluation.logits, temperature)?;
            let right = answers.iter().zip(&truth).map(|(answer, truth)| answer.0 == *truth);
            let right = right.collect();
            Ok((answers.into_iter().map(|answer| answer.1).collect(), right))
        };
        let (before, right) = judged(1.0)?;
        let (after, _) = judged(temperature)?;
        Ok(Self {
            temperature,
            unknown: unknown_threshold(&after, &right, precision)?,
            expected_error: [
                expected_calibration_error(&before, &right, BINS)?,
                expected_calibration_error(&after, &right, BINS)?,
            ],
            cells: cells.len(),
        })
    }
}
