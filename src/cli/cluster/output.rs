//! The clustered cells as an h5ad.

use std::path::Path;

use super::cells::Prepared;
use super::expression::Expression;
use super::results::results;
use crate::cells::{Cells, Column, Frame, MatrixState};
use crate::io::{Entry, Matrices, write_h5ad_with};
use crate::prep::{ClusterConfig, Clustered, HvgFlavor};
use crate::report::Quality;
use crate::{Error, Result};

/// Write `X` log-normalised, `layers["counts"]`, metrics and clusters in `obs`, the choice of genes in `var`,
/// `obsm["X_pca"]` and `obsm["X_umap"]`, the [`results`] where scanpy looks for them, and in `uns["screader"]` what
/// was done.
pub(super) fn write(
    prepared: Prepared,
    found: &Clustered,
    config: &ClusterConfig,
    quality: &Quality,
    input: &Path,
    output: &Path,
) -> Result<()> {
    let quality = serde_json::to_string(quality);
    let quality = quality.map_err(|e| Error::io(output, "write")(e.into()))?;
    let mut results = results(found, config, &prepared.var);
    results.uns.push(("screader".to_owned(), provenance(&prepared, config, input, quality)));
    let Prepared { state, mut obs, mut var, metrics, expression, .. } = prepared;
    let whole = |values: &[u32]| Column::Integer(values.iter().map(|&v| Some(v.into())).collect());
    set(&mut obs, "n_genes_by_counts", whole(&metrics.n_genes_by_counts));
    if state != MatrixState::LogNormalised {
        set(&mut obs, "total_counts", Column::Float(metrics.total_counts));
        set(&mut obs, "pct_counts_mt", Column::Float(metrics.pct_counts_mt));
    }
    let clusters = Column::Categorical {
        codes: found.clusters.iter().map(|&one| one as i32).collect(),
        categories: (0..found.n_clusters()).map(|one| one.to_string()).collect(),
        ordered: false,
    };
    set(&mut obs, "leiden", clusters);
    let variable = &found.variable;
    let (spread, normalised_spread) = match config.flavor {
        HvgFlavor::SeuratV3 => ("variances", "variances_norm"),
        HvgFlavor::Seurat | HvgFlavor::CellRanger => ("dispersions", "dispersions_norm"),
    };
    let chosen = variable.highly_variable.iter().map(|&chosen| Some(chosen)).collect();
    set(&mut var, "n_cells_by_counts", whole(&metrics.n_cells_by_counts));
    set(&mut var, "highly_variable", Column::Boolean(chosen));
    set(&mut var, "means", Column::Float(variable.means.clone()));
    set(&mut var, spread, Column::Float(variable.dispersions.clone()));
    set(&mut var, normalised_spread, Column::Float(variable.dispersions_norm.clone()));
    let obsm = [("X_pca", found.pca.scores.clone()), ("X_umap", found.umap.clone())];
    let obsm = obsm.into_iter().map(|(name, rows)| (name.to_owned(), rows)).collect();
    let mut cells = Cells { obs, var, obsm, ..Cells::default() };
    match expression {
        Expression::InMemory { normalised, counts } => {
            cells.x = normalised;
            write_h5ad_with(&cells, Matrices::InMemory(counts.as_deref()), &results, output)
        }
        Expression::OnDisk(matrix) => {
            write_h5ad_with(&cells, Matrices::OnDisk(&matrix), &results, output)
        }
    }
}

/// Put a column, in place of one of the same name.
fn set(frame: &mut Frame, name: &str, column: Column) {
    frame.columns.retain(|(known, _)| known != name);
    frame.columns.push((name.to_owned(), column));
}

/// Where the cells come from, and what was done with them.
fn provenance(prepared: &Prepared, config: &ClusterConfig, input: &Path, quality: String) -> Entry {
    let command: Vec<String> = std::env::args().collect();
    let scale = config.scale.map_or("none".to_owned(), |most| most.to_string());
    let entries = [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("command", command.join(" ")),
        ("input", input.display().to_string()),
        ("matrix", format!("{} ({})", prepared.name, prepared.state)),
        ("kept", prepared.summary()),
        ("filter", format!("{:?}", prepared.filter)),
        ("normalisation", normalisation(prepared.state).to_owned()),
        ("highly_variable", format!("{:?}, {} genes", config.flavor, config.n_top_genes)),
        ("scale", scale),
        ("n_comps", config.n_comps.to_string()),
        ("n_neighbors", config.n_neighbors.to_string()),
        ("resolution", config.resolution.to_string()),
        ("rank_genes_groups", format!("{:?}", config.test)),
        ("seed", config.seed.to_string()),
        ("quality", quality),
    ];
    Entry::texts(entries)
}

fn normalisation(state: MatrixState) -> &'static str {
    match state {
        MatrixState::LogNormalised => "none: the input was log-normalised",
        _ => "10,000 a cell, then log1p",
    }
}
