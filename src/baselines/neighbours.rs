//! Exact nearest neighbours by cosine, and their vote.

use rayon::prelude::*;

use super::genept::scale_to_unit;
use crate::cells::Dense;
use crate::{Error, Result};

/// Query cells are compared in blocks of this many, so that each training cell is read from memory
/// once per block and not once per query.
const QUERIES_PER_BLOCK: usize = 16;

/// Predict the class of each query cell by the vote of its `k` nearest training cells (cosine).
///
/// `train` is `[training cells, dim]`, `query` `[cells, dim]`, `labels` the class of each training
/// cell. The search is exact. Training cells at equal distance are taken in their order; of classes
/// with equally many votes the one with the nearest cell wins. The zero vector is at distance 1 from
/// everything. The result does not depend on the number of threads.
///
/// # Errors
/// [`Error::Input`] if shapes do not fit, a label is not below `n_classes`, or there are fewer than
/// `k` training cells, or `k` is 0.
pub fn knn_predict(
    train: &Dense,
    labels: &[usize],
    query: &Dense,
    k: usize,
    n_classes: usize,
) -> Result<Vec<usize>> {
    check(train, labels, query, k, n_classes)?;
    let (train, query) = (unit_rows(train), unit_rows(query));
    let blocks: Vec<Vec<usize>> = (query.values.par_chunks(query.n_cols * QUERIES_PER_BLOCK))
        .map(|block| predict_block(&train, labels, block, k, n_classes))
        .collect();
    Ok(blocks.concat())
}

fn predict_block(
    train: &Dense,
    labels: &[usize],
    queries: &[f32],
    k: usize,
    n_classes: usize,
) -> Vec<usize> {
    let dim = train.n_cols;
    let n_queries = queries.len() / dim;
    let mut similarity = vec![0f32; n_queries * train.n_rows];
    for (cell, vector) in train.values.chunks_exact(dim).enumerate() {
        for (query, row) in queries.chunks_exact(dim).enumerate() {
            similarity[query * train.n_rows + cell] = dot(row, vector);
        }
    }
    let predict = |similarity: &[f32]| {
        let mut order: Vec<usize> = (0..train.n_rows).collect();
        let nearer =
            |a: &usize, b: &usize| similarity[*b].total_cmp(&similarity[*a]).then(a.cmp(b));
        if k < order.len() {
            order.select_nth_unstable_by(k, nearer);
            order.truncate(k);
        }
        order.sort_unstable_by(nearer);
        vote(order.iter().map(|&cell| labels[cell]), n_classes)
    };
    similarity.chunks_exact(train.n_rows).map(predict).collect()
}

/// The class of most votes; `nearest_first` decides between equals.
fn vote(nearest_first: impl Iterator<Item = usize> + Clone, n_classes: usize) -> usize {
    let mut votes = vec![0usize; n_classes];
    nearest_first.clone().for_each(|class| votes[class] += 1);
    let most = votes.iter().copied().max().unwrap_or_default();
    nearest_first.into_iter().find(|&class| votes[class] == most).unwrap_or_default()
}

/// Inner product in eight running sums: a fixed order of additions that the compiler can vectorise.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

fn unit_rows(dense: &Dense) -> Dense {
    let mut unit = dense.clone();
    unit.values.par_chunks_mut(unit.n_cols).for_each(scale_to_unit);
    unit
}

fn check(train: &Dense, labels: &[usize], query: &Dense, k: usize, n_classes: usize) -> Result<()> {
    let refuse = |expected: String, found: String, remedy: &str| {
        Err(Error::input("nearest neighbours", expected, found, remedy))
    };
    if train.n_cols == 0 || train.n_cols != query.n_cols {
        return refuse(
            format!("vectors of the {} dimensions of the training cells, at least 1", train.n_cols),
            query.n_cols.to_string(),
            "embed training and query cells with the same table",
        );
    }
    if labels.len() != train.n_rows {
        return refuse(
            format!("a label for each of {} training cells", train.n_rows),
            labels.len().to_string(),
            "leave cells without a label out",
        );
    }
    if k == 0 || k > train.n_rows {
        return refuse(
            format!("1 to {} neighbours, as there are training cells", train.n_rows),
            k.to_string(),
            "set neighbours to 10, or less for fewer training cells",
        );
    }
    match labels.iter().find(|label| **label >= n_classes) {
        None => Ok(()),
        Some(label) => refuse(
            format!("labels below {n_classes}"),
            label.to_string(),
            "count the classes of all labels",
        ),
    }
}
