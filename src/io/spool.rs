//! Dense rows kept on disk until the file that they belong to is written, for arrays larger than memory.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::cells::Dense;
use crate::whole_file::folder_of;
use crate::{Error, Result};

/// A dense matrix `[n_rows, n_cols]`, appended to row by row in a temporary file that vanishes with it.
#[derive(Debug)]
pub struct SpooledRows {
    file: File,
    folder: PathBuf,
    /// Rows so far.
    pub n_rows: usize,
    /// Columns.
    pub n_cols: usize,
}

impl SpooledRows {
    /// Begin a matrix of `n_cols` columns in the folder that `output` will stand in, where the space is
    /// needed anyway.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be written to.
    pub fn beside(output: &Path, n_cols: usize) -> Result<Self> {
        let folder = folder_of(output).to_path_buf();
        let file = tempfile::tempfile_in(&folder).map_err(Error::io(&folder, "write"))?;
        Ok(Self { file, folder, n_rows: 0, n_cols })
    }

    /// Append the rows of `dense`, which has the same columns.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk is full.
    pub fn append(&mut self, dense: &Dense) -> Result<()> {
        assert_eq!(dense.n_cols, self.n_cols, "rows of one width");
        let bytes: Vec<u8> = dense.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.file.write_all(&bytes).map_err(Error::io(&self.folder, "write"))?;
        self.n_rows += dense.n_rows;
        Ok(())
    }

    /// Bytes of all rows.
    pub(super) fn bytes(&self) -> usize {
        self.n_rows * self.n_cols * size_of::<f32>()
    }

    /// Write all rows to `target` from its byte `address` on.
    pub(super) fn copy_to(&self, target: &mut File, address: u64) -> std::io::Result<()> {
        let mut source = &self.file;
        source.rewind()?;
        target.seek(SeekFrom::Start(address))?;
        let mut rest = source.take(self.bytes() as u64);
        if std::io::copy(&mut rest, target)? == self.bytes() as u64 {
            return Ok(());
        }
        Err(std::io::ErrorKind::UnexpectedEof.into())
    }
}
