//! The largest eigenpairs of a symmetric operator that is known by what it does to a vector: Lanczos'
//! method with thick restarts (Wu and Simon, SIAM J. Matrix Anal. Appl. 22, 2000) and full
//! reorthogonalisation. Nothing of the operator's size squared is stored.

use faer::{Mat, Side};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Vectors are updated in pieces of this many numbers, each by one thread.
const PIECE: usize = 1024;
/// What is left of an image, relative to the largest image, when the space holds all of it.
const NOTHING_LEFT: f64 = 1e-13;

/// How far to search.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lanczos {
    /// Eigenpairs wanted, at most the size of the operator.
    pub(super) pairs: usize,
    /// Vectors kept at once, more than `pairs`; the size of the operator where that is less.
    pub(super) basis: usize,
    /// Norm of `A v - λ v` at which a pair is found, relative to the norm of the operator.
    pub(super) tolerance: f64,
    /// Restarts after which to give up.
    pub(super) restarts: usize,
}

/// Eigenvalues, falling, each with its unit vector.
#[derive(Debug)]
pub(super) struct Eigenpairs {
    pub(super) values: Vec<f64>,
    pub(super) vectors: Vec<Vec<f64>>,
    /// Whether all are as near as was asked for.
    pub(super) converged: bool,
}

impl Lanczos {
    /// Find the largest eigenpairs of the symmetric operator `apply` on vectors of `size` numbers, which
    /// must give finite numbers. The result does not depend on the number of threads if `apply` does not.
    ///
    /// As all of Lanczos' methods it may meet an eigenvalue that occurs several times, to the last digit,
    /// fewer times where the basis is smaller than the operator.
    pub(super) fn largest(
        &self,
        size: usize,
        apply: impl Fn(&[f64]) -> Vec<f64>,
    ) -> Option<Eigenpairs> {
        let width = self.basis.max(self.pairs + 2).min(size);
        let pairs = self.pairs.min(width);
        // Half of what is beyond the wanted pairs goes on into the next round.
        let kept = (pairs + (width - pairs) / 2).min(width.saturating_sub(1));
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let mut basis: Vec<Vec<f64>> = Vec::with_capacity(width);
        // The operator within the basis, which is all that the small eigenproblem needs.
        let mut projected = vec![0.0; width * width];
        let mut next = direction(size, &basis, &mut random);
        let mut norm = 0f64;
        for restart in 0..=self.restarts {
            let mut residual = 0.0;
            while basis.len() < width {
                let newest = basis.len();
                basis.push(next);
                let mut image = apply(&basis[newest]);
                norm = norm.max(length(&image));
                // Twice is enough (Kahan; Parlett, The Symmetric Eigenvalue Problem, section 6.9).
                let once = orthogonalise(&basis, &mut image);
                let again = orthogonalise(&basis, &mut image);
                for (row, (once, again)) in once.iter().zip(&again).enumerate() {
                    projected[row * width + newest] = once + again;
                    projected[newest * width + row] = once + again;
                }
                residual = length(&image);
                next = if residual > NOTHING_LEFT * norm {
                    image.iter_mut().for_each(|value| *value /= residual);
                    image
                } else {
                    // The space is closed under the operator. What is orthogonal to it may hold
                    // further copies of an eigenvalue.
                    residual = 0.0;
                    if basis.len() < width { direction(size, &basis, &mut random) } else { image }
                };
            }
            let (values, within) = symmetric_eigenpairs(&projected, width)?;
            let distance = |pair: usize| residual * within[pair][width - 1].abs();
            let converged = (0..pairs).all(|pair| distance(pair) <= self.tolerance * norm);
            if converged || restart == self.restarts {
                let vectors = combine(&basis, &within[..pairs]);
                return Some(Eigenpairs { values: values[..pairs].to_vec(), vectors, converged });
            }
            basis = combine(&basis, &within[..kept]);
            projected.fill(0.0);
            (0..kept).for_each(|pair| projected[pair * width + pair] = values[pair]);
        }
        None
    }
}

/// All eigenpairs of a small symmetric matrix `[size, size]`, largest first; `None` where the iteration
/// fails.
pub(crate) fn symmetric_eigenpairs(
    matrix: &[f64],
    size: usize,
) -> Option<(Vec<f64>, Vec<Vec<f64>>)> {
    let matrix = Mat::from_fn(size, size, |row, column| matrix[row * size + column]);
    let found = matrix.self_adjoint_eigen(Side::Lower).ok()?;
    // faer gives them rising.
    let values = (0..size).rev().map(|pair| found.S()[pair]).collect();
    let vector = |pair: usize| (0..size).map(|row| found.U()[(row, pair)]).collect();
    Some((values, (0..size).rev().map(vector).collect()))
}

