//! Which of several scores is the largest.

/// Find the largest entry of a row; of equals the first, and 0 for an empty row.
pub fn first_largest(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best })
}
