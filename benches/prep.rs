//! Times principal components, neighbours, UMAP and silhouette on the h5ad files named as arguments and
//! prints one JSON line each, in seconds:
//! `cargo bench --bench prep -- FILE.h5ad [--genes 2000] [--cells 1000]`.

use std::path::Path;
use std::time::Instant;

use screader::cells::{CsrMatrix, MatrixState, log1p_cp10k};
use screader::io::{ReadOptions, read};
use screader::prep::{
    HvgFlavor, Metric, N_COMPS, N_NEIGHBORS, UmapConfig, highly_variable_genes, neighbors, pca,
    umap,
};
use screader::score::silhouette;
use screader::{Error, Result};

/// What `work` gives, and how long it took.
fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let began = Instant::now();
    Ok((work()?, began.elapsed().as_secs_f64()))
}

/// Log-normalised cells of at most so many highly variable genes and cells.
fn prepared(file: &str, n_top_genes: usize, n_cells: usize) -> Result<CsrMatrix> {
    let cells = read(Path::new(file), &ReadOptions::default())?.x;
    let matrix = log1p_cp10k(&cells, MatrixState::detect(&cells)?)?;
    let chosen = highly_variable_genes(&matrix, n_top_genes, HvgFlavor::Seurat)?.highly_variable;
    let genes: Vec<usize> = (0..matrix.n_cols).filter(|&gene| chosen[gene]).collect();
    let rows: Vec<usize> = (0..matrix.n_rows.min(n_cells)).collect();
    Ok(matrix.select_columns(&genes).select_rows(&rows))
}

fn bench(file: &str, n_top_genes: usize, n_cells: usize) -> Result<()> {
    let matrix = prepared(file, n_top_genes, n_cells)?;
    let (components, pca_seconds) = timed(|| pca(&matrix, N_COMPS))?;
    let scores = &components.scores;
    let (near, neighbors_seconds) = timed(|| neighbors(scores, N_NEIGHBORS, Metric::Euclidean))?;
    let (graph, connectivities_seconds) = timed(|| Ok(near.connectivities()))?;
    let (_, umap_seconds) = timed(|| umap(&graph, scores, &UmapConfig::default()))?;
    let labels: Vec<usize> = (0..scores.n_rows).map(|cell| cell % 8).collect();
    let (_, silhouette_seconds) = timed(|| silhouette(scores, &labels, 0))?;
    println!(
        r#"{{"cells": {}, "genes": {}, "values": {}, "pca": {pca_seconds:.3}, "neighbors": {neighbors_seconds:.3}, "connectivities": {connectivities_seconds:.3}, "umap": {umap_seconds:.3}, "silhouette": {silhouette_seconds:.3}}}"#,
        matrix.n_rows,
        matrix.n_cols,
        matrix.nnz()
    );
    Ok(())
}

fn run() -> Result<()> {
    let (mut files, mut n_top_genes, mut n_cells) = (Vec::new(), 2000, usize::MAX);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut count = || {
            let text = arguments.next().unwrap_or_default();
            text.parse().map_err(|_| Error::input(&argument, "a number", &text, "give one"))
        };
        match argument.as_str() {
            "--genes" => n_top_genes = count()?,
            "--cells" => n_cells = count()?,
            // cargo's own.
            "--bench" => {}
            _ => files.push(argument),
        }
    }
    files.iter().try_for_each(|file| bench(file, n_top_genes, n_cells))
}

fn main() {
    if let Err(error) = run() {
        eprintln!("{error}");
        std::process::exit(error.exit_code());
    }
}
