//! What a new file holds beside its cells: results of steps, where scanpy looks for them.

use crate::cells::{CsrMatrix, Dense};

/// Results of steps.
#[derive(Debug, Clone, Default)]
pub struct Results {
    /// Arrays of `varm`, one row per gene.
    pub varm: Vec<(String, Dense)>,
    /// Matrices of `obsp`, one row and one column per cell.
    pub obsp: Vec<(String, CsrMatrix)>,
    /// Entries of `uns`.
    pub uns: Vec<(String, Entry)>,
}

/// An entry of `uns`.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// One text.
    Text(String),
    /// One whole number.
    Integer(i64),
    /// One number.
    Float(f64),
    /// Yes or no.
    Boolean(bool),
    /// Numbers in a row.
    Floats(Vec<f64>),
    /// Columns of one length with names of their own: numpy's record array.
    Records(Vec<(String, Field)>),
    /// Entries with names.
    Dict(Vec<(String, Entry)>),
}

/// A column of records.
#[derive(Debug, Clone, PartialEq)]
pub enum Field {
    /// Texts in ASCII: a record keeps a fixed number of bytes for each, and numpy reads no other from it.
    Texts(Vec<String>),
    /// Single-precision numbers.
    F32(Vec<f32>),
    /// Double-precision numbers.
    F64(Vec<f64>),
}

impl Entry {
    /// Texts with names.
    pub fn texts<N: Into<String>>(texts: impl IntoIterator<Item = (N, String)>) -> Self {
        let entry = |(name, text): (N, String)| (name.into(), Self::Text(text));
        Self::Dict(texts.into_iter().map(entry).collect())
    }
}

impl Field {
    /// Number of entries.
    pub fn len(&self) -> usize {
        match self {
            Self::Texts(values) => values.len(),
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of one entry.
    pub(super) fn size(&self) -> usize {
        match self {
            // HDF5 knows no text of no bytes.
            Self::Texts(values) => values.iter().map(String::len).max().unwrap_or(0).max(1),
            Self::F32(_) => size_of::<f32>(),
            Self::F64(_) => size_of::<f64>(),
        }
    }

    /// Put entry `at` where a record keeps it.
    pub(super) fn put(&self, at: usize, record: &mut [u8]) {
        match self {
            Self::Texts(values) => {
                record[..values[at].len()].copy_from_slice(values[at].as_bytes())
            }
            Self::F32(values) => record.copy_from_slice(&values[at].to_le_bytes()),
            Self::F64(values) => record.copy_from_slice(&values[at].to_le_bytes()),
        }
    }
}
