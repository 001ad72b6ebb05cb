//! Principal components of cells, as scanpy's `pp.pca` computes them.

use rayon::prelude::*;

use super::lanczos::{Lanczos, dot, fix_sign};
use crate::cells::{CsrMatrix, CsrRows, Dense};
use crate::{Error, Result};

/// Components that scanpy computes unless told otherwise.
pub const N_COMPS: usize = 50;

/// Distance from an eigenvector, relative to the largest eigenvalue, at which one counts as found, and
/// below which an eigenvalue counts as none.
const TOLERANCE: f64 = 1e-12;

/// Cells whose rows are multiplied with each other at a time.
const CELLS_AT_ONCE: usize = 256;

/// Genes up to which their products with each other are kept: 128 MB of them.
const SQUARED_TO: usize = 4096;

/// Principal components: directions of largest variance, falling.
#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    /// The cells along the components, `[cells, comps]`; scanpy's `obsm["X_pca"]`.
    pub scores: Dense,
    /// Unit vectors of the components, `[genes, comps]`; scanpy's `varm["PCs"]`.
    pub loadings: Dense,
    /// Variance along each component, with `cells - 1` below the line.
    pub variance: Vec<f64>,
    /// `variance` as a part of the variance of all genes.
    pub variance_ratio: Vec<f64>,
    /// Mean of each gene.
    pub mean: Vec<f64>,
}

/// Find the first `n_comps` principal components of a matrix `[cells, genes]`, usually log-normalised
/// and of highly variable genes; `min(cells, genes) - 1` of them where that is less.
///
/// Genes are centred but not scaled. The sparse matrix is never made dense: with `A = X - 1 meanᵀ`, the
/// eigenvectors of `AᵀA` (or of `A Aᵀ`, where there are fewer cells than genes) come from products with
/// `X` and its transpose in `f64`, or with `AᵀA` where that has fewer entries, to a residual of 1e-12 of
/// the largest eigenvalue, so the answer is exact in the sense that scanpy's `arpack` is. Of the two
/// signs of a component the one is taken that makes its loading of largest magnitude positive, as
/// scikit-learn's `svd_flip` does for scanpy 1.11. Components beyond the rank of the data are zeros. The
/// result does not depend on the number of threads.
///
/// # Errors
/// [`Error::Input`] if there are fewer than two cells or genes, `n_comps` is 0, a value is not finite,
/// or the iteration does not converge.
pub fn pca(matrix: &CsrMatrix, n_comps: usize) -> Result<Pca> {
    let (cells, genes) = (matrix.n_rows, matrix.n_cols);
    check(matrix, n_comps)?;
    let smaller = cells.min(genes);
    let n_comps = n_comps.min(smaller - 1);
    let centred = Centred::new(matrix);
    let search =
        Lanczos { pairs: n_comps, basis: 2 * n_comps + 40, tolerance: TOLERANCE, restarts: 1000 };
    let by_genes = genes <= cells;
    // A product with `AᵀA` itself is less work than one with `A` and one with its transpose.
    let is_squared = by_genes && genes <= SQUARED_TO && genes * genes < 2 * matrix.nnz();
    let found = if is_squared {
        let squared = centred.transposed_times_itself();
        search.largest(genes, |v| {
            squared.par_chunks_exact(genes).with_min_len(16).map(|row| dot(row, v)).collect()
        })
    } else {
        let columns = matrix.transpose();
        let transposed_times = |u: &[f64]| centred.transposed_times(&columns, u);
        match by_genes {
            true => search.largest(genes, |v| transposed_times(&centred.times(v))),
            false => {
                let found = search.largest(cells, |u| centred.times(&transposed_times(u)));
                found.map(|mut found| {
                    for (vector, value) in found.vectors.iter_mut().zip(&found.values) {
                        *vector = transposed_times(vector);
                        vector.iter_mut().for_each(|entry| *entry /= value.sqrt());
                    }
                    found
                })
            }
        }
    };
    let found = found.filter(|found| found.converged).ok_or_else(no_convergence)?;
    let least = TOLERANCE * found.values[0];
    let mut loadings = Dense { n_rows: genes, n_cols: n_comps, values: vec![0.0; genes * n_comps] };
    let mut variance = vec![0.0; n_comps];
    for (component, (value, mut loading)) in found.values.into_iter().zip(found.vectors).enumerate()
    {
        if value <= least {
            continue;
        }
        fix_sign(&mut loading);
        variance[component] = value / (cells - 1) as f64;
        for (row, entry) in loadings.values.chunks_exact_mut(n_comps).zip(loading) {
            row[component] = entry as f32;
        }
    }
    let total = centred.squares / (cells - 1) as f64;
    let ratio = |variance: &f64| if total > 0.0 { variance / total } else { 0.0 };
    let variance_ratio = variance.iter().map(ratio).collect();
    let scores = project(matrix, &centred.mean, &loadings);
    Ok(Pca { scores, loadings, variance, variance_ratio, mean: centred.mean })
}

