//! The graph of nearest neighbours, as scanpy's `pp.neighbors` builds it.

use rayon::prelude::*;

use super::descent::nearest_by_descent;
use super::nearest::{Metric, nearest};
use crate::cells::{CsrMatrix, Dense};
use crate::{Error, Result};

/// Neighbours that scanpy takes unless told otherwise, the cell itself among them.
pub const N_NEIGHBORS: usize = 15;

/// Cells up to which no neighbour is missed.
pub const EXACT_TO: usize = 200_000;

/// How near the weights of a cell must come to their target sum; umap-learn's number.
const SMOOTH_TOLERANCE: f64 = 1e-5;
/// Halvings after which the search for a bandwidth ends.
const SMOOTH_ROUNDS: usize = 64;
/// A bandwidth is at least this part of the mean distance.
const LEAST_BANDWIDTH: f64 = 1e-3;

/// The nearest neighbours of every cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbors {
    /// Cells.
    pub n_cells: usize,
    /// Neighbours of each cell, itself among them.
    pub n_neighbors: usize,
    /// Row numbers, `[cells, n_neighbors]`, row by row: the cell itself first, then nearest first.
    pub indices: Vec<u32>,
    /// Distances, `[cells, n_neighbors]`; 0 for the cell itself.
    pub distances: Vec<f32>,
}

/// Find the `n_neighbors` nearest of each row of `points` `[cells, dims]`, itself first.
///
/// Up to [`EXACT_TO`] cells the search is exact, and its time grows with the square of the cells; for more it is
/// [`nearest_by_descent`], as scanpy's is for all but few. Of points at one distance the first rows are taken. The
/// result does not depend on the number of threads.
///
/// # Errors
/// [`Error::Input`] if `n_neighbors` is not from 2 to the number of cells, or a value is not finite.
pub fn neighbors(points: &Dense, n_neighbors: usize, metric: Metric) -> Result<Neighbors> {
    let n_cells = points.n_rows;
    if n_neighbors < 2 || n_neighbors > n_cells {
        return Err(Error::input(
            "n_neighbors",
            format!("2 to {n_cells}, as there are cells, each the first neighbour of itself"),
            n_neighbors,
            format!("use {N_NEIGHBORS}, or fewer for fewer cells"),
        ));
    }
    let found = match n_cells {
        0..=EXACT_TO => nearest(points, points, n_neighbors, metric)?,
        _ => nearest_by_descent(points, n_neighbors, metric)?,
    };
    let (mut indices, mut distances) = (found.indices, found.distances);
    let rows = indices.par_chunks_exact_mut(n_neighbors);
    rows.zip(distances.par_chunks_exact_mut(n_neighbors)).enumerate().for_each(
        |(cell, (indices, distances))| {
            // Where more points than asked for lie in one place, the cell may not be among its own.
            let own = indices.iter().position(|&index| index as usize == cell);
            let own = own.unwrap_or(n_neighbors - 1);
            indices[..=own].rotate_right(1);
            distances[..=own].rotate_right(1);
            (indices[0], distances[0]) = (cell as u32, 0.0);
        },
    );
    Ok(Neighbors { n_cells, n_neighbors, indices, distances })
}

impl Neighbors {
    /// Weigh the edges of the graph, `[cells, cells]`: the fuzzy simplicial set of UMAP (McInnes, Healy
    /// and Melville 2018, algorithms 2 and 3), symmetric, from 0 to 1, nothing on the diagonal.
    ///
    /// With `rho` the distance of a cell to its nearest other at a distance above 0, a neighbour at
    /// distance `d` has weight `exp(-max(0, d - rho) / sigma)`, where `sigma` makes the weights of a
    /// cell sum to `log2(n_neighbors)`. The two weights `a` and `b` of a pair become `a + b - a b`.
    pub fn connectivities(&self) -> CsrMatrix {
        let weights = self.weights();
        let transposed = weights.transpose();
        let rows: Vec<(Vec<u32>, Vec<f32>)> = (0..self.n_cells)
            .into_par_iter()
            .map(|cell| unite(weights.row(cell), transposed.row(cell)))
            .collect();
        from_rows(rows, self.n_cells)
    }

