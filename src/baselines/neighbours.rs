//! The vote of the nearest training cells.

use serde::{Deserialize, Serialize};

use super::Prediction;
use super::features::check_labels;
use crate::Result;
use crate::cells::Dense;
use crate::prep::{Metric, nearest};

/// Settings of [`knn`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KnnConfig {
    /// Number of nearest training cells that vote.
    pub neighbours: usize,
    /// What near means.
    pub metric: Metric,
}

impl Default for KnnConfig {
    fn default() -> Self {
        Self { neighbours: 10, metric: Metric::Euclidean }
    }
}

/// Predict the class of each query cell by the vote of its nearest training cells.
///
/// `train` is `[training cells, dim]`, `query` `[cells, dim]`, `labels` the class of each training
/// cell. The search is exact, see [`nearest`]. Probabilities are shares of the votes; of classes with
/// equally many the one with the nearest cell is said. The result does not depend on the number of
/// threads.
///
/// # Errors
/// [`crate::Error::Input`] if shapes do not fit, a label is not below `n_classes`, a value is not
/// finite, or there are fewer training cells than neighbours, or 0 neighbours.
pub fn knn(
    train: &Dense,
    labels: &[usize],
    query: &Dense,
    n_classes: usize,
    config: &KnnConfig,
) -> Result<Prediction> {
    check_labels("nearest neighbours", labels, train.n_rows, n_classes)?;
    let found = nearest(train, query, config.neighbours, config.metric)?;
    let mut probabilities = vec![0f32; query.n_rows * n_classes];
    let rows = probabilities.chunks_exact_mut(n_classes);
    let vote = |(shares, nearest_first): (&mut [f32], &[u32])| {
        let classes = || nearest_first.iter().map(|&cell| labels[cell as usize]);
        classes().for_each(|class| shares[class] += 1.0);
        let most = shares.iter().copied().fold(0.0, f32::max);
        let said = classes().find(|&class| shares[class] == most).unwrap_or_default();
        shares.iter_mut().for_each(|share| *share /= nearest_first.len() as f32);
        said
    };
    let classes = rows.zip(found.indices.chunks_exact(found.k)).map(vote).collect();
    let probabilities = Dense { n_rows: query.n_rows, n_cols: n_classes, values: probabilities };
    Ok(Prediction { probabilities, classes })
}
