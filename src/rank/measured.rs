//! Cells as the path around the backbone reads them: each measured gene against its mean.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::gene_map::{Addition, GeneMap, refuse_entry};
use super::statistics::visit_all;
use crate::Result;
use crate::cells::CsrMatrix;

/// Mean and standard deviation of the log1p-CP10k expression of genes over some cells, zeros included.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneSpread {
    /// Rows of the gene table that were measured, rising.
    pub genes: Vec<u32>,
    /// Mean of each.
    pub means: Vec<f32>,
    /// Standard deviation of each (n).
    pub deviations: Vec<f32>,
}

/// Share of the learned genes, or of a file's if it has fewer, that a file must have to be measured by what was
/// learned of them.
const LEAST_SHARED: f64 = 0.05;

/// Sums from which a [`GeneSpread`] is made, block by block.
#[derive(Debug, Clone)]
pub struct SpreadSums {
    genes: Vec<u32>,
    sums: Vec<f64>,
    squares: Vec<f64>,
    cells: usize,
}

impl SpreadSums {
    /// Begin for a matrix whose columns are the rows `gene_rows` of a gene table.
    pub fn new(gene_rows: &[Option<u32>]) -> Self {
        let genes = measured(gene_rows);
        let count = genes.len();
        Self { genes, sums: vec![0.0; count], squares: vec![0.0; count], cells: 0 }
    }

    /// Take in the cells of `matrix`, log1p-CP10k, `[cells, genes]`.
    ///
    /// # Errors
    /// An entry that is negative or not finite, rows that do not fit the matrix.
    pub fn add(&mut self, matrix: &CsrMatrix, gene_rows: &[Option<u32>]) -> Result<()> {
        let rows = self.genes.last().map_or(0, |&last| last as usize + 1);
        let map = GeneMap::new(gene_rows, matrix.n_cols, rows)?;
        let place = places(&self.genes, rows);
        visit_all(matrix, &map, |gene, value| {
            let (at, value) = (place[gene as usize] as usize, f64::from(value));
            self.sums[at] += value;
            self.squares[at] += value * value;
        })?;
        self.cells += matrix.n_rows;
        Ok(())
    }

    /// Mean and deviation of what was taken in.
    pub fn finish(self) -> GeneSpread {
        let cells = self.cells.max(1) as f64;
        let means: Vec<f64> = self.sums.iter().map(|sum| sum / cells).collect();
        let variance = |(square, mean): (&f64, &f64)| (square / cells - mean * mean).max(0.0);
        let deviations = self.squares.iter().zip(&means).map(variance);
        GeneSpread {
            deviations: deviations.map(|variance| variance.sqrt() as f32).collect(),
            means: means.into_iter().map(|mean| mean as f32).collect(),
            genes: self.genes,
        }
    }
}

impl GeneSpread {
    /// Measure the cells of `matrix`, log1p-CP10k, `[cells, genes]`.
    ///
    /// # Errors
    /// As [`SpreadSums::add`].
    pub fn fit(matrix: &CsrMatrix, gene_rows: &[Option<u32>]) -> Result<Self> {
        let mut sums = SpreadSums::new(gene_rows);
        sums.add(matrix, gene_rows)?;
        Ok(sums.finish())
    }

    /// Keep the `count` genes of largest deviation; of equals those of lower row.
    pub fn most_variable(&self, count: usize) -> Self {
        let mut order: Vec<usize> = (0..self.genes.len()).collect();
        order.sort_by(|&a, &b| self.deviations[b].total_cmp(&self.deviations[a]).then(a.cmp(&b)));
        order.truncate(count);
        order.sort_unstable();
        self.only(order)
    }

    /// The measure of cells with the genes `gene_rows`: what was learned of those among them. Nothing if
    /// these are too few to know a cell by, less than a twentieth of either's; then the cells can only be
    /// measured by themselves.
    ///
    /// A gene that was not learned is left out while there are learned ones: the mean of the cells at hand
    /// says nothing where these are all of one type.
    pub fn among(&self, gene_rows: &[Option<u32>]) -> Option<Self> {
        let own = measured(gene_rows);
        let common = (0..self.genes.len()).filter(|&at| own.binary_search(&self.genes[at]).is_ok());
        let common = self.only(common.collect());
        let least = (LEAST_SHARED * own.len().min(self.genes.len()) as f64).max(1.0);
        (common.genes.len() as f64 >= least).then_some(common)
    }

    fn only(&self, kept: Vec<usize>) -> Self {
        Self {
            genes: kept.iter().map(|&at| self.genes[at]).collect(),
            means: kept.iter().map(|&at| self.means[at]).collect(),
            deviations: kept.iter().map(|&at| self.deviations[at]).collect(),
        }
    }
}

