//! The whole comparison in words and numbers: what is told before it runs, and the summary after it.

use std::collections::HashSet;

use super::outcome::Record;
use super::run::{Bench, Findings};
use super::summary::{DataSummary, EmbeddingSummary, Summary};
use crate::backbone::Backbone;
use crate::cells::Dense;
use crate::device::Survey;
use crate::prep::{Metric, N_NEIGHBORS, UmapConfig, neighbors, umap};
use crate::score::{neighbour_purity, silhouette};
use crate::{Error, Result};

/// The methods whose view of the held-out cells is drawn: expression, gene embeddings, screader.
const DRAWN: [(&str, &str); 3] =
    [("knn-pca", "expression (50 PCs)"), ("genept-w-knn", "GenePT-w"), ("screader", "screader")];
/// Neighbours whose types are compared with a cell's own.
const PURITY_NEIGHBOURS: usize = 10;

/// Say on stderr what is about to be compared.
pub fn announce(bench: &Bench<'_>, place: &str) {
    let source = &bench.material.source;
    let (cells, types) = (source.n_cells(), source.classes.len());
    eprintln!("cells     {place}: {cells} labelled, {types} types");
    if source.unlabelled > 0 {
        eprintln!("          {} cells without a label are left out", source.unlabelled);
    }
    eprintln!("matrix    {} ({})", source.matrix_name, source.state);
    eprintln!("genes     {}", source.coverage.summary());
    if let Some(target) = &bench.material.target {
        let cells = &target.cells;
        eprintln!("to name   {} cells, genes {}", cells.n_cells(), cells.coverage.summary());
    }
    eprintln!("backbone  {}", bench.material.backbone.describe());
    let settings: Vec<&str> = bench.settings.iter().map(|setting| setting.name()).collect();
    let methods: Vec<&str> = bench.methods.iter().map(|method| method.about().name).collect();
    eprintln!(
        "settings  {}, {} folds, seed {}",
        settings.join(", "),
        bench.plan.folds,
        bench.plan.seed
    );
    eprintln!("methods   {}", methods.join(", "));
    eprintln!("results   {} (what is there is kept)", bench.folder.display());
}

/// Sum up the findings.
///
/// # Errors
/// Embeddings that cannot be drawn.
pub fn summary(bench: &Bench<'_>, findings: Findings, place: &str) -> Result<Summary> {
    let command: Vec<String> = std::env::args().collect();
    let survey = Survey::take();
    let material = bench.material;
    let title = std::path::Path::new(place).file_stem().unwrap_or_default().to_string_lossy();
    Ok(Summary {
        title: title.into_owned(),
        command: command.join(" "),
        date: chrono::Utc::now().date_naive().to_string(),
        machine: format!(
            "{}, {} threads, device {}",
            survey.processor, survey.threads, bench.device
        ),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        data: DataSummary {
            path: place.to_owned(),
            cells: material.source.n_cells(),
            genes: material.source.var.len(),
            coverage: material.source.coverage.summary(),
            matrix: format!("{} ({})", material.source.matrix_name, material.source.state),
            types: types(bench),
            gene_table: {
                let made = &material.table.metadata;
                format!("{} {}, {} genes", made.provider, made.model, made.species)
            },
            backbone: material.backbone.describe(),
        },
        settings: findings.settings,
        embeddings: embeddings(&findings.first, bench.plan.seed)?,
        notes: notes(bench),
    })
}

/// The summary as JSON.
///
/// # Errors
/// A number that JSON cannot hold.
pub fn json(summary: &Summary) -> Result<String> {
    serde_json::to_string_pretty(summary)
        .map_err(|error| Error::input("summary", "finite numbers", error, "report this"))
}

/// Each type with its cells, most common first.
fn types(bench: &Bench<'_>) -> Vec<(String, usize)> {
    let source = &bench.material.source;
    let mut counts = vec![0; source.classes.len()];
    source.labels.iter().for_each(|&class| counts[class] += 1);
    let mut types: Vec<(String, usize)> = source.classes.iter().cloned().zip(counts).collect();
    types.sort_by_key(|(_, cells)| std::cmp::Reverse(*cells));
    types
}

