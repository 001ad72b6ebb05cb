//! Matrices of an h5ad: dense, compressed rows or compressed columns, old and new attributes.

use super::super::array::Array;
use super::super::gather::{GatheredRows, Gatherer};
use super::super::hdf5::{Hdf5File, Node};
use super::super::sparse::{DenseRows, check_indptr, empty, from_columns, from_rows};
use crate::cells::{CsrMatrix, Dense};
use crate::{Error, Result};

/// Values of a dense matrix that are converted at once.
const DENSE_BLOCK: usize = 1 << 20;
/// Values of compressed columns that are in memory at once while their rows are gathered; a whole number
/// of the chunks that are in use.
const PIECE: usize = 1 << 22;

/// A matrix as it lies in the file.
pub(in crate::io) struct StoredMatrix {
    pub(in crate::io) n_rows: usize,
    pub(super) n_cols: usize,
    place: String,
    form: Form,
}

enum Form {
    Dense(Array),
    Rows(Parts),
    Columns(Parts),
}

struct Parts {
    indptr: Vec<usize>,
    indices: Array,
    data: Array,
}

impl StoredMatrix {
    /// Open the matrix `key`; `None` where it is absent or null.
    pub(super) fn open(file: &Hdf5File, key: &str) -> Result<Option<Self>> {
        let Some(node) = file.node(key)? else { return Ok(None) };
        let attributes = file.attributes(key)?;
        if attributes.text("encoding-type") == Some("null") {
            return Ok(None);
        }
        let place = file.place(key);
        if node == Node::Array {
            let array = Array::open(file, key)?;
            let (n_rows, n_cols) = match array.shape[..] {
                [n_rows] => (n_rows, 1),
                [n_rows, n_cols] => (n_rows, n_cols),
                _ => {
                    let found = format!("{} dimensions", array.shape.len());
                    return Err(Error::input(place, "a matrix", found, "store cells × genes"));
                }
            };
            check_width(&place, n_rows, n_cols)?;
            array.number()?;
            return Ok(Some(Self { n_rows, n_cols, place, form: Form::Dense(array) }));
        }
        let format = attributes
            .text("encoding-type")
            .or_else(|| attributes.text("h5sparse_format"))
            .unwrap_or("a group without encoding-type")
            .to_owned();
        let by_row = match format.as_str() {
            "csr_matrix" | "csr" => true,
            "csc_matrix" | "csc" => false,
            other => {
                return Err(Error::input(
                    place,
                    "a dense, csr or csc matrix",
                    other.replace(['\n', '\r'], " "),
                    "write it with anndata's write_h5ad",
                ));
            }
        };
        let shape = attributes.integers("shape").or_else(|| attributes.integers("h5sparse_shape"));
        let (n_rows, n_cols) = match shape.as_deref() {
            Some(&[n_rows, n_cols]) => (size_of(&place, n_rows)?, size_of(&place, n_cols)?),
            found => {
                let found = format!("{found:?}");
                return Err(Error::input(place, "a shape of two extents", found, "write it again"));
            }
        };
        check_width(&place, n_rows, n_cols)?;
        let starts = Array::open(file, &format!("{key}/indptr"))?;
        let indices = Array::open(file, &format!("{key}/indices"))?;
        let data = Array::open(file, &format!("{key}/data"))?;
        for part in [&starts, &indices, &data] {
            if part.shape.len() != 1 {
                let found = format!("{} dimensions", part.shape.len());
                return Err(Error::input(part.place(), "a list", found, "write it again"));
            }
        }
        if indices.len() != data.len() {
            let found = format!("{} indices, {} values", indices.len(), data.len());
            return Err(Error::input(place, "one index for each value", found, "write it again"));
        }
        let indptr = starts.read::<usize>()?;
        check_indptr(&place, if by_row { n_rows } else { n_cols }, data.len(), &indptr)?;
        let parts = Parts { indptr, indices, data };
        let form = if by_row { Form::Rows(parts) } else { Form::Columns(parts) };
        Ok(Some(Self { n_rows, n_cols, place, form }))
    }

    /// Number of stored values, where they lie by column and a block of rows means reading them all.
    pub(super) fn stored_by_column(&self) -> Option<usize> {
        match &self.form {
            Form::Columns(parts) => Some(parts.data.len()),
            Form::Dense(_) | Form::Rows(_) => None,
        }
    }

