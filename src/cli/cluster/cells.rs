//! Read twice in blocks: once to measure all cells, once for the cells that stay.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};

use super::expression::{BYTES_PER_VALUE, Expression, Source};
use crate::cells::{CsrMatrix, Frame, MatrixState};
use crate::genes::mitochondrial_genes;
use crate::io::{CellBlocks, ChosenBlocks, ReadOptions};
use crate::prep::{CellFilter, FilterConfig, KeptCells, QcMetrics, filter_cells};
use crate::{Error, Result, whole_file};

/// Cells that are read at once.
pub(super) const BLOCK: usize = 4096;

/// All cells of a file, measured.
pub(super) struct Measured {
    path: PathBuf,
    matrix: ReadOptions,
    mitochondrial: Vec<bool>,
    obs: Frame,
    var: Frame,
    /// The matrix that was read.
    pub(super) name: String,
    /// What it holds.
    pub(super) state: MatrixState,
    /// Measures of all its cells and genes.
    pub(super) metrics: QcMetrics,
}

/// The cells and genes that stay.
pub(super) struct Prepared {
    /// The matrix that was read.
    pub(super) name: String,
    /// What it holds.
    pub(super) state: MatrixState,
    /// Cells and genes of the file.
    pub(super) all: [usize; 2],
    /// Total counts that a cell had to have, where the barcode curve said so.
    pub(super) min_counts: Option<f64>,
    /// The filter.
    pub(super) filter: FilterConfig,
    /// Annotations of the cells.
    pub(super) obs: Frame,
    /// Annotations of the genes.
    pub(super) var: Frame,
    /// Values of the cells, measured with all genes.
    pub(super) metrics: QcMetrics,
    /// Values of the cells.
    pub(super) expression: Expression,
}

impl Measured {
    /// Read the file once, block by block.
    pub(super) fn read(path: &Path, layer: Option<&str>) -> Result<Self> {
        let ChosenBlocks { mut blocks, name, state } = CellBlocks::choose(path, layer)?;
        if state == MatrixState::Scaled {
            return Err(Error::input(
                format!("{}: {name}", path.display()),
                "counts, linear or log-normalised values",
                "values centred and scaled per gene",
                "name a layer or raw that holds counts or log-normalised values with --layer",
            ));
        }
        let mitochondrial = mitochondrial_genes(blocks.var());
        let mut metrics = QcMetrics::new(&mitochondrial);
        let bar = progress("measuring", blocks.obs().len());
        let mut first = 0;
        while let Some(block) = blocks.next_block(BLOCK)? {
            refuse_other_values(path, state, &block, first)?;
            metrics.add(&block)?;
            first += block.n_rows;
            bar.inc(block.n_rows as u64);
        }
        bar.finish_and_clear();
        let (path, matrix) = (path.to_path_buf(), ReadOptions::of(&name));
        let (obs, var, name) = (blocks.obs().clone(), blocks.var().clone(), name.to_string());
        Ok(Self { path, matrix, mitochondrial, obs, var, name, state, metrics })
    }

    /// Whether total counts are counts, of which a barcode curve can be drawn.
    pub(super) fn has_counts(&self) -> bool {
        self.state == MatrixState::Counts
    }

    /// The least total counts among the cells with at least so many genes.
    pub(super) fn least_counts(&self, min_genes: u32) -> Option<f64> {
        let cells = self.metrics.n_genes_by_counts.iter().zip(&self.metrics.total_counts);
        let stays = cells.filter(|(genes, _)| **genes >= min_genes);
        stays.map(|(_, total)| *total).min_by(f64::total_cmp)
    }