impl Pca {
    /// Place other cells `[cells, genes]` along the same components: `(x - mean) loadings`, `[cells,
    /// comps]`. The cells that the components were found on get their `scores` again, to the bit.
    ///
    /// # Errors
    /// [`Error::Input`] if the columns are not as many as the genes, or a value is not finite.
    pub fn transform(&self, matrix: &CsrMatrix) -> Result<Dense> {
        if matrix.n_cols != self.mean.len() {
            return Err(Error::input(
                "pca",
                format!("the {} genes that the components are made of", self.mean.len()),
                format!("{} columns", matrix.n_cols),
                "select the same genes, in the same order",
            ));
        }
        check_finite(matrix)?;
        Ok(project(matrix, &self.mean, &self.loadings))
    }
}

/// A matrix with the means of its columns taken away, without writing that out.
struct Centred<'a> {
    rows: &'a CsrMatrix,
    mean: Vec<f64>,
    /// Sum of all squared entries.
    squares: f64,
}

impl<'a> Centred<'a> {
    fn new(rows: &'a CsrMatrix) -> Self {
        let cells = rows.n_rows as f64;
        let (mut mean, mut stored) = (vec![0f64; rows.n_cols], vec![0usize; rows.n_cols]);
        for (&gene, &value) in rows.indices.iter().zip(&rows.data) {
            mean[gene as usize] += f64::from(value);
            stored[gene as usize] += 1;
        }
        mean.iter_mut().for_each(|mean| *mean /= cells);
        let mut squares = vec![0f64; rows.n_cols];
        for (&gene, &value) in rows.indices.iter().zip(&rows.data) {
            squares[gene as usize] += (f64::from(value) - mean[gene as usize]).powi(2);
        }
        let of_gene = |gene: usize| {
            squares[gene] + (rows.n_rows - stored[gene]) as f64 * mean[gene] * mean[gene]
        };
        let squares = (0..rows.n_cols).map(of_gene).sum();
        Self { rows, mean, squares }
    }

    /// `AᵀA`, `[genes, genes]`: `XᵀX` less `cells` times the product of the means.
    fn transposed_times_itself(&self) -> Vec<f64> {
        let (cells, genes) = (self.rows.n_rows as f64, self.rows.n_cols);
        let mut squared = vec![0f64; genes * genes];
        let mut columns = vec![Vec::new(); genes];
        // Rows of a few cells stay near the processor while all genes pass over them.
        for some in CsrRows::of(self.rows, 0).pieces(CELLS_AT_ONCE) {
            refill(&mut columns, some);
            squared.par_chunks_exact_mut(genes).zip(&columns).enumerate().for_each(
                |(gene, (row, column))| {
                    for &(cell, value) in column {
                        let (others, entries) = some.row(cell as usize);
                        let from = others.partition_point(|&other| (other as usize) < gene);
                        for (&other, &entry) in others[from..].iter().zip(&entries[from..]) {
                            row[other as usize] += f64::from(value) * f64::from(entry);
                        }
                    }
                },
            );
        }
        squared.par_chunks_exact_mut(genes).enumerate().for_each(|(gene, row)| {
            for (entry, mean) in row[gene..].iter_mut().zip(&self.mean[gene..]) {
                *entry -= cells * self.mean[gene] * mean;
            }
        });
        for gene in 1..genes {
            for other in 0..gene {
                squared[gene * genes + other] = squared[other * genes + gene];
            }
        }
        squared
    }

    /// `A v`, one number a cell.
    fn times(&self, vector: &[f64]) -> Vec<f64> {
        let of_mean: f64 = self.mean.iter().zip(vector).map(|(mean, value)| mean * value).sum();
        let row = |cell| inner(self.rows.row(cell), vector) - of_mean;
        (0..self.rows.n_rows).into_par_iter().with_min_len(64).map(row).collect()
    }

