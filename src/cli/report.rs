//! `screader report`: named clusters as a page to read.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::annotate::{ClusterAnnotation, ClusterAnnotations, ClusteredCells, read_annotations};
use crate::cells::{Column, Dense, select_columns};
use crate::io;
use crate::report::clusters::{ClusterReport, DotPlot, MappedCells, NamedCluster, write};
use crate::{Error, Result};

/// Markers of each cluster in the dot plot.
const DOTS: usize = 4;
/// Measures of cells that are drawn where `obs` has them, with their names.
const MEASURES: [(&str, &str); 3] = [
    ("total_counts", "counts"),
    ("n_genes_by_counts", "genes"),
    ("pct_counts_mt", "mitochondrial counts, %"),
];

/// Draw what `screader annotate` found: one page with the map, the markers, and why each cluster is called so.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  screader report named
  screader report named --data clustered.h5ad --out page")]
pub(super) struct ReportArgs {
    /// Folder of `screader annotate`.
    #[arg(value_name = "DIR")]
    annotations: PathBuf,
    /// The cells, for map and markers [default: those that were annotated, if they are still there].
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Column of obs with the clusters, if it was named for `screader annotate`.
    #[arg(long, value_name = "COLUMN")]
    cluster: Option<String>,
    /// Folder of the page [default: the same].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl ReportArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        let record = read_annotations(&self.annotations)?;
        let column = self
            .cluster
            .clone()
            .or_else(|| record.clusters_from.strip_prefix("obs/").map(str::to_owned));
        let mut report = of_record(&record);
        if let Some(path) = self.cells_file(&record)? {
            let cells = ClusteredCells::open(&path, column.as_deref(), None)?;
            report.cells = mapped(&cells, &record, &path)?;
            report.markers = dots(&cells, &record)?;
            // Of another version or by another hand, it is not drawn.
            report.quality =
                io::read_uns(&path, "quality")?.and_then(|text| serde_json::from_str(&text).ok());
            if report.cells.is_none() {
                report.notes.push("the cells have no UMAP: no map is drawn".to_owned());
            }
        }
        let out = self.out.unwrap_or(self.annotations);
        write(&report, &out)?;
        println!("{}", out.join("report.html").display());
        Ok(())
    }

    /// The file of cells, where there is one.
    fn cells_file(&self, record: &ClusterAnnotations) -> Result<Option<PathBuf>> {
        if let Some(path) = &self.data {
            return Ok(Some(path.clone()));
        }
        let annotated = self.annotations.join("annotated.h5ad");
        let first = PathBuf::from(&record.data);
        let is_cells = record.clusters.iter().any(|one| one.cells.is_some());
        Ok([annotated, first].into_iter().find(|path| is_cells && path.exists()))
    }
}

fn of_record(record: &ClusterAnnotations) -> ClusterReport {
    let cost = match (record.usage.prompt_tokens + record.usage.completion_tokens, record.dollars) {
        (0, _) => String::new(),
        (tokens, Some(dollars)) => format!("{tokens} tokens, {dollars:.4} US dollars"),
        (tokens, None) => format!("{tokens} tokens, price unknown"),
    };
    let left = match record.left_for.as_slice() {
        [] => "nothing".to_owned(),
        places => format!("names of genes and clusters and the tissue, to {}", places.join(", ")),
    };
    let yes = |one: bool| if one { "searched" } else { "not searched" };
    let by_models = !record.prompt.is_empty();
    let facts = [
        ("Data", record.data.clone()),
        ("Clusters", record.clusters_from.clone()),
        ("Tissue", record.tissue.clone()),
        ("Named by", format!("{}: {}", record.provider, record.models.join(", "))),
        ("Prompt", record.prompt.clone()),
        ("Asked", if by_models { times(record.repeats) } else { String::new() }),
        ("Web", if by_models { yes(record.web).to_owned() } else { String::new() }),
        ("Cost", cost),
        ("Left this machine", left),
        ("Date", record.date.clone()),
        ("Version", format!("screader {}", record.screader)),
    ];
    let facts = facts.into_iter().filter(|(_, words)| !words.trim().is_empty());
    let name = Path::new(&record.data).file_name().map(|name| name.to_string_lossy().into_owned());
    ClusterReport {
        title: name.unwrap_or_else(|| record.data.clone()),
        facts: facts.map(|(term, words)| (term.to_owned(), words)).collect(),
        clusters: record.clusters.iter().map(named).collect(),
        notes: record.notes.clone(),
        ..ClusterReport::default()
    }
}