/// Cells, each gene of a [`GeneSpread`] as its distance from the mean, in log1p-CP10k. Not divided by its
/// deviation: what hardly varies is mostly chance.
#[derive(Debug, Clone, Default)]
pub struct MeasuredCells {
    /// Rows of the gene table, rising: the columns of the centred matrix.
    pub genes: Vec<u32>,
    means: Vec<f32>,
    /// log1p-CP10k, `[cells, genes]`.
    expression: CsrMatrix,
}

impl MeasuredCells {
    /// Take the cells of `matrix`, log1p-CP10k, `[cells, genes]`, by `spread`.
    ///
    /// # Errors
    /// An entry that is negative or not finite, rows that do not fit the matrix.
    pub fn new(matrix: &CsrMatrix, gene_rows: &[Option<u32>], spread: &GeneSpread) -> Result<Self> {
        let rows = gene_rows.iter().flatten().chain(&spread.genes).max();
        let rows = rows.map_or(0, |&last| last as usize + 1);
        let map = GeneMap::new(gene_rows, matrix.n_cols, rows)?;
        let place = places(&spread.genes, rows);
        let mut expression = CsrMatrix {
            n_rows: matrix.n_rows,
            n_cols: spread.genes.len(),
            indptr: vec![0],
            ..CsrMatrix::default()
        };
        let mut slots = map.slots();
        for cell in 0..matrix.n_rows {
            map.visit(matrix.row(cell), Addition::Log1p, &mut slots, |gene, value| {
                let column = place[gene as usize];
                if column != NOWHERE {
                    expression.indices.push(column);
                    expression.data.push(value);
                }
            })
            .map_err(|entry| refuse_entry("expression", cell, entry))?;
            expression.indptr.push(expression.nnz());
        }
        Ok(Self { genes: spread.genes.clone(), means: spread.means.clone(), expression })
    }

    /// Copy the cells `cells`, in that order.
    pub fn select(&self, cells: &[usize]) -> Self {
        let expression = self.expression.select_rows(cells);
        Self { genes: self.genes.clone(), means: self.means.clone(), expression }
    }

    /// Number of cells.
    pub fn n_cells(&self) -> usize {
        self.expression.n_rows
    }

    /// Mean of each gene.
    pub(super) fn means(&self) -> &[f32] {
        &self.means
    }

    /// Column and expression, log1p-CP10k, of each gene that a cell expresses.
    pub(super) fn expressed(&self, cell: usize) -> impl Iterator<Item = (usize, f32)> {
        let (columns, values) = self.expression.row(cell);
        columns.iter().map(|&column| column as usize).zip(values.iter().copied())
    }

    /// Expression of all cells, log1p-CP10k, `[cells, genes]`.
    pub(super) fn expression(&self) -> &CsrMatrix {
        &self.expression
    }

    /// For each cell, in order, what `finish` makes of `start` plus the rows of `table` `[genes, width]` of the genes
    /// `genes` (rows of the gene table, rising), each times the gene's distance from its mean. Genes that are not
    /// measured stand at their mean. Nothing where none of `genes` is measured.
    pub(super) fn weighted_sums<T: Send>(
        &self,
        (genes, table): (&[u32], &[f32]),
        start: &[f64],
        finish: impl Fn(&[f64]) -> T + Sync,
    ) -> Option<Vec<T>> {
        let width = start.len();
        let place = |gene: &u32| genes.binary_search(gene).ok();
        let places: Vec<Option<usize>> = self.genes.iter().map(place).collect();
        if places.iter().all(Option::is_none) {
            return None;
        }
        let add = |sums: &mut [f64], column: usize, times: f32| {
            let row = places[column].map_or(&[][..], |at| &table[at * width..(at + 1) * width]);
            for (sum, weight) in sums.iter_mut().zip(row) {
                *sum += f64::from(times) * f64::from(*weight);
            }
        };
        let mut unexpressed = start.to_vec();
        for (column, mean) in self.means.iter().enumerate() {
            add(&mut unexpressed, column, -mean);
        }
        let of_cell = |cell: usize| {
            let mut sums = unexpressed.clone();
            self.expressed(cell).for_each(|(column, value)| add(&mut sums, column, value));
            finish(&sums)
        };
        Some((0..self.n_cells()).into_par_iter().map(of_cell).collect())
    }

    /// Distance from the mean of `cells` in the columns `columns`, row by row, `[cells, columns]`.
    pub fn values(&self, cells: &[usize], columns: &[usize]) -> Vec<f32> {
        if columns.is_empty() {
            return Vec::new();
        }
        let mut place = vec![NOWHERE; self.genes.len()];
        for (at, &column) in columns.iter().enumerate() {
            place[column] = at as u32;
        }
        let unexpressed: Vec<f32> = columns.iter().map(|&column| -self.means[column]).collect();
        let mut values = Vec::with_capacity(cells.len() * columns.len());
        for &cell in cells {
            let first = values.len();
            values.extend_from_slice(&unexpressed);
            for (column, expression) in self.expressed(cell) {
                if place[column] != NOWHERE {
                    values[first + place[column] as usize] += expression;
                }
            }
        }
        values
    }
}

