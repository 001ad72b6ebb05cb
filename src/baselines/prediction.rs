//! What a baseline says of cells.

use crate::cells::Dense;
use crate::score::first_largest;

/// Classes of cells with their probabilities.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prediction {
    /// Probability of each class, `[cells, classes]`; every row adds up to 1.
    pub probabilities: Dense,
    /// The class that is said of each cell: the most probable, but for ties, which a method may break.
    pub classes: Vec<usize>,
}

impl Prediction {
    /// Say the most probable class of each row of `probabilities`; of equals the first.
    pub(super) fn most_probable(probabilities: Dense) -> Self {
        let rows = probabilities.values.chunks_exact(probabilities.n_cols.max(1));
        let classes = rows.map(first_largest).collect();
        Self { probabilities, classes }
    }
}

/// Turn a row of scores into softmax probabilities; gives `ln Σ exp(score)`.
pub(super) fn softmax(row: &mut [f32]) -> f64 {
    let peak = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0f64;
    for value in row.iter_mut() {
        *value = (*value - peak).exp();
        sum += f64::from(*value);
    }
    row.iter_mut().for_each(|value| *value = (f64::from(*value) / sum) as f32);
    f64::from(peak) + sum.ln()
}
