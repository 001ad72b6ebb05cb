//! What a run leaves: every cluster's name and all that it rests on.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::llm::{Source, Usage};
use crate::{Error, Result, whole_file};

/// The name of a cluster that cannot be told.
pub const UNKNOWN: &str = "unknown";
/// Name of the file in the folder of a run.
pub const ANNOTATIONS: &str = "annotations.json";
/// Version of the file.
const VERSION: u32 = 1;

/// The named clusters of a run: `annotations.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterAnnotations {
    /// Version of this layout.
    pub version: u32,
    /// Version of screader.
    pub screader: String,
    /// Day of the run.
    pub date: String,
    /// The cells or the table of markers.
    pub data: String,
    /// Where the clusters came from, as `obs/leiden`.
    pub clusters_from: String,
    /// Who named them: `markers`, `openai`, `ollama`, `local`.
    pub provider: String,
    /// Language models asked, or tables consulted.
    pub models: Vec<String>,
    /// Name of the prompt; empty for tables.
    pub prompt: String,
    /// Tissue, as the user named it.
    pub tissue: String,
    /// Whether the web could be searched.
    pub web: bool,
    /// How often each question was asked.
    pub repeats: usize,
    /// Addresses that markers and names went to; empty where nothing left this machine.
    pub left_for: Vec<String>,
    /// Tokens read and written.
    pub usage: Usage,
    /// What that cost in US dollars, where known.
    pub dollars: Option<f64>,
    /// What went otherwise than asked.
    pub notes: Vec<String>,
    /// The clusters.
    pub clusters: Vec<ClusterAnnotation>,
}

/// One cluster and its name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterAnnotation {
    /// Name of the cluster.
    pub cluster: String,
    /// Number of its cells, where there are cells.
    pub cells: Option<usize>,
    /// The cell type, or [`UNKNOWN`].
    pub label: String,
    /// Its id in the Cell Ontology.
    pub ontology_id: Option<String>,
    /// Its name there.
    pub ontology_name: Option<String>,
    /// From 0 to 1: agreement of the answers, or what the one answer says of itself.
    pub confidence: Option<f64>,
    /// Why.
    pub evidence: String,
    /// What else it may be, likeliest first.
    pub alternatives: Vec<String>,
    /// Markers that were shown, best first.
    pub markers: Vec<String>,
    /// Pages that answers rest on.
    pub sources: Vec<Source>,
    /// The question, once for all clusters that it asked about.
    pub prompt: String,
    /// The answers, word by word.
    pub answers: Vec<Answer>,
}

/// One answer about a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Who answered.
    pub model: String,
    /// The label that was read from it.
    pub label: String,
    /// Its words.
    pub text: String,
}

impl ClusterAnnotations {
    /// The version of this layout.
    pub fn layout() -> u32 {
        VERSION
    }

    /// Write `annotations.json` and `annotations.csv` into a folder.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be written to.
    pub fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
        let path = folder.join("annotations.csv");
        whole_file::write(&path, &self.table(&path)?)?;
        let path = folder.join(ANNOTATIONS);
        let json = serde_json::to_vec_pretty(self);
        whole_file::write(&path, &json.map_err(|error| Error::io(&path, "write")(error.into()))?)
    }

    fn table(&self, path: &Path) -> Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let wrong = |error: csv::Error| Error::io(path, "write")(std::io::Error::other(error));
        let columns = [
            "cluster",
            "cells",
            "label",
            "ontology_id",
            "ontology_name",
            "confidence",
            "alternatives",
            "markers",
            "evidence",
        ];
        writer.write_record(columns).map_err(wrong)?;
        for one in &self.clusters {
            let row = [
                one.cluster.clone(),
                one.cells.map(|cells| cells.to_string()).unwrap_or_default(),
                one.label.clone(),
                one.ontology_id.clone().unwrap_or_default(),
                one.ontology_name.clone().unwrap_or_default(),
                one.confidence.map(|value| format!("{value:.4}")).unwrap_or_default(),
                one.alternatives.join("; "),
                one.markers.join(", "),
                one.evidence.clone(),
            ];
            writer.write_record(row).map_err(wrong)?;
        }
        writer
            .into_inner()
            .map_err(|error| Error::io(path, "write")(std::io::Error::other(error.to_string())))
    }
}

/// Read `annotations.json` of a folder.
///
/// # Errors
/// A file that is not there, or of another layout.
pub fn read_annotations(folder: &Path) -> Result<ClusterAnnotations> {
    let path = folder.join(ANNOTATIONS);
    if !path.is_file() {
        let found = if folder.is_file() { "another file" } else { "none" };
        let expected = format!("a folder of `screader annotate` with its {ANNOTATIONS}");
        return Err(Error::input(folder.display(), expected, found, "name that folder"));
    }
    let bytes = std::fs::read(&path).map_err(Error::io(&path, "open"))?;
    let read: std::result::Result<ClusterAnnotations, _> = serde_json::from_slice(&bytes);
    let wrong = |found: String| {
        let expected = format!("annotations of layout {VERSION}");
        Error::input(path.display(), expected, found, "run `screader annotate` again")
    };
    let read = read.map_err(|error| wrong(error.to_string()))?;
    if read.version != VERSION {
        return Err(wrong(format!("layout {}", read.version)));
    }
    Ok(read)
}