const NOWHERE: u32 = u32::MAX;

/// The rows of the gene table that have a column, rising.
fn measured(gene_rows: &[Option<u32>]) -> Vec<u32> {
    let mut genes: Vec<u32> = gene_rows.iter().flatten().copied().collect();
    genes.sort_unstable();
    genes.dedup();
    genes
}

/// Where each of `rows` rows is among `genes`.
fn places(genes: &[u32], rows: usize) -> Vec<u32> {
    let mut places = vec![NOWHERE; rows];
    for (place, &gene) in genes.iter().enumerate() {
        places[gene as usize] = place as u32;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three cells, four columns; two are of gene 5, one is of none.
    fn cells() -> (CsrMatrix, Vec<Option<u32>>) {
        let matrix = CsrMatrix {
            n_rows: 3,
            n_cols: 4,
            indptr: vec![0, 3, 4, 6],
            indices: vec![0, 1, 3, 2, 1, 2],
            data: vec![1.0, 2.0, 9.0, 0.5, 1.5, 3.0],
        };
        (matrix, vec![Some(5), Some(2), Some(5), None])
    }

    #[test]
    fn mean_and_deviation_count_zeros_and_add_columns_of_one_gene() {
        let (matrix, rows) = cells();
        let spread = GeneSpread::fit(&matrix, &rows).unwrap();
        assert_eq!(spread.genes, [2, 5]);
        for (at, values) in [[2.0f64, 0.0, 1.5], [1.0, 0.5, 3.0]].iter().enumerate() {
            let mean = values.iter().sum::<f64>() / 3.0;
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 3.0;
            assert!((f64::from(spread.means[at]) - mean).abs() < 1e-6);
            assert!((f64::from(spread.deviations[at]) - variance.sqrt()).abs() < 1e-6);
        }
        let both = GeneSpread::fit(
            &CsrMatrix {
                data: vec![1.0; 2],
                indices: vec![0, 2],
                indptr: vec![0, 2],
                n_rows: 1,
                n_cols: 4,
            },
            &rows,
        );
        let twice = (2.0 * 1f64.exp_m1()).ln_1p() as f32;
        assert!((both.unwrap().means[1] - twice).abs() < 1e-6, "two columns of a gene are added");
    }

    #[test]
    fn cells_are_read_against_the_mean() {
        let (matrix, rows) = cells();
        let spread = GeneSpread::fit(&matrix, &rows).unwrap();
        let measured = MeasuredCells::new(&matrix, &rows, &spread).unwrap();
        assert_eq!((measured.n_cells(), &measured.genes), (3, &vec![2, 5]));
        let values = measured.values(&[2, 0, 1], &[1, 0]);
        let expected = [[3.0f32, 1.5], [1.0, 2.0], [0.5, 0.0]];
        for (row, expression) in values.chunks(2).zip(expected) {
            for ((value, x), at) in row.iter().zip(expression).zip([1, 0]) {
                let distance = x - spread.means[at];
                assert!((value - distance).abs() < 1e-5, "{value} against {distance}");
            }
        }
        // Over the cells that were measured every gene has mean 0.
        assert!((values.iter().step_by(2).sum::<f32>()).abs() < 1e-5);
    }

    #[test]
    fn learned_genes_are_measured_as_learned_and_the_most_variable_are_kept() {
        let learned = GeneSpread {
            genes: vec![1, 4, 7],
            means: vec![0.1, 0.4, 0.7],
            deviations: vec![1.0, 3.0, 2.0],
        };
        assert_eq!(learned.most_variable(2).genes, [4, 7]);
        let common = learned.among(&[Some(7), None, Some(1), Some(9)]).unwrap();
        assert_eq!((common.genes, common.means), (vec![1, 7], vec![0.1, 0.7]));
        assert_eq!(learned.among(&[Some(2), None]), None);
        // One gene of a hundred says nothing of a cell.
        let many = GeneSpread {
            genes: (0..100).collect(),
            means: vec![0.5; 100],
            deviations: vec![1.0; 100],
        };
        let rows = |shared: u32| -> Vec<Option<u32>> {
            (0..shared).chain(200..300 - shared).map(Some).collect()
        };
        assert_eq!(many.among(&rows(1)), None);
        assert_eq!(many.among(&rows(5)).unwrap().genes.len(), 5);
    }
}
