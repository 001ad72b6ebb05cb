//! Quality of cells and genes, as scanpy's `pp.calculate_qc_metrics` measures it.

use crate::cells::CsrMatrix;
use crate::{Error, Result};

/// Measures of cells and genes, under scanpy's names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QcMetrics {
    /// Genes with a value above 0, one number a cell.
    pub n_genes_by_counts: Vec<u32>,
    /// Sum of all values, one number a cell.
    pub total_counts: Vec<f64>,
    /// Part of `total_counts` that is of mitochondrial genes, in percent; `NaN` for a cell without counts.
    pub pct_counts_mt: Vec<f64>,
    /// Cells with a value above 0, one number a gene.
    pub n_cells_by_counts: Vec<u32>,
    mitochondrial: Vec<bool>,
}

/// Measure every cell and gene of a matrix `[cells, genes]`, usually of counts; `mitochondrial` marks genes.
///
/// # Errors
/// As [`QcMetrics::add`].
pub fn calculate_qc_metrics(matrix: &CsrMatrix, mitochondrial: &[bool]) -> Result<QcMetrics> {
    let mut metrics = QcMetrics::new(mitochondrial);
    metrics.add(matrix)?;
    Ok(metrics)
}

impl QcMetrics {
    /// Begin without cells; `mitochondrial` has an entry for each gene.
    pub fn new(mitochondrial: &[bool]) -> Self {
        Self {
            n_cells_by_counts: vec![0; mitochondrial.len()],
            mitochondrial: mitochondrial.to_vec(),
            ..Self::default()
        }
    }

    /// Measure more cells `[cells, genes]`, so that a file is read in blocks and never held whole.
    ///
    /// # Errors
    /// [`Error::Input`] if the genes are not as many as at the beginning, or a value is negative or not
    /// finite.
    pub fn add(&mut self, block: &CsrMatrix) -> Result<()> {
        let genes = self.mitochondrial.len();
        if block.n_cols != genes {
            return Err(Error::input(
                "calculate_qc_metrics",
                format!("{genes} genes, as are marked mitochondrial or not"),
                block.n_cols,
                "mark each gene of the matrix",
            ));
        }
        for row in 0..block.n_rows {
            let (columns, values) = block.row(row);
            let (mut expressed, mut total, mut of_mitochondria) = (0, 0f64, 0f64);
            for (&column, &value) in columns.iter().zip(values) {
                if !(value >= 0.0 && value.is_finite()) {
                    return Err(self.refuse(column, value));
                }
                if value > 0.0 {
                    expressed += 1;
                    self.n_cells_by_counts[column as usize] += 1;
                }
                total += f64::from(value);
                if self.mitochondrial[column as usize] {
                    of_mitochondria += f64::from(value);
                }
            }
            self.n_genes_by_counts.push(expressed);
            self.total_counts.push(total);
            self.pct_counts_mt.push(100.0 * of_mitochondria / total);
        }
        Ok(())
    }

    /// The measures of some cells; those of genes stay those of all cells.
    pub fn of_cells(&self, cells: &[usize]) -> Self {
        Self {
            n_genes_by_counts: cells.iter().map(|&cell| self.n_genes_by_counts[cell]).collect(),
            total_counts: cells.iter().map(|&cell| self.total_counts[cell]).collect(),
            pct_counts_mt: cells.iter().map(|&cell| self.pct_counts_mt[cell]).collect(),
            n_cells_by_counts: self.n_cells_by_counts.clone(),
            mitochondrial: self.mitochondrial.clone(),
        }
    }

    fn refuse(&self, column: u32, value: f32) -> Error {
        Error::input(
            format!("cell {}, column {column}", self.total_counts.len()),
            "a count or another finite value from 0",
            value,
            "name a layer that holds counts or log-normalised values",
        )
    }
}