fn times(repeats: usize) -> String {
    if repeats == 1 { "once".to_owned() } else { format!("{repeats} times, and a vote taken") }
}

fn named(one: &ClusterAnnotation) -> NamedCluster {
    NamedCluster {
        cluster: one.cluster.clone(),
        cells: one.cells,
        label: one.label.clone(),
        ontology_id: one.ontology_id.clone(),
        confidence: one.confidence,
        evidence: one.evidence.clone(),
        alternatives: one.alternatives.clone(),
        markers: one.markers.clone(),
        sources: one.sources.iter().map(|page| (page.title.clone(), page.url.clone())).collect(),
        prompt: one.prompt.clone(),
        answers: one.answers.iter().map(|one| format!("{}: {}", one.model, one.text)).collect(),
    }
}

/// Place of a cluster of the cells among the named ones.
fn place_of(record: &ClusterAnnotations, cluster: &str) -> Option<usize> {
    record.clusters.iter().position(|one| one.cluster == cluster)
}

/// The cells of named clusters on their UMAP, where they have one.
fn mapped(
    cells: &ClusteredCells,
    record: &ClusterAnnotations,
    path: &Path,
) -> Result<Option<MappedCells>> {
    let Some(umap) = io::read_obsm(path, "X_umap", cells.obs.len())? else { return Ok(None) };
    let places: Vec<Option<usize>> =
        cells.clusters.iter().map(|cluster| place_of(record, cluster)).collect();
    let kept: Vec<(usize, usize)> = cells
        .cluster_of
        .iter()
        .enumerate()
        .filter_map(|(cell, cluster)| Some((cell, places[(*cluster)?]?)))
        .collect();
    let Dense { n_cols, values, .. } = umap;
    if n_cols < 2 {
        let place = format!("{}: obsm/X_umap", path.display());
        return Err(Error::input(place, "two columns or more", n_cols, "make it again"));
    }
    let measure = |(column, name): &(&str, &str)| {
        let column = cells.obs.column(column)?;
        let number = |cell: usize| match column {
            Column::Float(values) => values[cell] as f32,
            Column::Integer(values) => values[cell].map_or(f32::NAN, |value| value as f32),
            _ => f32::NAN,
        };
        Some(((*name).to_owned(), kept.iter().map(|&(cell, _)| number(cell)).collect()))
    };
    Ok(Some(MappedCells {
        points: kept
            .iter()
            .map(|&(cell, _)| [values[cell * n_cols], values[cell * n_cols + 1]])
            .collect(),
        clusters: kept.iter().map(|&(_, place)| place).collect(),
        measures: MEASURES.iter().filter_map(measure).collect(),
    }))
}

/// The first markers of every cluster, in all clusters; nothing where the cells have none of them.
fn dots(cells: &ClusteredCells, record: &ClusterAnnotations) -> Result<Option<DotPlot>> {
    let mut columns: Vec<usize> = Vec::new();
    for name in record.clusters.iter().flat_map(|one| one.markers.iter().take(DOTS)) {
        let column = cells.genes.iter().position(|gene| gene == name);
        columns.extend(column.filter(|column| !columns.contains(column)));
    }
    if columns.is_empty() {
        return Ok(None);
    }
    let expression = select_columns(cells, &columns)?;
    let genes = columns.iter().map(|&column| cells.genes[column].clone()).collect();
    Ok(Some(DotPlot::measure(&expression, genes, &cells.cluster_of, &cells.clusters)))
}
