//! Whether cells lie among cells of their class.

use rayon::prelude::*;

use crate::cells::Dense;
use crate::prep::{Metric, nearest};
use crate::{Error, Result};

/// Measure the mean part of a cell's `k` nearest others, by Euclidean distance between the rows of
/// `points` `[cells, dims]`, that are of its class; 0 to 1.
///
/// The search is exact; the cell itself does not count. Of cells at one distance the first rows are taken.
///
/// # Errors
/// [`Error::Input`] if there is not one label per row, `k` is not from 1 to the number of other cells, or a
/// value is not finite.
pub fn neighbour_purity(points: &Dense, labels: &[usize], k: usize) -> Result<f64> {
    if labels.len() != points.n_rows || k == 0 || k >= points.n_rows {
        return Err(Error::input(
            "neighbour purity",
            format!("{} labels, and 1 or more neighbours of as many other cells", points.n_rows),
            format!("{} labels, {k} neighbours", labels.len()),
            "leave cells without a label out, or ask for fewer neighbours",
        ));
    }
    let found = nearest(points, points, k + 1, Metric::Euclidean)?;
    let pure: usize = (found.indices.par_chunks_exact(k + 1).enumerate())
        .map(|(cell, near)| {
            // Where more than `k` others lie in the same place the cell may be missing: then the last
            // is one too many.
            let others = near.iter().map(|&other| other as usize).filter(|&other| other != cell);
            others.take(k).filter(|&other| labels[other] == labels[cell]).count()
        })
        .sum();
    Ok(pure as f64 / (k * points.n_rows) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_made_case() {
        let points = Dense { n_rows: 4, n_cols: 1, values: vec![0.0, 1.0, 2.5, 10.0] };
        // Nearest others: 1, 0, 1, 2.
        assert_eq!(neighbour_purity(&points, &[0, 0, 1, 1], 1).unwrap(), 0.75);
        assert_eq!(neighbour_purity(&points, &[5; 4], 3).unwrap(), 1.0);
        let alike = Dense { n_rows: 5, n_cols: 1, values: vec![1.0; 5] };
        assert_eq!(neighbour_purity(&alike, &[2; 5], 2).unwrap(), 1.0);
        assert!(neighbour_purity(&points, &[0, 0, 1, 1], 4).is_err());
        assert!(neighbour_purity(&points, &[0, 0, 1], 1).is_err());
    }
}
