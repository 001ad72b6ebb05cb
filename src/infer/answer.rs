//! From class scores to an answer.

use serde::Serialize;

use crate::Result;
use crate::cells::Dense;
use crate::score::softmax_confidence;
use crate::train::calibrate::Calibration;
use crate::train::novelty::Novelty;

/// Classes named beside the answer.
pub const TOP: usize = 3;

/// What one cell is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// The most probable class.
    pub class: usize,
    /// Its calibrated probability.
    pub confidence: f32,
    /// How unlike the validation cells it is, by its confidence and its distance from every type, in deviations above
    /// their mean; where that can be told.
    pub novelty: Option<f32>,
    /// Whether the confidence is too low to answer, or the novelty too high.
    pub unknown: bool,
    /// The most probable classes with their probabilities, best first.
    pub top: Vec<(usize, f32)>,
}

/// Turn class scores `[cells, classes]` into answers, and distances of the cells from their nearest types, where they
/// are known, into novelty; without a calibration the scores are taken as they are and no cell is called unknown.
///
/// # Errors
/// A score that is not finite.
pub fn answers(
    logits: &Dense,
    distances: Option<&[f32]>,
    calibration: Option<&Calibration>,
) -> Result<Vec<Answer>> {
    let temperature = calibration.map_or(1.0, |calibration| calibration.temperature);
    let threshold = calibration.map_or(0.0, |calibration| calibration.unknown.threshold);
    let measure = distances.zip(calibration.and_then(|calibration| calibration.novelty.as_ref()));
    let best = softmax_confidence(logits, temperature)?;
    let rows = logits.values.chunks_exact(logits.n_cols.max(1));
    Ok(best
        .into_iter()
        .zip(rows)
        .enumerate()
        .map(|(cell, ((class, confidence), row))| {
            let novelty = |(distances, usual): (&[f32], &Novelty)| {
                let score = usual.score(confidence, distances[cell]);
                (score, score > usual.limit)
            };
            let novelty = measure.map(novelty);
            Answer {
                class,
                confidence,
                novelty: novelty.map(|(score, _)| score),
                unknown: confidence < threshold || novelty.is_some_and(|(_, is_new)| is_new),
                top: top(row, temperature, row[class], confidence),
            }
        })
        .collect())
}

/// The probability of any class follows from that of the best one.
fn top(row: &[f32], temperature: f64, best: f32, confidence: f32) -> Vec<(usize, f32)> {
    let mut classes: Vec<usize> = (0..row.len()).collect();
    classes.sort_by(|&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
    classes.truncate(TOP);
    let probability = |class: usize| {
        let ratio = ((f64::from(row[class]) - f64::from(best)) / temperature).exp();
        (class, (f64::from(confidence) * ratio) as f32)
    };
    classes.into_iter().map(probability).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_classes_are_a_softmax() {
        let logits = Dense { n_rows: 1, n_cols: 4, values: vec![0.0, 2.0, 1.0, -1.0] };
        let answer = &answers(&logits, None, None).unwrap()[0];
        let sum: f32 = [0.0f32, 2.0, 1.0, -1.0].iter().map(|x| x.exp()).sum();
        let expected = [(1, 2f32.exp() / sum), (2, 1f32.exp() / sum), (0, 1.0 / sum)];
        for (found, expected) in answer.top.iter().zip(expected) {
            assert_eq!(found.0, expected.0);
            assert!((found.1 - expected.1).abs() < 1e-6);
        }
        assert!(!answer.unknown);
    }
}
