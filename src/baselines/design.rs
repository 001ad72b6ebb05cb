//! Training rows as a linear model meets them: scaled, centred without a zero becoming a value, and laid
//! out by rows for scores and by columns for gradients.

use rayon::prelude::*;
use screader_kernels::host::{row_products, weighted_rows};

use super::features::Features;
use crate::cells::{CsrMatrix, Dense};

/// Rows, or columns, of one task. Fixed, so that no sum depends on the number of threads.
const TASK: usize = 64;

/// A matrix with its transpose.
enum Layout {
    Sparse { rows: CsrMatrix, columns: CsrMatrix },
    Dense { rows: Dense, columns: Dense },
}

/// Scaled training rows.
pub(super) struct Design {
    layout: Layout,
    /// What is still to be subtracted from each column, in scaled units: dense rows are centred already.
    centre: Vec<f64>,
}

/// Mean and variance (of n) of every column.
pub(super) struct Moments {
    pub(super) means: Vec<f64>,
    pub(super) variances: Vec<f64>,
}

impl Design {
    /// Divide every column by its entry of `scales`, and see it from its mean.
    pub(super) fn new(features: Features, moments: &Moments, scales: &[f64]) -> Self {
        match features {
            Features::Sparse(matrix) => {
                let mut rows = matrix.clone();
                for (value, &column) in rows.data.iter_mut().zip(&rows.indices) {
                    *value = (f64::from(*value) / scales[column as usize]) as f32;
                }
                let centre = moments.means.iter().zip(scales).map(|(mean, scale)| mean / scale);
                let layout = Layout::Sparse { columns: rows.transpose(), rows };
                Self { layout, centre: centre.collect() }
            }
            Features::Dense(dense) => {
                let mut rows = dense.clone();
                for row in rows.values.chunks_exact_mut(dense.n_cols) {
                    for (value, (mean, scale)) in
                        row.iter_mut().zip(moments.means.iter().zip(scales))
                    {
                        *value = ((f64::from(*value) - mean) / scale) as f32;
                    }
                }
                let layout = Layout::Dense { columns: transpose_dense(&rows), rows };
                Self { layout, centre: vec![0.0; dense.n_cols] }
            }
        }
    }

    pub(super) fn n_cols(&self) -> usize {
        self.centre.len()
    }

    /// What the centring takes from every row's product with `weights`, `[columns, width]`.
    pub(super) fn offsets(&self, weights: &[f32], width: usize) -> Vec<f64> {
        let parts: Vec<Vec<f64>> = (weights.par_chunks(TASK * width))
            .zip(self.centre.par_chunks(TASK))
            .map(|(weights, centre)| {
                let mut sums = vec![0f64; width];
                for (weights, centre) in weights.chunks_exact(width).zip(centre) {
                    add_scaled(&mut sums, weights, *centre);
                }
                sums
            })
            .collect();
        sum_in_order(parts, width)
    }

    /// Hand each block of rows its product with `weights`, `[columns, width]`, before centring: `visit`
    /// gets the first row, and `[rows, width]` of `scores`, which it may write over.
    pub(super) fn score<T: Send>(
        &self,
        weights: &[f32],
        width: usize,
        scores: &mut [f32],
        visit: impl Fn(usize, &mut [f32]) -> T + Sync,
    ) -> Vec<T> {
        let by_column = match &self.layout {
            Layout::Sparse { .. } => Vec::new(),
            Layout::Dense { .. } => transposed(weights, width),
        };
        let blocks = scores.par_chunks_mut(TASK * width).enumerate();
        let score = |(block, scores): (usize, &mut [f32])| {
            let first = block * TASK;
            let count = scores.len() / width;
            match &self.layout {
                Layout::Sparse { rows, .. } => {
                    let starts = &rows.indptr[first..=first + count];
                    weighted_rows(scores, starts, &rows.indices, &rows.data, weights, width);
                }
                Layout::Dense { rows, .. } => {
                    let values = &rows.values[first * rows.n_cols..][..count * rows.n_cols];
                    row_products(scores, values, &by_column, rows.n_cols);
                }
            }
            visit(first, scores)
        };
        blocks.map(score).collect()
    }

    /// Write the gradient of the weights, `[columns, width]`, given that of the scores, `[rows, width]`,
    /// and its sums over the rows.
    pub(super) fn gradient(&self, of_scores: &[f32], sums: &[f64], width: usize, into: &mut [f32]) {
        let by_column = match &self.layout {
            Layout::Sparse { .. } => Vec::new(),
            Layout::Dense { .. } => transposed(of_scores, width),
        };
        into.par_chunks_mut(TASK * width).enumerate().for_each(|(block, into)| {
            let first = block * TASK;
            let count = into.len() / width;
            match &self.layout {
                Layout::Sparse { columns, .. } => {
                    let starts = &columns.indptr[first..=first + count];
                    let (cells, values) = (&columns.indices, &columns.data);
                    weighted_rows(into, starts, cells, values, of_scores, width);
                }
                Layout::Dense { columns, .. } => {
                    let values = &columns.values[first * columns.n_cols..];
                    let values = &values[..count * columns.n_cols];
                    row_products(into, values, &by_column, columns.n_cols);
                }
            }
            for (into, centre) in into.chunks_exact_mut(width).zip(&self.centre[first..]) {
                for (into, sum) in into.iter_mut().zip(sums) {
                    *into = (f64::from(*into) - centre * sum) as f32;
                }
            }
        });
    }
}

impl Moments {
    pub(super) fn of(features: Features) -> Self {
        let (rows, columns) = (features.n_rows() as f64, features.n_cols());
        // Two passes, as a small variance beside a large mean needs; absent entries are zeros.
        let sum = |term: &dyn Fn(usize, f64) -> f64| {
            let mut sums = vec![0f64; columns];
            let mut stored = vec![0f64; columns];
            let mut add = |column: usize, value: f32| {
                sums[column] += term(column, f64::from(value));
                stored[column] += 1.0;
            };
            match features {
                Features::Sparse(matrix) => {
                    let entries = matrix.indices.iter().zip(&matrix.data);
                    entries.for_each(|(&column, &value)| add(column as usize, value));
                }
                Features::Dense(dense) => {
                    let entries = dense.values.iter().enumerate();
                    entries.for_each(|(at, &value)| add(at % columns, value));
                }
            }
            for (column, (sum, stored)) in sums.iter_mut().zip(stored).enumerate() {
                *sum = (*sum + (rows - stored) * term(column, 0.0)) / rows;
            }
            sums
        };
        let means = sum(&|_, value| value);
        let variances = sum(&|column, value| (value - means[column]).powi(2));
        Self { means, variances }
    }
}

/// Add `factor · row` to `sums`.
pub(super) fn add_scaled(sums: &mut [f64], row: &[f32], factor: f64) {
    sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += factor * f64::from(value));
}

/// Add up what each task found, in the order of the tasks.
pub(super) fn sum_in_order(parts: Vec<Vec<f64>>, width: usize) -> Vec<f64> {
    let mut sums = vec![0f64; width];
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    sums
}

fn transpose_dense(dense: &Dense) -> Dense {
    let values = transposed(&dense.values, dense.n_cols);
    Dense { n_rows: dense.n_cols, n_cols: dense.n_rows, values }
}

/// `[rows, width]` as `[width, rows]`.
pub(super) fn transposed(values: &[f32], width: usize) -> Vec<f32> {
    (0..width).flat_map(|column| values[column..].iter().step_by(width).copied()).collect()
}
