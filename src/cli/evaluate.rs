//! `screader evaluate`: labels and the truth in, how many are right and in which sense out.

pub(super) mod compare;
mod overlap;
pub(super) mod table;

use std::path::{Path, PathBuf};

use clap::Args;

use crate::annotate::GENES_OF_A_GENOME;
use crate::genes::Species;
use crate::ontology::CellOntology;
use crate::score::GptCellType;
use crate::{Error, Result, whole_file};
use compare::{Compared, as_text, require_confusion, write_confusion, write_pairs};

/// Compare labels with the truth, layer by layer, or markers of clusters with known ones of their labels.
///
/// Layers: the same words; the same type of the Cell Ontology; a kind of it; words alike (not where the ontology
/// knows both); the same broad type, worth a half. "right" are the first three, "credit" is all. Of cells (an h5ad)
/// or of clusters (a csv, a row each). Several files and several --predicted are compared side by side, so that
/// prompts, models or methods can be. With --marker-table: the overlap of each cluster's markers with those of
/// its label, and whether that could be chance.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  screader evaluate named/annotated.h5ad --predicted screader_cell_type --truth cell_type --clusters leiden
  screader evaluate clusters.csv --predicted gpt4,markers --truth manual --ontology cl-basic.obo
  screader evaluate clusters.csv --predicted gpt4 --truth manual \\
      --gptcelltype label_to_CL.csv --relation relation.csv
  screader evaluate named --marker-table PanglaoDB_markers.tsv --ontology cl-basic.obo")]
pub(super) struct EvaluateArgs {
    /// Cells as h5ad, csv of clusters, or with --marker-table a folder of `screader annotate`.
    #[arg(value_name = "FILE", required = true)]
    data: Vec<PathBuf>,
    /// Columns with labels, separated by commas.
    #[arg(
        long,
        value_name = "COLUMNS",
        value_delimiter = ',',
        default_value = "screader_cell_type"
    )]
    predicted: Vec<String>,
    /// Column with the true labels; rows without one are left out.
    #[arg(long, value_name = "COLUMN", default_value = "cell_type")]
    truth: String,
    /// Column with clusters: they are compared too, each by what most of its rows say.
    #[arg(long, value_name = "COLUMN")]
    clusters: Option<String>,
    /// Leave rows without a label out; else they count as unknown. "unknown" itself always counts.
    #[arg(long)]
    only_answered: bool,
    /// The Cell Ontology (cl-basic.obo).
    #[arg(long, value_name = "OBO")]
    ontology: Option<PathBuf>,
    /// GPTCelltype's table of labels, for its published score.
    #[arg(long, value_name = "CSV", requires = "relation")]
    gptcelltype: Option<PathBuf>,
    /// Its table of related broad types.
    #[arg(long, value_name = "CSV", requires = "gptcelltype")]
    relation: Option<PathBuf>,
    /// Write each pair of true and given label with its layer and its rows.
    #[arg(long, value_name = "CSV")]
    out: Option<PathBuf>,
    /// Write the confusion matrix, true labels down, given ones across: a table where the name ends in .csv, drawn
    /// where it ends in .svg or .png.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["marker_table", "clusters"])]
    confusion: Option<PathBuf>,
    /// Table of known markers, as for `screader annotate`; may be repeated.
    #[arg(long, value_name = "FILE")]
    marker_table: Vec<PathBuf>,
    /// Species of the cells: which rows of a marker table count.
    #[arg(long, value_enum, requires = "marker_table")]
    species: Option<Species>,
    /// Markers of each cluster that are compared.
    #[arg(long, value_name = "N", default_value_t = 25, requires = "marker_table")]
    n_markers: usize,
    /// Genes that markers were found among.
    #[arg(long, value_name = "N", default_value_t = GENES_OF_A_GENOME, requires = "marker_table")]
    genes: usize,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl EvaluateArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        for path in [&self.out, &self.confusion].into_iter().flatten() {
            whole_file::require_folder(path)?;
        }
        self.confusion.as_deref().map(require_confusion).transpose()?;
        let ontology = self.ontology.as_deref().map(CellOntology::read).transpose()?;
        if !self.marker_table.is_empty() {
            return self.compare_markers(ontology.as_ref());
        }
        let comparisons = self.data.len() * self.predicted.len();
        if self.confusion.is_some() && comparisons != 1 {
            return Err(too_many(comparisons));
        }
        let tables = match (&self.gptcelltype, &self.relation) {
            (Some(labels), Some(relation)) => Some(GptCellType::read(labels, relation)?),
            _ => None,
        };
        let mut results = Vec::new();
        for path in &self.data {
            results.extend(self.compare_labels(path, ontology.as_ref(), tables.as_ref())?);
        }
        if let (Some(path), [only]) = (&self.confusion, results.as_slice()) {
            write_confusion(path, &only.confusion())?;
        }
        if let Some(path) = &self.out {
            write_pairs(path, &results)?;
        }
        match self.json {
            true => println!("{:#}", serde_json::json!(results)),
            false => print!("{}", as_text(results.iter())),
        }
        Ok(())
    }

    /// Compare every column of a file, by rows and by clusters.
    fn compare_labels(
        &self,
        path: &Path,
        ontology: Option<&CellOntology>,
        tables: Option<&GptCellType>,
    ) -> Result<Vec<Compared>> {
        let frame = table::read(path)?;
        let truth = table::column(path, &frame, &self.truth)?;
        let clusters = self.clusters.as_deref().map(|name| table::column(path, &frame, name));
        let clusters = clusters.transpose()?;
        let mut results = Vec::new();
        for column in &self.predicted {
            let labels = table::column(path, &frame, column)?;
            let name = match self.data.len() {
                1 => column.clone(),
                _ => format!("{}: {column}", path.display()),
            };
            let rows = table::pairs(&truth, &labels, self.only_answered);
            results.push(Compared::new(&name, "rows", rows, ontology, tables));
            if let Some(clusters) = &clusters {
                let [truth, labels] = [&truth, &labels].map(|column| {
                    table::by_cluster(clusters, column).into_values().collect::<Vec<_>>()
                });
                let rows = table::pairs(&truth, &labels, self.only_answered);
                results.push(Compared::new(&name, "clusters", rows, ontology, tables));
            }
        }
        if results.iter().all(Compared::is_empty) {
            let place = format!("{}: {}", path.display(), self.truth);
            return Err(Error::input(place, "true labels", "none", "name another column"));
        }
        Ok(results)
    }
}

fn too_many(found: usize) -> Error {
    let expected = "one file and one column";
    let remedy = "write the matrices one after the other, or all pairs with --out";
    Error::input("evaluate --confusion", expected, format!("{found} comparisons"), remedy)
}
