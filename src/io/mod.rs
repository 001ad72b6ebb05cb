//! Cells in, cells out: every file format, read whole or in blocks of rows, and annotated copies.

mod chunks;
mod h5ad;
mod hdf5;
mod number;
mod sparse;

use std::path::Path;

use crate::cells::Cells;
use crate::{Error, Result};
use hdf5::Hdf5File;

/// What to read of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Take this layer as the matrix, instead of `X`.
    pub layer: Option<String>,
    /// Take `raw` as the matrix and its genes as `var`, instead of `X`.
    pub use_raw: bool,
    /// The genome to take from a 10x file that holds several.
    pub genome: Option<String>,
}

/// Read cells from a file or folder, whose format is told by its content, then its name.
///
/// # Errors
/// If the file is missing, of another kind, damaged, or lacks what `options` asks for.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Cells> {
    if Hdf5File::recognise(path)? {
        return h5ad::read(&Hdf5File::open(path)?, options);
    }
    Err(Error::input(path.display(), "an h5ad file", "something else", "convert it to h5ad"))
}
