//! Whether cells of a type that was not learned are told by their low confidence, or by whatever else is low where
//! cells are new.

/// The chance that a new cell has less confidence than a known one, ties counted half: the area under the
/// ROC curve of "new" by low confidence (Mann and Whitney 1947). Nothing without cells of both kinds.
pub fn novelty_auroc(new: &[f32], known: &[f32]) -> Option<f64> {
    if new.is_empty() || known.is_empty() {
        return None;
    }
    let mut sorted = known.to_vec();
    sorted.sort_by(f32::total_cmp);
    let wins: f64 = new
        .iter()
        .map(|cell| {
            let below = sorted.partition_point(|other| other < cell);
            let up_to = sorted.partition_point(|other| other <= cell);
            (sorted.len() - up_to) as f64 + (up_to - below) as f64 / 2.0
        })
        .sum();
    Some(wins / (new.len() as f64 * known.len() as f64))
}

/// The part of the new cells with a confidence under the one that keeps at least `kept` of the known
/// cells. Nothing without cells of both kinds.
pub fn novelty_recall(new: &[f32], known: &[f32], kept: f64) -> Option<f64> {
    if new.is_empty() || known.is_empty() {
        return None;
    }
    let mut sorted = known.to_vec();
    sorted.sort_by(f32::total_cmp);
    let lost = ((1.0 - kept) * sorted.len() as f64 + 1e-9).floor() as usize;
    let threshold = sorted[lost.min(sorted.len() - 1)];
    Some(new.iter().filter(|&&cell| cell < threshold).count() as f64 / new.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_counts_pairs() {
        let (new, known) = ([0.1, 0.5, 0.9], [0.5, 0.8]);
        // 0.1 is under both, 0.5 ties with one and is under the other, 0.9 is under none.
        assert_eq!(novelty_auroc(&new, &known), Some(3.5 / 6.0));
        assert_eq!(novelty_auroc(&[], &known), None);
    }

    #[test]
    fn the_threshold_keeps_what_it_must() {
        let known: Vec<f32> = (0..100).map(|cell| cell as f32 / 100.0).collect();
        // 95 of 100 known cells have at least 0.05.
        assert_eq!(novelty_recall(&[0.04, 0.05, 0.9], &known, 0.95), Some(1.0 / 3.0));
        assert_eq!(novelty_recall(&[0.04], &[0.5], 0.95), Some(1.0));
    }
}
