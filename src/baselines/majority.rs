//! The guess that knows only how common each class is.

use super::Prediction;
use super::features::check_labels;
use crate::Result;
use crate::cells::Dense;

/// Say of each of `n_cells` cells the most common class of the training cells, `labels`, of equals the
/// first; probabilities are the frequencies there.
///
/// # Errors
/// [`crate::Error::Input`] if there is no label, or one is not below `n_classes`.
pub fn majority(labels: &[usize], n_classes: usize, n_cells: usize) -> Result<Prediction> {
    check_labels("majority guess", labels, labels.len(), n_classes)?;
    let mut frequencies = vec![0f32; n_classes];
    labels.iter().for_each(|&label| frequencies[label] += 1.0);
    frequencies.iter_mut().for_each(|count| *count /= labels.len() as f32);
    let values = frequencies.repeat(n_cells);
    Ok(Prediction::most_probable(Dense { n_rows: n_cells, n_cols: n_classes, values }))
}
