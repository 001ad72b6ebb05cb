//! What a comparison found, as plain data: the JSON of every number, and all that the report draws.

use serde::{Deserialize, Serialize};

/// The whole comparison on one data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Name of the data set.
    pub title: String,
    /// What was typed.
    pub command: String,
    /// Day of the report, as `2026-11-21`.
    pub date: String,
    /// Processor, threads and device.
    pub machine: String,
    /// Version of screader.
    pub version: String,
    /// What was compared on.
    pub data: DataSummary,
    /// The settings, in the order asked for.
    pub settings: Vec<SettingSummary>,
    /// Held-out cells as three methods see them, side by side.
    pub embeddings: Vec<EmbeddingSummary>,
    /// What the reader must know.
    pub notes: Vec<String>,
}

/// The data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataSummary {
    /// The file.
    pub path: String,
    /// Labelled cells.
    pub cells: usize,
    /// Genes of the matrix.
    pub genes: usize,
    /// How the genes were found in the gene table.
    pub coverage: String,
    /// The matrix that was read and what it holds, as `X (counts)`.
    pub matrix: String,
    /// Each cell type with its cells, most common first.
    pub types: Vec<(String, usize)>,
    /// What made the gene embeddings.
    pub gene_table: String,
    /// The backbone.
    pub backbone: String,
}

/// All methods under one setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SettingSummary {
    /// `standard`, `disjoint-genes`, ...
    pub setting: String,
    /// Which of several variants, as `5 cells a type`; empty where there is one.
    pub variant: String,
    /// What is asked here, in a sentence.
    pub question: String,
    /// Number of trials (folds, repeats).
    pub trials: usize,
    /// Test cells of all trials together.
    pub test_cells: usize,
    /// Cell types, which `confusion` and `per_class` count.
    pub classes: Vec<String>,
    /// The methods, in the order asked for.
    pub methods: Vec<MethodSummary>,
    /// Name of the baseline with the highest macro-F1, to which the others are compared.
    pub best_baseline: Option<String>,
}

/// What a method is in the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The method that is to be judged.
    Screader,
    /// The same with one part taken away.
    Control,
    /// What a user would reach for instead.
    Baseline,
}

/// One method under one setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodSummary {
    /// Name on the command line, as `genept-w-knn`.
    pub name: String,
    /// Name in tables and figures, as `GenePT-w, 10-NN`.
    pub label: String,
    /// What it is in the comparison.
    pub role: Role,
    /// Why it cannot answer here; then there is no result.
    pub cannot_answer: Option<String>,
    /// What it reached.
    pub result: Option<MethodResult>,
}

/// A number over trials.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct MeanSd {
    /// Mean over the trials.
    pub mean: f64,
    /// Standard deviation over the trials (n - 1), 0 for one trial.
    pub sd: f64,
}

/// What a method reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodResult {
    /// Part of the cells named right.
    pub accuracy: MeanSd,
    /// Mean recall over classes.
    pub balanced_accuracy: MeanSd,
    /// Plain mean of the classes' precision.
    pub macro_precision: MeanSd,
    /// Plain mean of the classes' recall.
    pub macro_recall: MeanSd,
    /// Plain mean of the classes' F1.
    pub macro_f1: MeanSd,
    /// Mean of the classes' precision, weighted by their cells.
    pub weighted_precision: MeanSd,
    /// Mean of the classes' recall, weighted by their cells.
    pub weighted_recall: MeanSd,
    /// Mean of the classes' F1, weighted by their cells.
    pub weighted_f1: MeanSd,
    /// Against the best baseline; absent for that baseline itself.
    pub difference: Option<Difference>,
    /// Expected calibration error of all test cells, 15 bins.
    pub calibration_error: f64,
    /// The bins behind it that hold cells.
    pub reliability: Vec<ReliabilityBin>,
    /// Test cells named in a second.
    pub cells_per_second: f64,
    /// Seconds of learning, a trial.
    pub fit_seconds: MeanSd,
    /// Highest resident memory of the process during a trial, in bytes, where the system tells.
    pub peak_memory: Option<u64>,
    /// Scores of each class over all test cells together, one per entry of `classes` that occurs.
    pub per_class: Vec<ClassResult>,
    /// Cells of true class `t` named `p`, at `t * classes + p`, all trials together.
    pub confusion: Vec<usize>,
    /// How well cells of a type that was not learned are told.
    pub novelty: Option<Novelty>,
}

/// A method's distance to another on the same cells, with a 95 % interval from a paired bootstrap over
/// cells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The other method's name.
    pub to: String,
    /// Difference of accuracy.
    pub accuracy: Interval,
    /// Difference of macro-F1.
    pub macro_f1: Interval,
}

/// An estimate with a 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// The estimate.
    pub estimate: f64,
    /// Upper end.
    pub high: f64,
}

/// Cells of like confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Their mean confidence.
    pub confidence: f64,
    /// Part of them named right.
    pub accuracy: f64,
    /// How many they are.
    pub cells: usize,
}

/// Scores of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassResult {
    /// Its name.
    pub class: String,
    /// Part of the cells named so that are so.
    pub precision: f64,
    /// Part of its cells that are named so.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
    /// Its cells.
    pub cells: usize,
}

/// How well cells of a type that was not learned are told from the others, by low confidence or by what else the
/// method goes by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Novelty {
    /// Chance that a new cell is taken for newer than a known one.
    pub auroc: f64,
    /// Part of the new cells called unknown at the threshold that keeps 95 % of the known ones.
    pub recall_at_95: f64,
    /// Part of the new cells that the method itself calls unknown, where it does so.
    pub recall: Option<f64>,
    /// Part of the known cells that it does not.
    pub kept: Option<f64>,
}

/// Held-out cells in two dimensions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmbeddingSummary {
    /// What the cells are seen by, as `GenePT-w`.
    pub label: String,
    /// UMAP coordinates, one pair per cell.
    pub points: Vec<[f32; 2]>,
    /// Class of each cell.
    pub classes: Vec<usize>,
    /// Names of the classes.
    pub names: Vec<String>,
    /// Mean silhouette of the classes in the embedding itself (not in its picture), from -1 to 1.
    pub silhouette: f64,
    /// Mean part of a cell's 10 nearest neighbours in the embedding itself that are of its class.
    pub knn_purity: f64,
}
