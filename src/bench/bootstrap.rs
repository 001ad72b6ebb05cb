//! How sure a difference between two methods on the same cells is.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::summary::{Difference, Interval};
use crate::Result;
use crate::score::Confusion;

/// Resamples of the cells.
const RESAMPLES: usize = 2000;
/// What is left out at either end of the interval.
const TAIL: f64 = 0.025;

/// Cells with what two methods said of them.
pub struct Paired<'a> {
    /// True classes.
    pub truth: &'a [usize],
    /// What the method said.
    pub method: &'a [usize],
    /// What the other said.
    pub other: &'a [usize],
    /// Number of classes.
    pub n_classes: usize,
}

impl Paired<'_> {
    /// The differences of accuracy and macro-F1, method less other, on all cells together, with 95 %
    /// percentile intervals from a paired bootstrap over cells (Efron and Tibshirani 1993): a resample
    /// draws as many cells with replacement and asks both methods about the same ones. The same seed gives
    /// the same intervals on any number of threads.
    ///
    /// # Errors
    /// Lengths that differ, no cells.
    pub fn difference(&self, to: &str, seed: u64) -> Result<Difference> {
        let estimate = self.differences(0..self.truth.len())?;
        let resamples = (0..RESAMPLES as u64)
            .into_par_iter()
            .map(|resample| {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                rng.set_stream(resample);
                let cells = (0..self.truth.len()).map(|_| rng.random_range(0..self.truth.len()));
                self.differences(cells.collect::<Vec<_>>())
            })
            .collect::<Result<Vec<_>>>()?;
        let interval = |part: fn(&(f64, f64)) -> f64| {
            let mut values: Vec<f64> = resamples.iter().map(part).collect();
            values.sort_by(f64::total_cmp);
            let at = |share: f64| values[(share * (values.len() - 1) as f64).round() as usize];
            Interval { low: at(TAIL), estimate: part(&estimate), high: at(1.0 - TAIL) }
        };
        Ok(Difference {
            to: to.to_owned(),
            accuracy: interval(|differences| differences.0),
            macro_f1: interval(|differences| differences.1),
        })
    }

    /// Differences of accuracy and macro-F1 over some cells.
    fn differences(&self, cells: impl IntoIterator<Item = usize>) -> Result<(f64, f64)> {
        let cells: Vec<usize> = cells.into_iter().collect();
        let of = |said: &[usize]| -> Vec<usize> { cells.iter().map(|&cell| said[cell]).collect() };
        let truth = of(self.truth);
        let confusion = |said| Confusion::new(&truth, &of(said), self.n_classes);
        let (method, other) = (confusion(self.method)?, confusion(self.other)?);
        Ok((
            method.accuracy() - other.accuracy(),
            method.macro_average().f1 - other.macro_average().f1,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 400 cells of two classes; a method right on `right` of each 10, the other on 7 of each 10.
    fn difference(right: usize) -> Difference {
        let truth: Vec<usize> = (0..400).map(|cell| cell % 2).collect();
        let said = |right: usize| -> Vec<usize> {
            let is_right = |cell: usize| (cell / 2) % 10 < right;
            (0..400).map(|cell| if is_right(cell) { cell % 2 } else { 1 - cell % 2 }).collect()
        };
        let (method, other) = (said(right), said(7));
        let paired = Paired { truth: &truth, method: &method, other: &other, n_classes: 2 };
        paired.difference("other", 3).unwrap()
    }

    #[test]
    fn an_interval_holds_its_estimate_and_tells_a_real_difference() {
        let better = difference(9);
        assert!((better.accuracy.estimate - 0.2).abs() < 1e-9);
        assert!(better.accuracy.low > 0.1 && better.accuracy.high < 0.3);
        assert!(better.macro_f1.low > 0.1 && better.macro_f1.high < 0.3);
        let same = difference(7);
        assert_eq!((same.accuracy.low, same.accuracy.high), (0.0, 0.0), "pairs that never differ");
        assert_eq!(difference(9), better, "the same seed, the same interval");
    }

    #[test]
    fn the_interval_is_as_wide_as_theory_says() {
        // Of 400 pairs 80 differ, all for the method: the standard error of the mean difference is
        // sqrt(0.2 · 0.8 / 400) = 0.02, so the 95 % interval is about 0.2 ± 0.039.
        let found = difference(9).accuracy;
        assert!(
            (found.low - 0.161).abs() < 0.006 && (found.high - 0.239).abs() < 0.006,
            "{found:?}"
        );
    }
}