    /// `Aᵀ u`, one number a gene; `columns` is the transpose of the matrix.
    fn transposed_times(&self, columns: &CsrMatrix, vector: &[f64]) -> Vec<f64> {
        let sum: f64 = vector.iter().sum();
        let row = |gene| inner(columns.row(gene), vector) - self.mean[gene] * sum;
        (0..columns.n_rows).into_par_iter().with_min_len(64).map(row).collect()
    }
}

/// Put into each column the rows that have a value there, counted from the first of `rows`, with the value.
fn refill(columns: &mut [Vec<(u32, f32)>], rows: CsrRows<'_>) {
    columns.iter_mut().for_each(Vec::clear);
    for at in 0..rows.n_rows() {
        let (indices, values) = rows.row(at);
        for (&column, &value) in indices.iter().zip(values) {
            columns[column as usize].push((at as u32, value));
        }
    }
}

/// Inner product of a sparse row with a vector, in four running sums so that one addition need not wait
/// for the last.
fn inner((columns, values): (&[u32], &[f32]), vector: &[f64]) -> f64 {
    let product = |column: &u32, value: &f32| f64::from(*value) * vector[*column as usize];
    let mut sums = [0f64; 4];
    let (columns, values) = (columns.chunks_exact(4), values.chunks_exact(4));
    let rest = columns.remainder().iter().zip(values.remainder());
    let rest: f64 = rest.map(|(column, value)| product(column, value)).sum();
    for (columns, values) in columns.zip(values) {
        for lane in 0..4 {
            sums[lane] += product(&columns[lane], &values[lane]);
        }
    }
    sums.iter().sum::<f64>() + rest
}

fn project(matrix: &CsrMatrix, mean: &[f64], loadings: &Dense) -> Dense {
    let n_cols = loadings.n_cols;
    let loading = |gene: usize| &loadings.values[gene * n_cols..][..n_cols];
    let mut of_mean = vec![0f64; n_cols];
    for (gene, mean) in mean.iter().enumerate() {
        add(&mut of_mean, *mean, loading(gene));
    }
    let mut scores =
        Dense { n_rows: matrix.n_rows, n_cols, values: vec![0.0; matrix.n_rows * n_cols] };
    scores.values.par_chunks_exact_mut(n_cols).enumerate().for_each(|(cell, scores)| {
        let mut sums = vec![0f64; n_cols];
        let (columns, values) = matrix.row(cell);
        for (&column, &value) in columns.iter().zip(values) {
            add(&mut sums, f64::from(value), loading(column as usize));
        }
        for ((score, sum), of_mean) in scores.iter_mut().zip(sums).zip(&of_mean) {
            *score = (sum - of_mean) as f32;
        }
    });
    scores
}

fn add(sums: &mut [f64], value: f64, loading: &[f32]) {
    sums.iter_mut().zip(loading).for_each(|(sum, &entry)| *sum += value * f64::from(entry));
}

fn check(matrix: &CsrMatrix, n_comps: usize) -> Result<()> {
    let (cells, genes) = (matrix.n_rows, matrix.n_cols);
    if cells < 2 || genes < 2 {
        return Err(Error::input(
            "pca",
            "at least 2 cells and 2 genes",
            format!("{cells} cells and {genes} genes"),
            "give more cells, or keep more genes",
        ));
    }
    if n_comps == 0 {
        return Err(Error::input("pca n_comps", "at least 1", "0", format!("use {N_COMPS}")));
    }
    check_finite(matrix)
}

fn check_finite(matrix: &CsrMatrix) -> Result<()> {
    let Some(place) = matrix.data.iter().position(|value| !value.is_finite()) else {
        return Ok(());
    };
    let cell = matrix.indptr.partition_point(|&begin| begin <= place) - 1;
    Err(Error::input(
        format!("pca: cell {cell}, column {}", matrix.indices[place]),
        "a finite value",
        matrix.data[place],
        "remove such cells or genes, or replace the value",
    ))
}

fn no_convergence() -> Error {
    Error::input(
        "pca",
        "values whose components can be told apart",
        "an iteration that does not converge",
        "look for values of very different size, or ask for fewer components",
    )
}