    /// Refuse a matrix that is not `[n_rows, n_cols]`.
    pub(super) fn check_shape(&self, n_rows: usize, n_cols: usize) -> Result<()> {
        if (self.n_rows, self.n_cols) == (n_rows, n_cols) {
            return Ok(());
        }
        Err(Error::input(
            &self.place,
            format!("{n_rows} cells × {n_cols} genes, as obs and var have"),
            format!("{} × {}", self.n_rows, self.n_cols),
            "write the file again",
        ))
    }

    /// Read the whole matrix.
    pub(super) fn read(self) -> Result<CsrMatrix> {
        let shape = (self.n_rows, self.n_cols);
        match self.form {
            Form::Dense(_) => self.read_rows(0, self.n_rows),
            Form::Rows(parts) => {
                let (indices, data) = (parts.indices.read()?, parts.data.read()?);
                from_rows(&self.place, shape, parts.indptr, indices, data)
            }
            Form::Columns(parts) => {
                let (indices, data) = (parts.indices.read()?, parts.data.read()?);
                from_columns(&self.place, shape, parts.indptr, indices, data)
            }
        }
    }

    /// Read compressed columns piece by piece and gather their rows on disk.
    pub(super) fn gather(self) -> Result<GatheredRows> {
        let stored = self.stored_by_column().unwrap_or(0);
        let mut rows = Gatherer::new(&self.place, (self.n_rows, self.n_cols), stored)?;
        let Form::Columns(parts) = &self.form else { return rows.finish() };
        let mut column = 0;
        for first in (0..parts.indptr[self.n_cols]).step_by(PIECE) {
            let count = PIECE.min(parts.indptr[self.n_cols] - first);
            let indices: Vec<u32> = parts.indices.read_rows(first, count)?;
            let data: Vec<f32> = parts.data.read_rows(first, count)?;
            for (at, (&row, &value)) in (first..).zip(indices.iter().zip(&data)) {
                while at >= parts.indptr[column + 1] {
                    column += 1;
                }
                rows.push(row, column as u32, value)?;
            }
        }
        rows.finish()
    }

    /// Read `count` rows from `start`; not for compressed columns, where that would read it all.
    pub(in crate::io) fn read_rows(&self, start: usize, count: usize) -> Result<CsrMatrix> {
        match &self.form {
            Form::Dense(array) => {
                if self.n_cols == 0 {
                    return Ok(empty(count, 0));
                }
                let mut rows = DenseRows::new(count, self.n_cols);
                // Whole chunks at a time, or each would be decoded more than once.
                let step = (DENSE_BLOCK / self.n_cols).max(1).next_multiple_of(array.chunk_rows());
                let mut buffer = Vec::new();
                let mut at = start;
                while at < start + count {
                    let end = ((at / step + 1) * step).min(start + count);
                    buffer.resize((end - at) * self.n_cols, 0f32);
                    array.read_rows_into(at, &mut buffer)?;
                    rows.push(&buffer);
                    at = end;
                }
                Ok(rows.finish())
            }
            Form::Rows(parts) => {
                let first = parts.indptr[start];
                let stored = parts.indptr[start + count] - first;
                let indptr =
                    parts.indptr[start..=start + count].iter().map(|&at| at - first).collect();
                let indices = parts.indices.read_rows(first, stored)?;
                let data = parts.data.read_rows(first, stored)?;
                from_rows(&self.place, (count, self.n_cols), indptr, indices, data)
            }
            Form::Columns(_) => Err(Error::input(
                &self.place,
                "a matrix stored by row",
                "compressed columns",
                "write it as csr_matrix to stream it",
            )),
        }
    }
}

/// Read a dense array of one or two dimensions.
pub(in crate::io) fn read_dense(array: &Array) -> Result<Dense> {
    let n_rows = array.shape.first().copied().unwrap_or(0);
    Ok(Dense { n_rows, n_cols: array.row_len(), values: array.read()? })
}

fn size_of(place: &str, extent: i64) -> Result<usize> {
    usize::try_from(extent)
        .map_err(|_| Error::input(place, "a shape", format!("extent {extent}"), "write it again"))
}

/// Columns and rows are counted in 32 bits.
fn check_width(place: &str, n_rows: usize, n_cols: usize) -> Result<()> {
    if n_rows < u32::MAX as usize && n_cols < u32::MAX as usize {
        return Ok(());
    }
    let found = format!("{n_rows} × {n_cols}");
    Err(Error::input(place, "fewer than 4,294,967,295 cells and genes", found, "split the file"))
}
