//! Cells: a matrix of cells × genes with its annotations. Plain data; no IO, no GPU.

mod choice;
mod csr;
mod frame;
mod rows;
mod state;

use std::collections::BTreeMap;

pub use choice::{Chosen, MatrixName, choose, choose_name};
pub use csr::CsrMatrix;
pub use frame::{Column, Frame};
pub use rows::{CsrRows, OtherValues, ROWS_TOGETHER, Rows, select_columns};
pub use state::{MatrixState, log1p_cp10k, log1p_cp10k_in_place};

/// Cells × genes with their annotations, named as in AnnData.
#[derive(Debug, Clone, Default)]
pub struct Cells {
    /// Expression, `[n_obs, n_var]`.
    pub x: CsrMatrix,
    /// One row per cell.
    pub obs: Frame,
    /// One row per gene.
    pub var: Frame,
    /// Other versions of `x`, each `[n_obs, n_var]`: `counts`, `logcounts`, `spliced`.
    pub layers: BTreeMap<String, CsrMatrix>,
    /// The matrix before gene selection, with genes of its own.
    pub raw: Option<Raw>,
    /// Per-cell vectors, as `X_pca`.
    pub obsm: BTreeMap<String, Dense>,
}

/// AnnData's `raw`: all genes, usually before scaling.
#[derive(Debug, Clone, Default)]
pub struct Raw {
    /// Expression, `[n_obs, raw genes]`.
    pub x: CsrMatrix,
    /// One row per gene of `raw`.
    pub var: Frame,
}

/// A dense row-major matrix.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dense {
    /// Rows.
    pub n_rows: usize,
    /// Columns.
    pub n_cols: usize,
    /// Values, row by row, `n_rows * n_cols`.
    pub values: Vec<f32>,
}

impl Cells {
    /// Number of cells.
    pub fn n_obs(&self) -> usize {
        self.obs.len()
    }

    /// Number of genes.
    pub fn n_var(&self) -> usize {
        self.var.len()
    }
}
