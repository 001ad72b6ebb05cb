//! Rows of a sparse matrix, wherever they are.

use super::CsrMatrix;
use crate::Result;

/// A sparse matrix `[n_rows, n_cols]` whose rows are handed out in order, a block at a time: what lies on disk need
/// not be in memory at once.
pub trait Rows: Sync {
    /// Rows.
    fn n_rows(&self) -> usize;

    /// Columns.
    fn n_cols(&self) -> usize;

    /// Hand all rows to `take`, from the first to the last. All blocks but the last have a multiple of
    /// [`ROWS_TOGETHER`] rows.
    ///
    /// # Errors
    /// If rows cannot be read, and what `take` fails with.
    fn for_each_block(&self, take: &mut dyn FnMut(CsrRows<'_>) -> Result<()>) -> Result<()>;

    /// The whole matrix, where it is in memory.
    fn in_memory(&self) -> Option<&CsrMatrix> {
        None
    }
}

/// Rows that stay in one block, so that what is summed over them does not depend on where the matrix lies.
pub const ROWS_TOGETHER: usize = 2048;

/// Some rows of a matrix.
#[derive(Debug, Clone, Copy)]
pub struct CsrRows<'a> {
    /// Number of the first of them in the matrix.
    pub first: usize,
    /// Columns of the matrix.
    pub n_cols: usize,
    /// Where each row begins, as counted from any origin.
    indptr: &'a [usize],
    indices: &'a [u32],
    data: &'a [f32],
}

impl<'a> CsrRows<'a> {
    /// All rows of `matrix`, the first of which is row `first` of a larger one.
    pub fn of(matrix: &'a CsrMatrix, first: usize) -> Self {
        Self::with_values(matrix, &matrix.data, first)
    }

    /// The same with other `values` in the places of the matrix's.
    pub fn with_values(matrix: &'a CsrMatrix, values: &'a [f32], first: usize) -> Self {
        assert_eq!(values.len(), matrix.nnz(), "a value for each place");
        Self {
            first,
            n_cols: matrix.n_cols,
            indptr: &matrix.indptr,
            indices: &matrix.indices,
            data: values,
        }
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.indptr.len().saturating_sub(1)
    }

    /// Columns and values of row `at`, counted from the first of these.
    pub fn row(&self, at: usize) -> (&'a [u32], &'a [f32]) {
        let span = self.indptr[at] - self.indptr[0]..self.indptr[at + 1] - self.indptr[0];
        (&self.indices[span.clone()], &self.data[span])
    }

    /// Columns of all values, row after row.
    pub fn columns(&self) -> &'a [u32] {
        self.indices
    }

    /// All values, row after row.
    pub fn values(&self) -> &'a [f32] {
        self.data
    }

    /// These rows in pieces of `n_rows`, the last of which may be shorter.
    pub fn pieces(&self, n_rows: usize) -> Vec<CsrRows<'a>> {
        let piece = |begin: usize| {
            let end = (begin + n_rows).min(self.n_rows());
            let span = self.indptr[begin] - self.indptr[0]..self.indptr[end] - self.indptr[0];
            CsrRows {
                first: self.first + begin,
                n_cols: self.n_cols,
                indptr: &self.indptr[begin..=end],
                indices: &self.indices[span.clone()],
                data: &self.data[span],
            }
        };
        (0..self.n_rows()).step_by(n_rows).map(piece).collect()
    }
}

impl Rows for CsrMatrix {
    fn n_rows(&self) -> usize {
        self.n_rows
    }

    fn n_cols(&self) -> usize {
        self.n_cols
    }

    fn for_each_block(&self, take: &mut dyn FnMut(CsrRows<'_>) -> Result<()>) -> Result<()> {
        take(CsrRows::of(self, 0))
    }

    fn in_memory(&self) -> Option<&CsrMatrix> {
        Some(self)
    }
}

/// A matrix with other values in its places, as counts beside what was made of them.
#[derive(Debug, Clone, Copy)]
pub struct OtherValues<'a> {
    /// Where the values are.
    pub matrix: &'a CsrMatrix,
    /// The values, one for each of the matrix's.
    pub values: &'a [f32],
}

impl Rows for OtherValues<'_> {
    fn n_rows(&self) -> usize {
        self.matrix.n_rows
    }

    fn n_cols(&self) -> usize {
        self.matrix.n_cols
    }

    fn for_each_block(&self, take: &mut dyn FnMut(CsrRows<'_>) -> Result<()>) -> Result<()> {
        take(CsrRows::with_values(self.matrix, self.values, 0))
    }
}

/// Copy the columns `columns` of `rows` into memory, in that order; a column may be taken once.
///
/// # Errors
/// If rows cannot be read.
pub fn select_columns(rows: &dyn Rows, columns: &[usize]) -> Result<CsrMatrix> {
    let mut out = CsrMatrix { n_cols: columns.len(), indptr: vec![0], ..CsrMatrix::default() };
    let to = super::csr::places(columns, rows.n_cols());
    rows.for_each_block(&mut |block| {
        out.push_moved(block, &to);
        Ok(())
    })?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hold_the_rows_of_the_whole() {
        let matrix = CsrMatrix {
            n_rows: 4,
            n_cols: 3,
            indptr: vec![0, 2, 2, 3, 5],
            indices: vec![0, 2, 1, 0, 1],
            data: vec![1.0, 2.0, 3.0, 4.0, 5.0],
        };
        let all = CsrRows::of(&matrix, 0);
        for n_rows in 1..=5 {
            let pieces = all.pieces(n_rows);
            let rows = pieces
                .iter()
                .flat_map(|piece| (0..piece.n_rows()).map(|at| (piece.first + at, piece.row(at))));
            let rows: Vec<_> = rows.collect();
            let wanted: Vec<_> = (0..4).map(|row| (row, matrix.row(row))).collect();
            assert_eq!(rows, wanted, "pieces of {n_rows}");
            // Pieces of pieces count from their own first row.
            let last = pieces[pieces.len() - 1].pieces(1);
            assert_eq!(last[last.len() - 1].row(0), matrix.row(3));
        }
        assert_eq!(select_columns(&matrix, &[2, 0]).unwrap(), matrix.select_columns(&[2, 0]));
    }
}
