//! Mean and variance of every gene.

use rayon::prelude::*;

use crate::Result;
use crate::cells::{CsrRows, ROWS_TOGETHER, Rows};

/// Mean and sample variance (`cells - 1` below the line) of each gene of `matrix` `[cells, genes]`, whose
/// values are seen through `view`; zeros stay zeros. In two passes, so that nothing cancels.
pub(super) fn moments(
    matrix: &dyn Rows,
    view: impl Fn(f32) -> f64 + Sync,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let cells = matrix.n_rows() as f64;
    let sums = sums_of_columns(matrix, |_, value| [view(value), 1.0])?;
    let mean: Vec<f64> = sums.iter().map(|[sum, _]| sum / cells).collect();
    let squares = column_sums(matrix, |gene, value| (view(value) - mean[gene]).powi(2))?;
    let variance = (squares.iter().zip(&sums).zip(&mean)).map(|((squares, [_, stored]), mean)| {
        (squares + (cells - stored) * mean * mean) / (cells - 1.0)
    });
    let variance = variance.collect();
    Ok((mean, variance))
}

/// Sum of what `part` makes of each stored value, one number a gene; `part` is told the gene.
pub(super) fn column_sums(
    matrix: &dyn Rows,
    part: impl Fn(usize, f32) -> f64 + Sync,
) -> Result<Vec<f64>> {
    let sums = sums_of_columns(matrix, |gene, value| [part(gene, value)])?;
    Ok(sums.into_iter().map(|[sum]| sum).collect())
}

/// Sum several numbers of each stored value at once. Sums over rows that stay together are added in order, so that
/// the number of threads does not show.
fn sums_of_columns<const N: usize>(
    matrix: &dyn Rows,
    part: impl Fn(usize, f32) -> [f64; N] + Sync,
) -> Result<Vec<[f64; N]>> {
    let add = |sums: &mut [f64; N], part: [f64; N]| {
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    };
    let sums_of = |rows: &CsrRows<'_>| {
        let mut sums = vec![[0f64; N]; rows.n_cols];
        for (&column, &value) in rows.columns().iter().zip(rows.values()) {
            add(&mut sums[column as usize], part(column as usize, value));
        }
        sums
    };
    let mut sums = vec![[0f64; N]; matrix.n_cols()];
    matrix.for_each_block(&mut |block| {
        // A few at a time: their sums are as long as there are genes.
        for some in block.pieces(ROWS_TOGETHER).chunks(16) {
            let parts: Vec<Vec<[f64; N]>> = some.par_iter().map(sums_of).collect();
            for part in parts {
                sums.iter_mut().zip(part).for_each(|(sum, part)| add(sum, part));
            }
        }
        Ok(())
    })?;
    Ok(sums)
}
