//! Whether a cell is of a type that was not learned: by how unsure the answer is, and by how far the cell lies from
//! every type.

use serde::{Deserialize, Serialize};

/// Validation cells from which on distances are judged.
const LEAST_CELLS: usize = 20;

/// Confidence is taken as no nearer to 0 and 1 than this.
const NEARLY_SURE: f64 = 1e-6;

/// Mean and deviation of a measure over the validation cells.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Usual {
    mean: f64,
    deviation: f64,
}

/// What is usual among the validation cells, all of them of types that were learned.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Novelty {
    /// Of minus the log-odds of the confidence.
    doubt: Usual,
    /// Of the logarithm of the distance from the nearest type.
    distance: Usual,
    /// The novelty above which a cell is called unknown.
    pub limit: f32,
}

impl Usual {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let count = values.clone().count() as f64;
        let mean = values.clone().sum::<f64>() / count;
        let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        Self { mean, deviation: variance.sqrt().max(1e-6) }
    }

    /// Deviations above the mean.
    fn above(&self, value: f64) -> f64 {
        (value - self.mean) / self.deviation
    }
}

fn doubt(confidence: f32) -> f64 {
    let confidence = f64::from(confidence).clamp(NEARLY_SURE, 1.0 - NEARLY_SURE);
    ((1.0 - confidence) / confidence).ln()
}

fn log_distance(distance: f32) -> f64 {
    f64::from(distance).max(1e-12).ln()
}

impl Novelty {
    /// Learn what is usual from the confidence of the validation cells and their distances from the nearest type, and
    /// set the limit so that a share of `kept` of them stays below it; nothing where they are too few.
    pub fn fit(confidence: &[f32], distances: &[f32], kept: f64) -> Option<Self> {
        if confidence.len() < LEAST_CELLS || confidence.len() != distances.len() {
            return None;
        }
        let mut novelty = Self {
            doubt: Usual::of(confidence.iter().map(|&one| doubt(one))),
            distance: Usual::of(distances.iter().map(|&one| log_distance(one))),
            limit: f32::MAX,
        };
        let scores = confidence.iter().zip(distances);
        let mut scores: Vec<f32> = scores.map(|(&c, &d)| novelty.score(c, d)).collect();
        scores.sort_by(f32::total_cmp);
        let above = ((1.0 - kept) * scores.len() as f64).floor() as usize;
        if above > 0 {
            novelty.limit = scores[scores.len() - 1 - above];
        }
        Some(novelty)
    }

    /// How unlike the validation cells a cell is, in deviations above their mean: the larger of its doubt and its
    /// distance.
    pub fn score(&self, confidence: f32, distance: f32) -> f32 {
        let doubt = self.doubt.above(doubt(confidence));
        self.distance.above(log_distance(distance)).max(doubt) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_new_by_doubt_or_by_distance_and_few_known_ones_are() {
        let confidence: Vec<f32> = (0..100).map(|cell| 0.9 + 0.0009 * cell as f32).collect();
        let distances: Vec<f32> =
            (0..100).map(|cell| 5.0 + (cell * 7 % 100) as f32 / 50.0).collect();
        let novelty = Novelty::fit(&confidence, &distances, 0.95).unwrap();
        let is_new = |confidence, distance| novelty.score(confidence, distance) > novelty.limit;
        let above = confidence.iter().zip(&distances).filter(|(c, d)| is_new(**c, **d));
        assert_eq!(above.count(), 5);
        assert!(!is_new(0.95, 6.0) && is_new(0.4, 6.0) && is_new(0.95, 9.0));
        assert_eq!(Novelty::fit(&confidence, &distances, 1.0).unwrap().limit, f32::MAX);
        assert_eq!(Novelty::fit(&confidence[..10], &distances[..10], 0.95), None);
    }
}