    /// The distances as a matrix, `[cells, cells]`: `n_neighbors - 1` of each cell, columns rising; scanpy's
    /// `obsp["distances"]`.
    pub fn distances(&self) -> CsrMatrix {
        let k = self.n_neighbors;
        let rows = (self.indices.par_chunks_exact(k)).zip(self.distances.par_chunks_exact(k));
        let rows = rows.map(|(indices, distances)| {
            let others = indices[1..].iter().copied().zip(distances[1..].iter().copied());
            let mut row: Vec<(u32, f32)> = others.collect();
            row.sort_unstable_by_key(|entry| entry.0);
            row.into_iter().unzip()
        });
        from_rows(rows.collect(), self.n_cells)
    }

    /// How much each cell holds each of its neighbours for connected with it, `[cells, cells]`.
    fn weights(&self) -> CsrMatrix {
        let k = self.n_neighbors;
        let mean = mean(&self.distances);
        let rows: Vec<(Vec<u32>, Vec<f32>)> = (self.indices.par_chunks_exact(k))
            .zip(self.distances.par_chunks_exact(k))
            .map(|(indices, distances)| {
                let (rho, sigma) = smooth_distances(distances, mean);
                let weight = |(&other, &distance): (&u32, &f32)| {
                    let beyond = f64::from(distance) - rho;
                    let weight = if beyond <= 0.0 { 1.0 } else { (-beyond / sigma).exp() as f32 };
                    (weight > 0.0).then_some((other, weight))
                };
                let others = indices[1..].iter().zip(&distances[1..]);
                let mut row: Vec<(u32, f32)> = others.filter_map(weight).collect();
                row.sort_unstable_by_key(|entry| entry.0);
                row.into_iter().unzip()
            })
            .collect();
        from_rows(rows, self.n_cells)
    }
}

/// `rho` and `sigma` of one cell, whose own distance comes first (algorithm 3 of the paper, with
/// umap-learn's floor under `sigma`).
fn smooth_distances(distances: &[f32], mean_of_all: f64) -> (f64, f64) {
    let rho = distances.iter().find(|distance| **distance > 0.0).map_or(0.0, |&rho| f64::from(rho));
    let target = (distances.len() as f64).log2();
    let (mut low, mut high, mut sigma) = (0.0, f64::INFINITY, 1.0);
    for _ in 0..SMOOTH_ROUNDS {
        let weight = |&distance: &f32| (-(f64::from(distance) - rho).max(0.0) / sigma).exp();
        let sum: f64 = distances[1..].iter().map(weight).sum();
        if (sum - target).abs() < SMOOTH_TOLERANCE {
            break;
        }
        if sum > target {
            high = sigma;
        } else {
            low = sigma;
        }
        sigma = if high.is_finite() { f64::midpoint(low, high) } else { sigma * 2.0 };
    }
    let floor = if rho > 0.0 { mean(distances) } else { mean_of_all };
    (rho, sigma.max(LEAST_BANDWIDTH * floor))
}

fn mean(distances: &[f32]) -> f64 {
    distances.iter().map(|&distance| f64::from(distance)).sum::<f64>() / distances.len() as f64
}

/// Unite what a cell and its neighbours say of each other, columns rising.
fn unite(own: (&[u32], &[f32]), others: (&[u32], &[f32])) -> (Vec<u32>, Vec<f32>) {
    let mut entries: Vec<(u32, f32)> = Vec::with_capacity(own.0.len() + others.0.len());
    entries.extend(own.0.iter().copied().zip(own.1.iter().copied()));
    for (&column, &weight) in others.0.iter().zip(others.1) {
        match own.0.binary_search(&column) {
            // The sum first: it rounds alike from both ends.
            Ok(place) => entries[place].1 = (entries[place].1 + weight) - entries[place].1 * weight,
            Err(_) => entries.push((column, weight)),
        }
    }
    entries.sort_unstable_by_key(|entry| entry.0);
    entries.into_iter().unzip()
}

fn from_rows(rows: Vec<(Vec<u32>, Vec<f32>)>, n_cols: usize) -> CsrMatrix {
    let mut matrix =
        CsrMatrix { n_rows: rows.len(), n_cols, indptr: vec![0], ..CsrMatrix::default() };
    for (columns, weights) in rows {
        matrix.indices.extend(columns);
        matrix.data.extend(weights);
        matrix.indptr.push(matrix.data.len());
    }
    matrix
}
