//! Cells in blocks of rows, for files larger than memory.

use std::path::Path;

use super::format::Format;
use super::h5ad::{self, Streamed};
use super::{ReadOptions, read};
use crate::Result;
use crate::cells::{CsrMatrix, Frame};

/// A file read block by block. Memory stays constant for an h5ad whose matrix is dense or stored
/// by row; compressed columns and the other formats are read whole first.
pub struct CellBlocks {
    matrix: Streamed,
    obs: Frame,
    var: Frame,
    next: usize,
}

impl CellBlocks {
    /// Open a file; `obs` and `var` are read at once.
    ///
    /// # Errors
    /// As [`read`].
    pub fn open(path: &Path, options: &ReadOptions) -> Result<Self> {
        let (matrix, obs, var) = match Format::of(path)? {
            Format::H5ad(file) => h5ad::open(&file, options)?,
            _ => {
                let cells = read(path, options)?;
                (Streamed::Whole(cells.x), cells.obs, cells.var)
            }
        };
        Ok(Self { matrix, obs, var, next: 0 })
    }

    /// All cells' annotations.
    pub fn obs(&self) -> &Frame {
        &self.obs
    }

    /// The genes of every block.
    pub fn var(&self) -> &Frame {
        &self.var
    }

    /// Read the next `rows` cells (fewer at the end), `[rows, n_var]`; `None` after the last.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn next_block(&mut self, rows: usize) -> Result<Option<CsrMatrix>> {
        let count = rows.max(1).min(self.obs.len() - self.next);
        if count == 0 {
            return Ok(None);
        }
        let start = self.next;
        let block = match &self.matrix {
            Streamed::ByRow(matrix) => matrix.read_rows(start, count)?,
            Streamed::Whole(matrix) => {
                matrix.select_rows(&(start..start + count).collect::<Vec<usize>>())
            }
        };
        self.next += count;
        Ok(Some(block))
    }
}
