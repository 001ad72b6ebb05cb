//! The silhouette coefficient: how well the classes lie apart.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::cells::Dense;
use crate::{Error, Result};

/// Cells above which a sample of as many stands for all: the work grows with their square.
const SAMPLE: usize = 5_000;
/// Cells whose distances to all are taken at a time.
const BLOCK: usize = 32;

/// Measure the mean silhouette coefficient (Rousseeuw 1987) of `points` `[cells, dims]`, Euclidean, from -1
/// to 1: the mean of `(b - a) / max(a, b)`, with `a` the mean distance of a cell to the others of its class
/// and `b` that to the nearest other class. A cell alone in its class counts 0, as in scikit-learn's
/// `silhouette_score`.
///
/// Of more than 5,000 cells as many are drawn without replacement by `seed`, and compared among
/// themselves. The result does not depend on the number of threads.
///
/// # Errors
/// [`Error::Input`] if there is not one label per row, a value is not finite, or the cells (of the sample)
/// are of fewer than two classes or each of its own.
pub fn silhouette(points: &Dense, labels: &[usize], seed: u64) -> Result<f64> {
    check(points, labels)?;
    let cells = sample(points.n_rows, seed);
    let (classes, sizes) = classes(cells.iter().map(|&cell| labels[cell]));
    if sizes.len() < 2 || sizes.len() == cells.len() {
        return Err(Error::input(
            "silhouette",
            "cells of 2 classes or more, and fewer classes than cells",
            format!("{} classes of {} cells", sizes.len(), cells.len()),
            "label the cells by type",
        ));
    }
    let row = |cell: usize| &points.values[cell * points.n_cols..][..points.n_cols];
    let coefficients: Vec<f64> = (0..cells.len())
        .collect::<Vec<usize>>()
        .par_chunks(BLOCK)
        .flat_map_iter(|block| {
            let mut sums = vec![0f64; block.len() * sizes.len()];
            for (&other, &class) in cells.iter().zip(&classes) {
                let other = row(other);
                for (&place, sums) in block.iter().zip(sums.chunks_exact_mut(sizes.len())) {
                    sums[class] += distance(row(cells[place]), other);
                }
            }
            let of = |(&place, sums)| coefficient(classes[place], sums, &sizes);
            block.iter().zip(sums.chunks_exact(sizes.len())).map(of).collect::<Vec<f64>>()
        })
        .collect();
    Ok(coefficients.iter().sum::<f64>() / coefficients.len() as f64)
}

/// The coefficient of one cell from the sums of its distances to the cells of each class.
fn coefficient(class: usize, sums: &[f64], sizes: &[usize]) -> f64 {
    if sizes[class] < 2 {
        return 0.0;
    }
    let own = sums[class] / (sizes[class] - 1) as f64;
    let means = sums.iter().zip(sizes).map(|(sum, &size)| sum / size as f64);
    let others = means.enumerate().filter(|(other, _)| *other != class).map(|(_, mean)| mean);
    let nearest = others.fold(f64::INFINITY, f64::min);
    let larger = own.max(nearest);
    if larger > 0.0 { (nearest - own) / larger } else { 0.0 }
}

/// All cells, or as many as are compared, drawn by `seed`, rising.
fn sample(cells: usize, seed: u64) -> Vec<usize> {
    let mut drawn: Vec<usize> = (0..cells).collect();
    if cells > SAMPLE {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        for place in 0..SAMPLE {
            let left = (cells - place) as u128;
            let other = place + ((u128::from(random.next_u64()) * left) >> 64) as usize;
            drawn.swap(place, other);
        }
        drawn.truncate(SAMPLE);
        drawn.sort_unstable();
    }
    drawn
}

/// Classes numbered from 0 without gaps, and their sizes.
fn classes(labels: impl Iterator<Item = usize> + Clone) -> (Vec<usize>, Vec<usize>) {
    let mut known: Vec<usize> = labels.clone().collect();
    known.sort_unstable();
    known.dedup();
    let mut sizes = vec![0; known.len()];
    let number = |label| {
        let number = known.partition_point(|&other| other < label);
        sizes[number] += 1;
        number
    };
    (labels.map(number).collect(), sizes)
}

/// Euclidean distance. Eight running sums in single precision, for vector units; their sum in double.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0f32; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest = a_chunks.remainder().iter().zip(b_chunks.remainder());
    let rest: f32 = rest.map(|(a, b)| (a - b) * (a - b)).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..8 {
            sums[lane] += (a[lane] - b[lane]) * (a[lane] - b[lane]);
        }
    }
    (sums.iter().map(|&sum| f64::from(sum)).sum::<f64>() + f64::from(rest)).sqrt()
}

fn check(points: &Dense, labels: &[usize]) -> Result<()> {
    if labels.len() != points.n_rows || points.values.len() != points.n_rows * points.n_cols {
        return Err(Error::input(
            "silhouette",
            format!("a vector and a label for each of {} cells", points.n_rows),
            format!("{} labels", labels.len()),
            "leave cells without a label out",
        ));
    }
    if points.values.iter().any(|value| !value.is_finite()) {
        return Err(Error::input(
            "silhouette",
            "vectors of finite numbers",
            "numbers that are not finite",
            "leave such cells out",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_made_case() {
        // a = 1 and b = 10 of the first cell, a = 1 and b = 9 of the second; the third is alone.
        let points = Dense { n_rows: 3, n_cols: 1, values: vec![0.0, 1.0, 10.0] };
        let found = silhouette(&points, &[4, 4, 9], 0).unwrap();
        assert!((found - (0.9 + 8.0 / 9.0) / 3.0).abs() < 1e-12, "{found}");
    }

    #[test]
    fn a_sample_is_of_distinct_cells_and_keeps_its_seed() {
        let drawn = sample(12_000, 3);
        assert_eq!(drawn.len(), SAMPLE);
        assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(drawn, sample(12_000, 3));
        assert_ne!(drawn, sample(12_000, 4));
        assert_eq!(sample(5, 3), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn nonsense_is_refused() {
        let points = Dense { n_rows: 2, n_cols: 1, values: vec![0.0, 1.0] };
        for labels in [&[0][..], &[0, 0], &[0, 1]] {
            assert!(silhouette(&points, labels, 0).is_err());
        }
        let broken = Dense { n_rows: 3, n_cols: 1, values: vec![0.0, 1.0, f32::NAN] };
        assert!(silhouette(&broken, &[0, 0, 1], 0).is_err());
    }
}
