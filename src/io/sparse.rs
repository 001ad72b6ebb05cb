//! Compressed rows built from what files hold: unsorted, by column, or dense.

use rayon::prelude::*;

use crate::cells::CsrMatrix;
use crate::{Error, Result};

/// Report a sparse matrix whose parts contradict each other.
fn broken(place: &str, found: impl std::fmt::Display) -> Error {
    Error::input(
        place,
        "a sparse matrix whose parts agree",
        found,
        "the file is damaged or was written wrongly: write it again",
    )
}

/// Check `indptr` of `rows` compressed rows against the number of stored values.
pub(super) fn check_indptr(
    place: &str,
    rows: usize,
    stored: usize,
    indptr: &[usize],
) -> Result<()> {
    if indptr.len() != rows + 1 {
        return Err(broken(place, format!("{} row starts for {rows} rows", indptr.len())));
    }
    if indptr[0] != 0 || indptr.windows(2).any(|pair| pair[0] > pair[1]) {
        return Err(broken(place, "row starts that do not rise from 0"));
    }
    if indptr[rows] > stored {
        return Err(broken(place, format!("rows of {} values, {stored} stored", indptr[rows])));
    }
    Ok(())
}

/// Build a matrix from compressed rows as stored: parts are checked, columns sorted within each
/// row and repeated entries added up, as scipy understands them.
pub(super) fn from_rows(
    place: &str,
    shape: (usize, usize),
    indptr: Vec<usize>,
    mut indices: Vec<u32>,
    mut data: Vec<f32>,
) -> Result<CsrMatrix> {
    let (n_rows, n_cols) = shape;
    if indices.len() != data.len() {
        return Err(broken(place, format!("{} columns, {} values", indices.len(), data.len())));
    }
    check_indptr(place, n_rows, data.len(), &indptr)?;
    indices.truncate(indptr[n_rows]);
    data.truncate(indptr[n_rows]);
    if let Some(column) = indices.par_iter().find_any(|&&column| column as usize >= n_cols) {
        return Err(broken(place, format!("column {column} of {n_cols}")));
    }
    let rises = indptr
        .par_windows(2)
        .all(|span| indices[span[0]..span[1]].windows(2).all(|pair| pair[0] < pair[1]));
    let matrix = CsrMatrix { n_rows, n_cols, indptr, indices, data };
    Ok(if rises { matrix } else { sort_rows(matrix) })
}

/// Sort the columns of each row and add up repeated entries.
fn sort_rows(matrix: CsrMatrix) -> CsrMatrix {
    let mut out = CsrMatrix {
        n_rows: matrix.n_rows,
        n_cols: matrix.n_cols,
        indptr: Vec::with_capacity(matrix.n_rows + 1),
        indices: Vec::with_capacity(matrix.nnz()),
        data: Vec::with_capacity(matrix.nnz()),
    };
    out.indptr.push(0);
    let mut entries: Vec<(u32, f32)> = Vec::new();
    for row in 0..matrix.n_rows {
        let (indices, data) = matrix.row(row);
        entries.clear();
        entries.extend(indices.iter().copied().zip(data.iter().copied()));
        entries.sort_by_key(|entry| entry.0);
        let start = out.data.len();
        for &(column, value) in &entries {
            match out.data.last_mut() {
                Some(last) if out.indices.len() > start && out.indices.last() == Some(&column) => {
                    *last += value;
                }
                _ => {
                    out.indices.push(column);
                    out.data.push(value);
                }
            }
        }
        out.indptr.push(out.data.len());
    }
    out
}

/// Build a matrix from compressed columns: `indptr` over columns, `indices` are rows.
pub(super) fn from_columns(
    place: &str,
    shape: (usize, usize),
    indptr: Vec<usize>,
    indices: Vec<u32>,
    data: Vec<f32>,
) -> Result<CsrMatrix> {
    let (n_rows, n_cols) = shape;
    Ok(transpose(from_rows(place, (n_cols, n_rows), indptr, indices, data)?))
}

/// Swap rows and columns.
pub(super) fn transpose(matrix: CsrMatrix) -> CsrMatrix {
    let mut indptr = vec![0usize; matrix.n_cols + 1];
    for &column in &matrix.indices {
        indptr[column as usize + 1] += 1;
    }
    for at in 0..matrix.n_cols {
        indptr[at + 1] += indptr[at];
    }
    let mut next = indptr.clone();
    let mut indices = vec![0u32; matrix.nnz()];
    let mut data = vec![0f32; matrix.nnz()];
    for row in 0..matrix.n_rows {
        let (columns, values) = matrix.row(row);
        for (&column, &value) in columns.iter().zip(values) {
            let at = &mut next[column as usize];
            indices[*at] = row as u32;
            data[*at] = value;
            *at += 1;
        }
    }
    CsrMatrix { n_rows: matrix.n_cols, n_cols: matrix.n_rows, indptr, indices, data }
}

