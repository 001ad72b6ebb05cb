//! Mean and variance of every gene.

use rayon::prelude::*;

use crate::cells::CsrMatrix;

/// Cells whose sums are taken together. Sums of such blocks are added in order, so that they do not depend on
/// the number of threads.
const BLOCK: usize = 2048;

/// Mean and sample variance (`cells - 1` below the line) of each gene of `matrix` `[cells, genes]`, whose
/// values are seen through `view`; zeros stay zeros. In two passes, so that nothing cancels.
pub(super) fn moments(
    matrix: &CsrMatrix,
    view: impl Fn(f32) -> f64 + Sync,
) -> (Vec<f64>, Vec<f64>) {
    let cells = matrix.n_rows as f64;
    let sums = sums_of_columns(matrix, |_, value| [view(value), 1.0]);
    let mean: Vec<f64> = sums.iter().map(|[sum, _]| sum / cells).collect();
    let squares = column_sums(matrix, |gene, value| (view(value) - mean[gene]).powi(2));
    let variance = (squares.iter().zip(&sums).zip(&mean)).map(|((squares, [_, stored]), mean)| {
        (squares + (cells - stored) * mean * mean) / (cells - 1.0)
    });
    let variance = variance.collect();
    (mean, variance)
}

/// Sum of what `part` makes of each stored value, one number a gene; `part` is told the gene.
pub(super) fn column_sums(matrix: &CsrMatrix, part: impl Fn(usize, f32) -> f64 + Sync) -> Vec<f64> {
    let sums = sums_of_columns(matrix, |gene, value| [part(gene, value)]);
    sums.into_iter().map(|[sum]| sum).collect()
}

/// Sum several numbers of each stored value at once.
fn sums_of_columns<const N: usize>(
    matrix: &CsrMatrix,
    part: impl Fn(usize, f32) -> [f64; N] + Sync,
) -> Vec<[f64; N]> {
    let add = |sums: &mut [f64; N], part: [f64; N]| {
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    };
    let block = |first: usize| {
        let mut sums = vec![[0f64; N]; matrix.n_cols];
        let until = (first + BLOCK).min(matrix.n_rows);
        let span = matrix.indptr[first]..matrix.indptr[until];
        for (&column, &value) in matrix.indices[span.clone()].iter().zip(&matrix.data[span]) {
            add(&mut sums[column as usize], part(column as usize, value));
        }
        sums
    };
    let firsts: Vec<usize> = (0..matrix.n_rows).step_by(BLOCK).collect();
    let mut sums = vec![[0f64; N]; matrix.n_cols];
    // A few blocks at a time: their sums are as long as there are genes.
    for some in firsts.chunks(16) {
        let parts: Vec<Vec<[f64; N]>> = some.par_iter().map(|&first| block(first)).collect();
        for part in parts {
            sums.iter_mut().zip(part).for_each(|(sum, part)| add(sum, part));
        }
    }
    sums
}
