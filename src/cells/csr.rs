//! Compressed sparse rows.

use super::CsrRows;

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

    /// Copy the matrix without the values of the columns that `kept` is false for; its shape stays.
    pub fn only_columns(&self, kept: &[bool]) -> Self {
        let to: Vec<Option<u32>> =
            kept.iter().zip(0..).map(|(&kept, column)| kept.then_some(column)).collect();
        self.moved_columns(&to, self.n_cols)
    }

    /// Keep the columns `columns`, rising, alone.
    pub fn keep_columns(&mut self, columns: &[usize]) {
        let to = places(columns, self.n_cols);
        let (mut place, mut start) = (0, 0);
        for row in 0..self.n_rows {
            let end = self.indptr[row + 1];
            for from in start..end {
                if let Some(column) = to[self.indices[from] as usize] {
                    (self.indices[place], self.data[place]) = (column, self.data[from]);
                    place += 1;
                }
            }
            start = end;
            self.indptr[row + 1] = place;
        }
        self.indices.truncate(place);
        self.data.truncate(place);
        self.n_cols = columns.len();
    }

    /// Copy the matrix with each column moved to `to[column]` of `n_cols` columns, or left out; no two
    /// columns may go to the same place.
    pub fn moved_columns(&self, to: &[Option<u32>], n_cols: usize) -> Self {
        let mut out = Self { n_cols, indptr: vec![0], ..Self::default() };
        out.push_moved(CsrRows::of(self, 0), to);
        out
    }

    /// Append `rows` with their columns moved.
    pub(super) fn push_moved(&mut self, rows: CsrRows<'_>, to: &[Option<u32>]) {
        let mut entries: Vec<(u32, f32)> = Vec::new();
        for row in 0..rows.n_rows() {
            let (indices, data) = rows.row(row);
            let moved = indices.iter().zip(data);
            entries.clear();
            entries.extend(moved.filter_map(|(&at, &value)| Some((to[at as usize]?, value))));
            entries.sort_by_key(|entry| entry.0);
            self.indices.extend(entries.iter().map(|entry| entry.0));
            self.data.extend(entries.iter().map(|entry| entry.1));
            self.indptr.push(self.data.len());
        }
        self.n_rows += rows.n_rows();
    }

    /// Copy the columns `columns`, in that order; a column may be taken once.
    pub fn select_columns(&self, columns: &[usize]) -> Self {
        self.moved_columns(&places(columns, self.n_cols), columns.len())
    }

    /// Copy the matrix with rows and columns exchanged.
    pub fn transpose(&self) -> Self {
        let mut indptr = vec![0; self.n_cols + 1];
        self.indices.iter().for_each(|&column| indptr[column as usize + 1] += 1);
        for column in 0..self.n_cols {
            indptr[column + 1] += indptr[column];
        }
        let mut next = indptr.clone();
        let (mut indices, mut data) = (vec![0; self.nnz()], vec![0.0; self.nnz()]);
        for row in 0..self.n_rows {
            let (columns, values) = self.row(row);
            for (&column, &value) in columns.iter().zip(values) {
                let place = &mut next[column as usize];
                (indices[*place], data[*place]) = (row as u32, value);
                *place += 1;
            }
        }
        Self { n_rows: self.n_cols, n_cols: self.n_rows, indptr, indices, data }
    }
}

/// The place of each of `n_cols` columns among `columns`.
pub(super) fn places(columns: &[usize], n_cols: usize) -> Vec<Option<u32>> {
    let mut to = vec![None; n_cols];
    for (at, &from) in columns.iter().enumerate() {
        to[from] = Some(at as u32);
    }
    to
}
