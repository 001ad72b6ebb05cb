//! Matrix products over slices.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

/// View a row-major matrix at the start of `numbers`.
///
/// # Panics
/// When there are fewer numbers.
pub(crate) fn matrix(numbers: &[f32], rows: usize, columns: usize) -> MatRef<'_, f32> {
    MatRef::from_row_major_slice(&numbers[..rows * columns], rows, columns)
}

/// Rows and columns of one task of a large product: its operands stay in the second-level cache, and the split
/// does not follow the thread count.
const TASK: usize = 256;

/// Multiply-adds from which a product is worth several tasks.
const TASK_WORK: usize = 1 << 24;

/// Compute `target (+)= left · right`; `target` is row-major `[left rows, right columns]`.
///
/// # Panics
/// When the shapes disagree.
pub(crate) fn product(
    target: &mut [f32],
    left: MatRef<'_, f32>,
    right: MatRef<'_, f32>,
    write: Accum,
) {
    let (rows, columns) = (left.nrows(), right.ncols());
    if rows * columns * left.ncols() < TASK_WORK || (rows <= TASK && columns <= TASK) {
        return block(target, left, right, write);
    }
    let target = MatMut::from_row_major_slice_mut(target, rows, columns);
    target.par_row_chunks_mut(TASK).zip(left.par_row_chunks(TASK)).for_each(|(target, left)| {
        target.par_col_chunks_mut(TASK).zip(right.par_col_chunks(TASK)).for_each(
            |(target, right)| {
                matmul(target, write, left, right, 1.0, Par::Seq);
            },
        );
    });
}

/// Compute the inner product of each row of `left` with each row of `right`, both `[rows, columns]`,
/// into `target` `[left rows, right rows]`, on the calling thread.
///
/// # Panics
/// If the slices are not whole rows, or `target` is not of that size.
pub fn row_products(target: &mut [f32], left: &[f32], right: &[f32], columns: usize) {
    let rows = |slice: &[f32]| slice.len() / columns.max(1);
    assert!(left.len() == rows(left) * columns && right.len() == rows(right) * columns);
    let left = matrix(left, rows(left), columns);
    let right = matrix(right, rows(right), columns);
    block(target, left, right.transpose(), Accum::Replace);
}

/// Compute [`product`] in one piece on the calling thread.
pub(crate) fn block(
    target: &mut [f32],
    left: MatRef<'_, f32>,
    right: MatRef<'_, f32>,
    write: Accum,
) {
    let target = MatMut::from_row_major_slice_mut(target, left.nrows(), right.ncols());
    matmul(target, write, left, right, 1.0, Par::Seq);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_of_several_tasks_is_the_sum_it_says_on_any_number_of_threads() {
        let (rows, inner, columns) = (300, 130, 600);
        let number = |i: usize| ((i * 2_654_435_761) % 1009) as f32 / 1009.0 - 0.5;
        let left: Vec<f32> = (0..rows * inner).map(number).collect();
        let right: Vec<f32> = (0..columns * inner).map(|i| number(i + 77)).collect();
        let run = |threads: usize, write: Accum| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut target = vec![1.0; rows * columns];
            let (left, right) = (matrix(&left, rows, inner), matrix(&right, columns, inner));
            pool.install(|| product(&mut target, left, right.transpose(), write));
            target
        };
        assert!(rows * inner * columns >= TASK_WORK && rows > TASK && columns > TASK);
        let (replaced, added) = (run(1, Accum::Replace), run(1, Accum::Add));
        for (row, column) in [(0, 0), (255, 256), (256, 255), (299, 599), (270, 3)] {
            let terms = (0..inner)
                .map(|i| f64::from(left[row * inner + i]) * f64::from(right[column * inner + i]));
            let expected: f64 = terms.sum();
            let at = row * columns + column;
            assert!((f64::from(replaced[at]) - expected).abs() < 1e-5);
            assert!((f64::from(added[at]) - expected - 1.0).abs() < 1e-5);
        }
        assert!(replaced == run(2, Accum::Replace) && replaced == run(3, Accum::Replace));
    }
}
