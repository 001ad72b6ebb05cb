//! What a method said in a trial, and its record on disk, from which a report can be made again.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::summary::Role;
use super::trial::Trial;
use crate::baselines::Prediction;
use crate::cells::Dense;
use crate::{Error, Result, whole_file};

/// What a method said of the test cells.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Class of each test cell, counted among [`Trial::classes`].
    pub predicted: Vec<usize>,
    /// How sure the method is of it, from 0 to 1.
    pub confidence: Vec<f32>,
    /// How new the method takes each cell to be, where it goes by more than its confidence.
    pub novelty: Option<Vec<f32>>,
    /// Which cells the method itself calls "unknown", where it does so.
    pub unknown: Option<Vec<bool>>,
    /// The test cells as the method sees them, `[cells, dimensions]`.
    pub embedding: Option<Dense>,
    /// Seconds of learning.
    pub fit_seconds: f64,
    /// Seconds of naming the test cells.
    pub read_seconds: f64,
}

impl Outcome {
    /// Take what a method predicted; it was as sure as its class was probable.
    pub fn of(said: Prediction) -> Self {
        let Prediction { probabilities, classes } = said;
        let rows = probabilities.values.chunks_exact(probabilities.n_cols.max(1));
        let confidence = rows.zip(&classes).map(|(row, &class)| row[class].clamp(0.0, 1.0));
        Self { confidence: confidence.collect(), predicted: classes, ..Self::default() }
    }
}

/// A method's reply.
pub enum Reply {
    /// It named the cells.
    Answered(Outcome),
    /// It has no way to, and why.
    CannotAnswer(String),
}

/// The record of one method in one trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// What the record depends on; another key means that it is out of date.
    pub key: String,
    /// The setting.
    pub setting: String,
    /// Its variant.
    pub variant: String,
    /// The trial's name.
    pub trial: String,
    /// The method's name.
    pub method: String,
    /// The method's name in tables.
    pub label: String,
    /// What the method is in the comparison.
    pub role: Role,
    /// Cell types of the source, which the classes below count.
    pub classes: Vec<String>,
    /// Classes that could be learned.
    pub learned: Vec<usize>,
    /// Row of each test cell among the labelled cells of its file.
    pub cells: Vec<usize>,
    /// True class of each test cell.
    pub truth: Vec<usize>,
    /// Why there is no answer.
    pub cannot_answer: Option<String>,
    /// Named class of each test cell.
    pub predicted: Vec<usize>,
    /// Confidence of each.
    pub confidence: Vec<f32>,
    /// How new the method takes each to be, where it goes by more than its confidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub novelty: Option<Vec<f32>>,
    /// Which of them the method itself calls "unknown", where it does so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<Vec<bool>>,
    /// The test cells as the method sees them, kept of the first trial, for the report's pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<Vec<Vec<f32>>>,
    /// Seconds of learning.
    pub fit_seconds: f64,
    /// Seconds of naming.
    pub read_seconds: f64,
    /// Highest resident memory during the trial, in bytes.
    pub peak_memory: Option<u64>,
}

impl Record {
    /// Where the record of a method in a trial lies.
    pub fn path(folder: &Path, trial: &Trial<'_>, method: &str) -> PathBuf {
        let mut path = folder.join("trials").join(trial.setting.name());
        if !trial.variant.is_empty() {
            path.push(file_name(&trial.variant));
        }
        path.push(file_name(&trial.name));
        path.join(format!("{method}.json"))
    }

    /// Read the record at `path`, if there is one that depends on `key`.
    pub fn current(path: &Path, key: &str) -> Option<Self> {
        let bytes = std::fs::read(path).ok()?;
        let record: Self = serde_json::from_slice(&bytes).ok()?;
        (record.key == key).then_some(record)
    }

    /// Write the record to `path`, whole.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk refuses.
    pub fn write(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
        }
        let text = serde_json::to_vec(self)
            .map_err(|error| Error::input(path.display(), "numbers", error, "report this"))?;
        whole_file::write(path, &text)
    }
}

/// A name as a file name that every system takes: letters, digits, `-` and `_` stay; what is changed is
/// told apart by a few digits of the name's hash.
pub fn file_name(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let kept: String = name.chars().map(|c| if plain(c) { c } else { '_' }).take(60).collect();
    let is_same = kept.replace('_', " ") == name.replace('_', " ");
    if is_same { kept } else { format!("{kept}-{}", &fingerprint(name)[..8]) }
}

/// SHA-256 of a text, in hexadecimal.
pub fn fingerprint(text: &str) -> String {
    format!("{:x}", Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_plain_and_differ() {
        assert_eq!(file_name("fold 1"), "fold_1");
        let odd = file_name("without T/NK <cells>");
        assert!(odd.starts_with("without_T_NK__cells_-"), "{odd}");
        assert_ne!(file_name("a/b"), file_name("a:b"));
        assert!(file_name(&"x".repeat(300)).len() < 80);
        assert!(!file_name("../..").contains('.'));
    }
}
