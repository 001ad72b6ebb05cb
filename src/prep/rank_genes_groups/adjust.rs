//! p-values of many tests (Benjamini and Hochberg 1995).

/// The smallest rate of false discoveries at which each of the tests would be called one.
pub(crate) fn benjamini_hochberg(pvals: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..pvals.len()).collect();
    order.sort_by(|&a, &b| pvals[b].total_cmp(&pvals[a]));
    let mut adjusted = vec![1.0; pvals.len()];
    let mut least = 1f64;
    for (smaller, &test) in order.iter().enumerate() {
        let rank = pvals.len() - smaller;
        least = least.min(pvals[test] * pvals.len() as f64 / rank as f64);
        adjusted[test] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adjusted_value_is_never_below_that_of_a_smaller_one() {
        let adjusted = benjamini_hochberg(&[0.01, 0.04, 0.03, 0.9]);
        let expected = [0.04, 0.16 / 3.0, 0.16 / 3.0, 0.9];
        for (found, expected) in adjusted.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{adjusted:?}");
        }
    }
}