/// An empty matrix.
pub(super) fn empty(n_rows: usize, n_cols: usize) -> CsrMatrix {
    CsrMatrix { n_rows, n_cols, indptr: vec![0; n_rows + 1], indices: Vec::new(), data: Vec::new() }
}

/// Rows of a dense matrix gathered into compressed rows, zeros left out.
#[derive(Debug)]
pub(super) struct DenseRows {
    matrix: CsrMatrix,
    expected_rows: usize,
}

impl DenseRows {
    /// Expect `n_rows` rows of `n_cols` values.
    pub(super) fn new(n_rows: usize, n_cols: usize) -> Self {
        let matrix = CsrMatrix { n_rows: 0, n_cols, indptr: vec![0], ..CsrMatrix::default() };
        Self { matrix, expected_rows: n_rows }
    }

    /// Append whole rows, `values` row by row.
    pub(super) fn push(&mut self, values: &[f32]) {
        let n_cols = self.matrix.n_cols.max(1);
        let counts: Vec<usize> = values
            .par_chunks(n_cols)
            .map(|row| row.iter().filter(|&&value| value != 0.0).count())
            .collect();
        let matrix = &mut self.matrix;
        let start = matrix.data.len();
        let mut end = start;
        for count in &counts {
            end += count;
            matrix.indptr.push(end);
        }
        matrix.n_rows += counts.len();
        if matrix.data.capacity() < end {
            // As dense as the rows so far, so that the matrix is not copied again and again.
            let expected = end as f64 * self.expected_rows as f64 / matrix.n_rows.max(1) as f64;
            let more = (expected * 1.02) as usize;
            matrix.data.reserve_exact(more.max(end) - start);
            matrix.indices.reserve_exact(more.max(end) - start);
        }
        matrix.data.resize(end, 0.0);
        matrix.indices.resize(end, 0);
        let (mut indices, mut data) = (&mut matrix.indices[start..], &mut matrix.data[start..]);
        let mut pieces = Vec::with_capacity(counts.len());
        for (row, &count) in values.chunks(n_cols).zip(&counts) {
            let (row_indices, rest_indices) = indices.split_at_mut(count);
            let (row_data, rest_data) = data.split_at_mut(count);
            pieces.push((row, row_indices, row_data));
            (indices, data) = (rest_indices, rest_data);
        }
        pieces.into_par_iter().for_each(|(row, indices, data)| {
            let stored = row.iter().enumerate().filter(|(_, value)| **value != 0.0);
            for ((index, out), (column, &value)) in indices.iter_mut().zip(data).zip(stored) {
                (*index, *out) = (column as u32, value);
            }
        });
    }

    /// Hand over the matrix.
    pub(super) fn finish(self) -> CsrMatrix {
        self.matrix
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsorted_and_repeated_entries_become_plain_rows() {
        let matrix =
            from_rows("x", (2, 3), vec![0, 3, 4], vec![2, 0, 2, 1], vec![1., 2., 3., 4.]).unwrap();
        assert_eq!(matrix.row(0), (&[0u32, 2][..], &[2f32, 4.][..]));
        assert_eq!(matrix.row(1), (&[1u32][..], &[4f32][..]));
    }

    #[test]
    fn parts_that_contradict_each_other_are_refused() {
        assert!(from_rows("x", (1, 3), vec![0, 2], vec![0, 3], vec![1., 1.]).is_err());
        assert!(from_rows("x", (1, 3), vec![0, 3], vec![0, 1], vec![1., 1.]).is_err());
        assert!(from_rows("x", (2, 3), vec![0, 2, 1], vec![0, 1], vec![1., 1.]).is_err());
        assert!(from_rows("x", (2, 3), vec![0, 2], vec![0, 1], vec![1., 1.]).is_err());
    }

    #[test]
    fn columns_and_dense_rows_agree() {
        let dense = [0f32, 1., 2., 3., 0., 0.];
        let mut rows = DenseRows::new(2, 3);
        rows.push(&dense[..3]);
        rows.push(&dense[3..]);
        let by_row = rows.finish();
        let by_column =
            from_columns("x", (2, 3), vec![0, 1, 2, 3], vec![1, 0, 0], vec![3., 1., 2.]).unwrap();
        assert_eq!(by_row, by_column);
        assert_eq!(transpose(transpose(by_row.clone())), by_row);
    }
}