fn notes(bench: &Bench<'_>) -> Vec<String> {
    let mut notes = vec![
        "Every method learns from the same cells. Networks set a tenth of them aside to stop and calibrate \
         by; the others learn from all."
            .to_owned(),
        "Intervals are of the difference on all test cells together, from 2,000 paired resamples of the \
         cells; they do not cover how much another training set would change. Means and deviations are \
         over trials, which share training cells."
            .to_owned(),
    ];
    if !matches!(bench.material.backbone, Backbone::Folder { .. }) {
        notes.push(format!(
            "The backbone is {}: nothing here tells whether a language model helps.",
            bench.material.backbone.describe()
        ));
    }
    notes
}

/// Whether there are cells enough to be neighbours, and types that can stand apart: not one, nor as many as
/// cells.
fn has_neighbourhoods(truth: &[usize]) -> bool {
    let types = truth.iter().collect::<HashSet<_>>().len();
    truth.len() > PURITY_NEIGHBOURS && (2..truth.len()).contains(&types)
}

/// The test cells of the first trial in two dimensions, as three methods see them.
fn embeddings(first: &[Record], seed: u64) -> Result<Vec<EmbeddingSummary>> {
    let drawn = DRAWN.iter().filter_map(|(method, label)| {
        let record = first.iter().find(|record| record.method == *method)?;
        Some((record, record.embedding.as_ref()?, *label))
    });
    drawn
        .filter(|(record, _, _)| has_neighbourhoods(&record.truth))
        .map(|(record, rows, label)| {
            let n_cols = rows.first().map_or(0, Vec::len);
            let vectors = Dense { n_rows: rows.len(), n_cols, values: rows.concat() };
            let near = neighbors(&vectors, N_NEIGHBORS.min(vectors.n_rows), Metric::Euclidean)?;
            let config = UmapConfig { seed, ..UmapConfig::default() };
            let plane = umap(&near.connectivities(), &vectors, &config)?;
            Ok(EmbeddingSummary {
                label: label.to_owned(),
                points: plane.values.chunks_exact(2).map(|at| [at[0], at[1]]).collect(),
                classes: record.truth.clone(),
                names: record.classes.clone(),
                silhouette: silhouette(&vectors, &record.truth, seed)?,
                knn_purity: neighbour_purity(&vectors, &record.truth, PURITY_NEIGHBOURS)?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::summary::Role;

    fn record(truth: Vec<usize>) -> Record {
        let vector =
            |cell: usize| vec![(cell * 7 % 13) as f32, (cell * 5 % 11) as f32, cell as f32];
        Record {
            key: String::new(),
            setting: "cross-batch".to_owned(),
            variant: String::new(),
            trial: "without lane 1".to_owned(),
            method: "screader".to_owned(),
            label: "screader".to_owned(),
            role: Role::Screader,
            classes: (0..truth.len()).map(|class| class.to_string()).collect(),
            learned: (0..truth.len()).collect(),
            cells: (0..truth.len()).collect(),
            predicted: truth.clone(),
            confidence: vec![1.0; truth.len()],
            cannot_answer: None,
            novelty: None,
            unknown: None,
            embedding: Some((0..truth.len()).map(vector).collect()),
            fit_seconds: 0.0,
            read_seconds: 0.0,
            peak_memory: None,
            truth,
        }
    }

    #[test]
    fn cells_without_neighbourhoods_are_not_drawn_and_spoil_no_report() {
        let drawn = |truth: Vec<usize>| embeddings(&[record(truth)], 0).unwrap().len();
        assert_eq!(drawn((0..20).map(|cell| cell % 2).collect()), 1);
        assert_eq!(drawn(vec![3; 20]), 0, "a batch of one type has no silhouette");
        assert_eq!(drawn((0..20).collect()), 0, "nor have types of one cell each");
        assert_eq!(drawn(vec![0, 1, 0, 1]), 0, "nor do four cells have ten neighbours");
    }
}
