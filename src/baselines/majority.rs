//! The guess that knows only how common each class is.

/// Find the most common class of the training cells; of equals the first. `None` without cells.
pub fn majority_class(labels: &[usize]) -> Option<usize> {
    let mut counts = std::collections::BTreeMap::new();
    for &label in labels {
        *counts.entry(label).or_insert(0usize) += 1;
    }
    // `max_by_key` takes the last of equals, so the classes are visited from the last to the first.
    counts.into_iter().rev().max_by_key(|&(_, count)| count).map(|(class, _)| class)
}
