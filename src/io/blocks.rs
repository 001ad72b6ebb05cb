//! Cells in blocks of rows, for files larger than memory.

use std::path::Path;

use super::format::Format;
use super::h5ad::{self, Streamed};
use super::{ReadOptions, read};
use crate::Result;
use crate::cells::{CsrMatrix, Frame, MatrixName, MatrixState, choose, choose_name};

/// Rows that are looked at together to tell what a matrix holds.
const LOOK: usize = 4096;

/// A file read block by block. Of an h5ad one block is in memory at a time; the other formats are read
/// whole first.
pub struct CellBlocks {
    matrix: Streamed,
    obs: Frame,
    var: Frame,
    next: usize,
}

/// A matrix that was chosen of a file, ready to be read.
pub struct ChosenBlocks {
    /// Its rows.
    pub blocks: CellBlocks,
    /// What it is called.
    pub name: MatrixName,
    /// What its first rows with values hold.
    pub state: MatrixState,
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

    /// Open a file at the matrix that `layer` names, or at the one that [`choose`] would take.
    ///
    /// # Errors
    /// As [`read`], and those of [`choose`].
    pub fn choose(path: &Path, layer: Option<&str>) -> Result<ChosenBlocks> {
        if let Format::H5ad(file) = Format::of(path)? {
            let (name, state) = choose_name(&h5ad::matrix_names(&file)?, layer, |name| {
                Self::open(path, &ReadOptions::of(name))?.state()
            })?;
            let blocks = Self::open(path, &ReadOptions::of(&name))?;
            return Ok(ChosenBlocks { blocks, name, state });
        }
        let cells = read(path, &ReadOptions::default())?;
        let chosen = choose(&cells, layer)?;
        let matrix = Streamed::Whole(chosen.matrix.clone());
        let blocks = Self { matrix, var: chosen.var.clone(), obs: cells.obs.clone(), next: 0 };
        Ok(ChosenBlocks { blocks, name: chosen.name, state: chosen.state })
    }

    /// What the first rows with values hold; nothing if there is no value.
    fn state(mut self) -> Result<Option<MatrixState>> {
        while let Some(block) = self.next_block(LOOK)? {
            if block.nnz() > 0 {
                return MatrixState::detect(&block).map(Some);
            }
        }
        Ok(None)
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
        let block = match &mut self.matrix {
            Streamed::ByRow(matrix) => matrix.read_rows(start, count)?,
            Streamed::Gathered(rows) => rows.read_rows(start, count)?,
            Streamed::Whole(matrix) => {
                matrix.select_rows(&(start..start + count).collect::<Vec<usize>>())
            }
        };
        self.next += count;
        Ok(Some(block))
    }
}