    /// Choose the cells, read them, choose the genes among them and normalise. What needs more than `max_memory`
    /// bytes goes into files beside `output`.
    pub(super) fn prepare(
        self,
        filter: &FilterConfig,
        min_cells: u32,
        max_memory: u64,
        output: &Path,
    ) -> Result<Prepared> {
        self.refuse_filter(filter)?;
        let KeptCells { cells, min_counts } = filter_cells(&self.metrics, filter)?;
        let mut metrics = self.metrics.of_cells(&cells);
        let stored: usize = metrics.n_genes_by_counts.iter().map(|&genes| genes as usize).sum();
        let all = [self.obs.len(), self.var.len()];
        // As scanpy does: cells are measured with all genes, genes among the cells that stay.
        let all_stay = cells.len() == all[0];
        let source = Source {
            path: &self.path,
            matrix: &self.matrix,
            state: self.state,
            n_genes: self.var.len(),
            cells: &cells,
            n_cells_by_counts: all_stay.then(|| metrics.n_cells_by_counts.clone()),
        };
        let (genes, found_in, expression) = match stored as u64 * BYTES_PER_VALUE <= max_memory {
            true => source.read(stored, min_cells)?,
            false => source.spool(min_cells, output)?,
        };
        metrics.n_cells_by_counts = genes.iter().map(|&gene| found_in[gene]).collect();
        Ok(Prepared {
            name: self.name,
            state: self.state,
            all,
            min_counts,
            filter: *filter,
            obs: self.obs.select_rows(&cells),
            var: self.var.select_rows(&genes),
            metrics,
            expression,
        })
    }

    /// Refuse filters by counts where there are none.
    fn refuse_filter(&self, filter: &FilterConfig) -> Result<()> {
        let refuse = |asked: &str, remedy: &str| {
            let place = format!("{}: {} with {asked}", self.path.display(), self.name);
            Err(Error::input(place, "counts", format!("{} values", self.state), remedy))
        };
        let by_counts = filter.cells != CellFilter::Standard;
        if by_counts && !self.has_counts() {
            return refuse(
                "--filter knee or inflection",
                "use --filter standard, or name counts with --layer",
            );
        }
        if filter.max_pct_mt.is_some() && self.state == MatrixState::LogNormalised {
            return refuse("--max-mt", "leave --max-mt out, or name counts with --layer");
        }
        if filter.max_pct_mt.is_some() && !self.mitochondrial.contains(&true) {
            return Err(Error::input(
                format!("{}: --max-mt", self.path.display()),
                "mitochondrial genes, as MT-ND1, mt-Nd1 or their Ensembl ids",
                "none",
                "leave --max-mt out",
            ));
        }
        Ok(())
    }
}

impl Prepared {
    /// Say in one line what stayed.
    pub(super) fn summary(&self) -> String {
        let threshold = self.min_counts.map(|least| format!(", at least {least} counts a cell"));
        format!(
            "{} of {} cells, {} of {} genes{}",
            self.obs.len(),
            self.all[0],
            self.var.len(),
            self.all[1],
            threshold.unwrap_or_default()
        )
    }

    /// Say where the values are where they are not in memory.
    pub(super) fn whereabouts(&self, output: &Path) -> Option<String> {
        let Expression::OnDisk(matrix) = &self.expression else { return None };
        let gigabytes = (matrix.bytes() as f64 / 1e9).max(0.1);
        let folder = whole_file::folder_of(output).display();
        Some(format!("{} values, {gigabytes:.1} GB in {folder} until the end", matrix.nnz()))
    }
}

/// What the first rows hold is taken for the file; rows that cannot be of that kind are refused.
fn refuse_other_values(
    path: &Path,
    state: MatrixState,
    block: &CsrMatrix,
    first: usize,
) -> Result<()> {
    let found = MatrixState::detect_rows(block, first)?;
    if state.may_look_like(found) {
        return Ok(());
    }
    Err(Error::input(
        path.display(),
        format!("{state} values in every row, as in the first"),
        format!("{found} values after row {first}"),
        "write the file with one kind of values, or name a layer with --layer",
    ))
}

pub(super) fn progress(verb: &'static str, cells: usize) -> ProgressBar {
    let bar = ProgressBar::new(cells as u64);
    let template = "{msg} {bar:24} {pos}/{len} cells · {eta} left";
    bar.set_style(
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar.with_message(verb)
}
