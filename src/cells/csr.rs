//! Compressed sparse rows.

/// A sparse matrix, row by row: the values of row `r` are `data[indptr[r]..indptr[r + 1]]`, in the
/// columns `indices[..]`, which rise within a row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CsrMatrix {
    /// Rows.
    pub n_rows: usize,
    /// Columns.
    pub n_cols: usize,
    /// Where each row begins, `n_rows + 1` entries.
    pub indptr: Vec<usize>,
    /// Column of each value.
    pub indices: Vec<u32>,
    /// The values.
    pub data: Vec<f32>,
}

impl CsrMatrix {
    /// Number of stored values.
    pub fn nnz(&self) -> usize {
        self.data.len()
    }

    /// Columns and values of one row.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let span = self.indptr[row]..self.indptr[row + 1];
        (&self.indices[span.clone()], &self.data[span])
    }

    /// Copy the rows `rows`, in that order.
    pub fn select_rows(&self, rows: &[usize]) -> Self {
        let mut out = Self { n_rows: rows.len(), n_cols: self.n_cols, ..Self::default() };
        out.indptr.reserve(rows.len() + 1);
        out.indptr.push(0);
        for &row in rows {
            let (indices, data) = self.row(row);
            out.indices.extend_from_slice(indices);
            out.data.extend_from_slice(data);
            out.indptr.push(out.data.len());
        }
        out
    }
}
