//! Matrix products over slices.

use rayon::prelude::*;

/// A read-only matrix: `rows x columns` numbers at the given strides of a slice.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// View a row-major matrix.
    pub(crate) fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        assert!(rows * columns <= data.len(), "{rows} x {columns} numbers");
        Self { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// View its transpose.
    pub(crate) fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

/// What becomes of the numbers that a product is written over.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Into {
    /// They are replaced.
    Replace,
    /// The product is added to them.
    Add,
}

/// Rows of one task of a large product. Fixed, so that the split does not follow the thread count.
const TASK_ROWS: usize = 64;

/// Multiply-adds from which a product is worth several tasks.
const TASK_WORK: usize = 1 << 24;

/// Compute `target (+)= left · right`; `target` is row-major `[left.rows, right.columns]`.
pub(crate) fn product(target: &mut [f32], left: Matrix, right: Matrix, into: Into) {
    assert_eq!(left.columns, right.rows);
    assert_eq!(target.len(), left.rows * right.columns);
    if left.rows * left.columns * right.columns < TASK_WORK || left.rows <= TASK_ROWS {
        return block(target, left, right, into);
    }
    target.par_chunks_mut(TASK_ROWS * right.columns).enumerate().for_each(|(task, target)| {
        let start = task * TASK_ROWS;
        let rows = TASK_ROWS.min(left.rows - start);
        let left = Matrix { data: &left.data[start * left.row_stride..], rows, ..left };
        block(target, left, right, into);
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
    let left = Matrix::new(left, rows(left), columns);
    let right = Matrix::new(right, rows(right), columns);
    block(target, left, right.transposed(), Into::Replace);
}

/// Compute [`product`] in one piece on the calling thread.
pub(crate) fn block(target: &mut [f32], left: Matrix, right: Matrix, into: Into) {
    assert_eq!(left.columns, right.rows);
    assert_eq!(target.len(), left.rows * right.columns);
    let (m, n, k) = (left.rows, right.columns, left.columns);
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    for matrix in [left, right] {
        let last =
            (matrix.rows - 1) * matrix.row_stride + (matrix.columns - 1) * matrix.column_stride;
        assert!(last < matrix.data.len());
    }
    // SAFETY: the asserts hold every address that the shapes and strides reach within the slices, and
    // `target` is exclusively borrowed.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            target.as_mut_ptr(),
            1,
            n as isize,
            into == Into::Add,
            left.data.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.data.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            1.0_f32,
            1.0_f32,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
