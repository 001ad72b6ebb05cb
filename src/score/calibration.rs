//! Whether a confidence of 0.8 is right eight times in ten, and when to answer "unknown".

use serde::{Deserialize, Serialize};

use super::largest::first_largest;
use crate::cells::Dense;
use crate::{Error, Result};

/// The confidence below which a cell is called unknown, and what it does on the cells it was chosen
/// on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct UnknownThreshold {
    /// Cells of lower confidence are unknown.
    pub threshold: f32,
    /// Part of the kept cells that are right.
    pub precision: f64,
    /// Part of all cells that are kept.
    pub coverage: f64,
    /// Whether the target precision was reached; if not, this is the most precise threshold.
    pub reached_target: bool,
}

/// Measure the expected calibration error over `bins` bins of equal width (Guo et al. 2017, eq. 3;
/// they use 15): the mean distance of accuracy from confidence, weighted by the cells in each bin.
///
/// Bins are closed on the right. `confidence` is of the predicted class, from 0 to 1, one per cell.
///
/// # Errors
/// [`Error::Input`] if lengths differ, there are no cells or bins, or a confidence is not in 0..=1.
pub fn expected_calibration_error(
    confidence: &[f32],
    correct: &[bool],
    bins: usize,
) -> Result<f64> {
    check_confidence(confidence, correct)?;
    if bins == 0 {
        return Err(Error::input("calibration bins", "at least 1", "0", "use 15"));
    }
    let mut sums = vec![(0.0, 0.0); bins];
    for (&confidence, &correct) in confidence.iter().zip(correct) {
        let bin = (f64::from(confidence) * bins as f64).ceil() as usize;
        let (confidences, right) = &mut sums[bin.saturating_sub(1).min(bins - 1)];
        *confidences += f64::from(confidence);
        *right += f64::from(u8::from(correct));
    }
    let distance: f64 = sums.iter().map(|(confidences, right)| (confidences - right).abs()).sum();
    Ok(distance / confidence.len() as f64)
}

/// Find the temperature that makes the predictions best calibrated: the `T` that minimises the mean
/// of `-ln softmax(logits / T)[truth]` (Guo et al. 2017, section 4.2), from 0.05 to 20.
///
/// `logits` is `[cells, classes]`, of validation cells. In `1 / T` the loss is convex, so a golden
/// section search over `ln T` finds the minimum.
///
/// # Errors
/// [`Error::Input`] if there is not one truth in range per row, no cells, or a logit is not finite.
pub fn fit_temperature(logits: &Dense, truth: &[usize]) -> Result<f64> {
    check_logits(logits)?;
    if truth.len() != logits.n_rows || truth.is_empty() {
        return Err(Error::input(
            "calibration",
            format!("a label for each of the {} cells, and at least one cell", logits.n_rows),
            truth.len(),
            "calibrate on labelled validation cells",
        ));
    }
    if let Some(class) = truth.iter().find(|class| **class >= logits.n_cols) {
        return Err(Error::input(
            "calibration",
            format!("classes below {}", logits.n_cols),
            class,
            "calibrate with the classes that the model was trained on",
        ));
    }
    let loss = |log_temperature: f64| negative_log_likelihood(logits, truth, log_temperature.exp());
    let log_temperature = minimise(loss, LEAST_TEMPERATURE.ln(), GREATEST_TEMPERATURE.ln());
    Ok(log_temperature.exp())
}

const LEAST_TEMPERATURE: f64 = 0.05;
const GREATEST_TEMPERATURE: f64 = 20.0;

/// The most probable class of each row and its probability, after division by `temperature`.
///
/// `logits` is `[cells, classes]`; of equal logits the first class is taken.
///
/// # Errors
/// [`Error::Input`] if a logit is not finite or there are no classes.
pub fn softmax_confidence(logits: &Dense, temperature: f64) -> Result<Vec<(usize, f32)>> {
    check_logits(logits)?;
    let confidence = |row: &[f32]| {
        let best = first_largest(row);
        let exponent = |logit: f32| ((f64::from(logit) - f64::from(row[best])) / temperature).exp();
        let sum: f64 = row.iter().map(|&logit| exponent(logit)).sum();
        (best, (1.0 / sum) as f32)
    };
    Ok(rows(logits).map(confidence).collect())
}

/// Choose the confidence below which cells are called unknown, on validation cells.
///
/// The rule: of all thresholds at which the kept cells (confidence at or above it) are right in at
/// least `target_precision` of cases, take the lowest, which keeps the most cells. Where no
/// threshold reaches the target, take the most precise one (of equals, the lowest), and say so.
///
/// # Errors
/// [`Error::Input`] if lengths differ, there are no cells, or a number is not in 0..=1.
pub fn unknown_threshold(
    confidence: &[f32],
    correct: &[bool],
    target_precision: f64,
) -> Result<UnknownThreshold> {
    check_confidence(confidence, correct)?;
    if !(0.0..=1.0).contains(&target_precision) {
        let expected = "a fraction from 0 to 1";
        return Err(Error::input("target precision", expected, target_precision, "use 0.95, say"));
    }
    let mut order: Vec<usize> = (0..confidence.len()).collect();
    order.sort_by(|&a, &b| confidence[b].total_cmp(&confidence[a]));
    let mut right = 0;
    let mut best: Option<UnknownThreshold> = None;
    for (place, &cell) in order.iter().enumerate() {
        right += usize::from(correct[cell]);
        let next = order.get(place + 1).map(|&next| confidence[next]);
        if next == Some(confidence[cell]) {
            continue;
        }
        let kept = place + 1;
        let precision = right as f64 / kept as f64;
        let here = UnknownThreshold {
            threshold: confidence[cell],
            precision,
            coverage: kept as f64 / confidence.len() as f64,
            reached_target: precision >= target_precision,
        };
        let better = match best {
            None => true,
            Some(best) if here.reached_target || best.reached_target => here.reached_target,
            Some(best) => here.precision >= best.precision,
        };
        if better {
            best = Some(here);
        }
    }
    best.ok_or_else(no_cells)
}

