//! The values of the cells that stay: in memory, or in files beside the output where they would not fit.

use std::path::Path;

use super::cells::{BLOCK, progress};
use crate::Result;
use crate::cells::{CsrMatrix, MatrixState, OtherValues, Rows, log1p_cp10k_in_place};
use crate::io::{CellBlocks, ReadOptions, SpooledCsr};
use crate::prep::filter_genes;

/// Memory for a value above 0: its column, itself log-normalised, its count, and as much as one of these for the
/// variable genes and all else.
pub(super) const BYTES_PER_VALUE: u64 = 16;

/// Log-normalised values, `[cells, genes]`, and the counts in the same places where the file has them.
pub(super) enum Expression {
    InMemory { normalised: CsrMatrix, counts: Option<Vec<f32>> },
    OnDisk(SpooledCsr),
}

impl Expression {
    /// Log-normalised values.
    pub(super) fn normalised(&self) -> &dyn Rows {
        match self {
            Self::InMemory { normalised, .. } => normalised,
            Self::OnDisk(matrix) => matrix,
        }
    }

    /// Counts.
    pub(super) fn counts(&self) -> Option<Box<dyn Rows + '_>> {
        match self {
            Self::InMemory { normalised: matrix, counts } => {
                let values = counts.as_deref()?;
                Some(Box::new(OtherValues { matrix, values }))
            }
            Self::OnDisk(matrix) => Some(Box::new(matrix.counts()?)),
        }
    }
}

/// A file of cells, and which of them stay.
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    /// Which of its matrices is read.
    pub(super) matrix: &'a ReadOptions,
    pub(super) state: MatrixState,
    /// Genes of the file.
    pub(super) n_genes: usize,
    /// Cells that stay, rising.
    pub(super) cells: &'a [usize],
    /// Cells that each gene is found in, where all cells stay.
    pub(super) n_cells_by_counts: Option<Vec<u32>>,
}

/// The genes that stay, in how many cells each of all genes is found, and the values.
pub(super) type Kept = (Vec<usize>, Vec<u32>, Expression);

impl Source<'_> {
    /// Read into memory the values of the cells that stay, `stored` of them, and of the genes in `min_cells` of these.
    pub(super) fn read(&self, stored: usize, min_cells: u32) -> Result<Kept> {
        let mut kept = CsrMatrix {
            n_cols: self.n_genes,
            indptr: vec![0],
            indices: Vec::with_capacity(stored),
            data: Vec::with_capacity(stored),
            ..CsrMatrix::default()
        };
        self.for_each_block("reading", &mut |block| {
            let before = kept.nnz();
            kept.n_rows += block.n_rows;
            kept.indptr.extend(block.indptr[1..].iter().map(|end| before + end));
            kept.indices.extend_from_slice(&block.indices);
            kept.data.extend_from_slice(&block.data);
            Ok(())
        })?;
        let found_in = self.n_cells_by_counts.clone().unwrap_or_else(|| {
            let mut found_in = vec![0; self.n_genes];
            kept.indices.iter().for_each(|&gene| found_in[gene as usize] += 1);
            found_in
        });
        let genes = filter_genes(&found_in, min_cells)?;
        if genes.len() < kept.n_cols {
            kept.keep_columns(&genes);
        }
        let counts = (self.state == MatrixState::Counts).then(|| kept.data.clone());
        log1p_cp10k_in_place(&mut kept, self.state)?;
        Ok((genes, found_in, Expression::InMemory { normalised: kept, counts }))
    }

    /// Put the same into files beside `output`, a block of cells at a time. The file is read once more where cells
    /// went, since which genes stay must be known before.
    pub(super) fn spool(&self, min_cells: u32, output: &Path) -> Result<Kept> {
        let found_in = match &self.n_cells_by_counts {
            Some(found_in) => found_in.clone(),
            None => {
                let mut found_in = vec![0; self.n_genes];
                self.for_each_block("counting", &mut |block| {
                    block.indices.iter().for_each(|&gene| found_in[gene as usize] += 1);
                    Ok(())
                })?;
                found_in
            }
        };
        let genes = filter_genes(&found_in, min_cells)?;
        let with_counts = self.state == MatrixState::Counts;
        let mut spooled = SpooledCsr::beside(output, genes.len(), with_counts)?;
        self.for_each_block("reading", &mut |mut block| {
            if genes.len() < block.n_cols {
                block.keep_columns(&genes);
            }
            let counts = with_counts.then(|| block.data.clone());
            log1p_cp10k_in_place(&mut block, self.state)?;
            spooled.append(&block, counts.as_deref())
        })?;
        Ok((genes, found_in, Expression::OnDisk(spooled)))
    }

    /// Hand the rows of the cells that stay, without zeros, to `take`, a block of the file at a time.
    fn for_each_block(
        &self,
        verb: &'static str,
        take: &mut dyn FnMut(CsrMatrix) -> Result<()>,
    ) -> Result<()> {
        let mut blocks = CellBlocks::open(self.path, self.matrix)?;
        let bar = progress(verb, blocks.obs().len());
        let mut first = 0;
        while let Some(block) = blocks.next_block(BLOCK)? {
            let until = first + block.n_rows;
            let range = self.cells.partition_point(|&cell| cell < first)
                ..self.cells.partition_point(|&cell| cell < until);
            let rows: Vec<usize> = self.cells[range].iter().map(|cell| cell - first).collect();
            take(without_zeros(block, &rows))?;
            first = until;
            bar.inc((first as u64) - bar.position());
        }
        bar.finish_and_clear();
        Ok(())
    }
}

/// Some rows of a block, rising, without the zeros that are stored.
fn without_zeros(block: CsrMatrix, rows: &[usize]) -> CsrMatrix {
    if rows.len() == block.n_rows && !block.data.contains(&0.0) {
        return block;
    }
    let mut kept = CsrMatrix {
        n_rows: rows.len(),
        n_cols: block.n_cols,
        indptr: vec![0],
        ..CsrMatrix::default()
    };
    for &row in rows {
        let (columns, values) = block.row(row);
        let stored = columns.iter().zip(values).filter(|(_, value)| **value != 0.0);
        kept.indices.extend(stored.clone().map(|(column, _)| column));
        kept.data.extend(stored.map(|(_, value)| value));
        kept.indptr.push(kept.data.len());
    }
    kept
}