/// Turn `vector` so that its entry of largest magnitude, the first of equals, is positive: a vector and
/// its opposite are the same eigenvector.
pub(super) fn fix_sign(vector: &mut [f64]) {
    let mut largest = 0f64;
    for &value in vector.iter() {
        if value.abs() > largest.abs() {
            largest = value;
        }
    }
    if largest < 0.0 {
        vector.iter_mut().for_each(|value| *value = -*value);
    }
}

/// A random unit vector orthogonal to the basis.
fn direction(size: usize, basis: &[Vec<f64>], random: &mut ChaCha8Rng) -> Vec<f64> {
    let mut vector: Vec<f64> = (0..size).map(|_| random.random::<f64>() - 0.5).collect();
    for _ in 0..2 {
        orthogonalise(basis, &mut vector);
        let length = length(&vector).max(f64::MIN_POSITIVE);
        vector.iter_mut().for_each(|value| *value /= length);
    }
    vector
}

/// Take from `vector` its parts along the basis and return them.
fn orthogonalise(basis: &[Vec<f64>], vector: &mut [f64]) -> Vec<f64> {
    let parts: Vec<f64> = {
        let vector: &[f64] = vector;
        basis.par_iter().with_min_len(8).map(|known| dot(known, vector)).collect()
    };
    vector.par_chunks_mut(PIECE).enumerate().for_each(|(place, piece)| {
        let begin = place * PIECE;
        for (known, part) in basis.iter().zip(&parts) {
            let known = &known[begin..begin + piece.len()];
            piece.iter_mut().zip(known).for_each(|(value, known)| *value -= part * known);
        }
    });
    parts
}

/// The sums of the basis vectors with each row of `weights`.
fn combine(basis: &[Vec<f64>], weights: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let size = basis.first().map_or(0, Vec::len);
    let sum = |weights: &Vec<f64>| {
        let mut sum = vec![0.0; size];
        for (known, weight) in basis.iter().zip(weights) {
            sum.iter_mut().zip(known).for_each(|(sum, known)| *sum += weight * known);
        }
        sum
    };
    weights.par_iter().map(sum).collect()
}

pub(super) fn length(vector: &[f64]) -> f64 {
    dot(vector, vector).sqrt()
}

/// Inner product in eight running sums: a fixed order of additions that the compiler can vectorise.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0f64; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagonal(values: &[f64], pairs: usize, basis: usize) -> Eigenpairs {
        let search = Lanczos { pairs, basis, tolerance: 1e-12, restarts: 500 };
        let apply = |v: &[f64]| v.iter().zip(values).map(|(v, value)| v * value).collect();
        search.largest(values.len(), apply).unwrap()
    }

    #[test]
    fn the_largest_of_many_are_found_with_few_vectors() {
        let values: Vec<f64> = (0..600).map(|place| f64::from(place * 37 % 600)).collect();
        let found = diagonal(&values, 5, 20);
        assert!(found.converged);
        for (place, (value, vector)) in found.values.iter().zip(&found.vectors).enumerate() {
            assert!((value - (599 - place) as f64).abs() < 1e-8, "{value}");
            let at = values.iter().position(|&known| known == (599 - place) as f64).unwrap();
            assert!((vector[at].abs() - 1.0).abs() < 1e-8);
        }
    }

    #[test]
    fn a_space_that_closes_early_is_no_end() {
        // Two distinct values only: the second vector closes the space, with more copies to find.
        let mut values = vec![1.0; 40];
        values[7] = 3.0;
        values[9] = 3.0;
        let found = diagonal(&values, 4, 12);
        for (found, wanted) in found.values.iter().zip([3.0, 3.0, 1.0, 1.0]) {
            assert!((found - wanted).abs() < 1e-9, "{found}");
        }
        assert!(diagonal(&[0.0; 6], 3, 12).values.iter().all(|value| value.abs() < 1e-12));
        assert_eq!(diagonal(&[2.0], 1, 12).values, [2.0]);
    }

    #[test]
    fn one_thread_and_two_give_the_same_bytes() {
        let values: Vec<f64> = (0..3000).map(|place| f64::from(place).sqrt()).collect();
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| diagonal(&values, 4, 40).vectors)
        };
        assert_eq!(on(1), on(2));
    }
}