/// Mean of `-ln softmax(logits / temperature)[truth]`, in nats.
///
/// `logits` is `[cells, classes]`, at least one cell; `truth` is the class of each, below the number of classes.
pub fn negative_log_likelihood(logits: &Dense, truth: &[usize], temperature: f64) -> f64 {
    losses(logits, truth, temperature).map(|(_, loss)| loss).sum::<f64>() / truth.len() as f64
}

/// What each cell adds to [`negative_log_likelihood`] where every class that has cells counts alike, however many they
/// are, as in macro-F1: the sum of all is that mean.
pub fn macro_losses(logits: &Dense, truth: &[usize], temperature: f64) -> Vec<f64> {
    let mut cells = vec![0usize; logits.n_cols];
    truth.iter().for_each(|&class| cells[class] += 1);
    let classes = cells.iter().filter(|cells| **cells > 0).count();
    let part = |(class, loss): (usize, f64)| loss / (classes * cells[class]) as f64;
    losses(logits, truth, temperature).map(part).collect()
}

/// Class and `-ln softmax(logits / temperature)[class]` of every cell.
fn losses(logits: &Dense, truth: &[usize], temperature: f64) -> impl Iterator<Item = (usize, f64)> {
    rows(logits).zip(truth).map(move |(row, &class)| {
        let scaled = |logit: f32| f64::from(logit) / temperature;
        let largest = row.iter().map(|&logit| scaled(logit)).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|&logit| (scaled(logit) - largest).exp()).sum();
        (class, largest + sum.ln() - scaled(row[class]))
    })
}

/// Golden section search for the minimum of a function with one valley.
fn minimise(function: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let (mut left, mut right) = (high - golden * (high - low), low + golden * (high - low));
    let (mut at_left, mut at_right) = (function(left), function(right));
    while high - low > 1e-9 {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - golden * (high - low);
            at_left = function(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + golden * (high - low);
            at_right = function(right);
        }
    }
    (low + high) / 2.0
}

fn rows(dense: &Dense) -> impl Iterator<Item = &[f32]> {
    dense.values.chunks_exact(dense.n_cols.max(1))
}

fn check_logits(logits: &Dense) -> Result<()> {
    if logits.n_cols == 0 || logits.values.iter().any(|logit| !logit.is_finite()) {
        return Err(Error::input(
            "logits",
            "finite numbers for at least one class",
            if logits.n_cols == 0 { "no classes" } else { "numbers that are not finite" },
            "train the model again; its weights have diverged",
        ));
    }
    Ok(())
}

fn check_confidence(confidence: &[f32], correct: &[bool]) -> Result<()> {
    if confidence.is_empty() {
        return Err(no_cells());
    }
    let outside = confidence.iter().find(|value| !(0.0..=1.0).contains(*value));
    if let Some(value) = outside {
        return Err(Error::input("confidence", "0 to 1", value, "give probabilities"));
    }
    if confidence.len() != correct.len() {
        return Err(Error::input(
            "calibration",
            format!("an outcome for each of {} cells", confidence.len()),
            correct.len(),
            "calibrate on labelled cells",
        ));
    }
    Ok(())
}

fn no_cells() -> Error {
    Error::input("calibration", "at least one cell", "none", "set split.validation_fraction")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_of_even_scores_is_the_logarithm_of_their_number() {
        let logits = Dense { n_rows: 2, n_cols: 4, values: vec![0.5; 8] };
        assert!((negative_log_likelihood(&logits, &[0, 3], 1.0) - 4f64.ln()).abs() < 1e-6);
        let sure = Dense { n_rows: 1, n_cols: 2, values: vec![2.0, 0.0] };
        let expected = (1.0 + (-1f64).exp()).ln();
        assert!((negative_log_likelihood(&sure, &[0], 2.0) - expected).abs() < 1e-6);
    }

    #[test]
    fn a_rare_class_weighs_as_much_as_a_frequent_one() {
        let values = [[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [1.0, 0.0]].concat();
        let logits = Dense { n_rows: 4, n_cols: 2, values };
        let surprise = |margin: f64| (1.0 + (-margin).exp()).ln();
        let macro_loss: f64 = macro_losses(&logits, &[0, 0, 0, 1], 1.0).iter().sum();
        assert!((macro_loss - (surprise(2.0) + surprise(-1.0)) / 2.0).abs() < 1e-6);
        let absent: f64 = macro_losses(&logits, &[0; 4], 1.0).iter().sum();
        assert!((absent - (3.0 * surprise(2.0) + surprise(1.0)) / 4.0).abs() < 1e-6);
    }
}
