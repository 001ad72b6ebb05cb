//! `screader evaluate`: labels and the truth in, how many are right and in which sense out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::cells::Frame;
use crate::io::{self, ReadOptions};
use crate::ontology::CellOntology;
use crate::score::{GptCellType, LabelMatch};
use crate::{Error, Result, whole_file};

/// Compare labels with the truth, layer by layer: the same words, the same type of the Cell Ontology, a kind of it.
///
/// Of cells (an h5ad) or of clusters (a csv, a row each). Several --predicted are compared side by side, so that
/// prompts, models or methods can be.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  screader evaluate named/annotated.h5ad --predicted screader_cell_type --truth cell_type
  screader evaluate clusters.csv --predicted gpt4,markers --truth manual --ontology cl-basic.obo
  screader evaluate clusters.csv --predicted gpt4 --truth manual \\
      --gptcelltype label_to_CL.csv --relation relation.csv")]
pub(super) struct EvaluateArgs {
    /// Cells as h5ad, or a csv of clusters.
    #[arg(value_name = "FILE")]
    data: PathBuf,
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
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// The labels of one column beside the truth.
#[derive(Debug, Serialize)]
struct Compared {
    predicted: String,
    compared: usize,
    exact: usize,
    synonym: usize,
    descendant: usize,
    wrong: usize,
    unknown: usize,
    /// Exact, synonym and descendant, as a part of what was compared.
    right: f64,
    /// GPTCelltype's mean score.
    gptcelltype: Option<f64>,
    #[serde(skip)]
    pairs: Vec<Pair>,
}

#[derive(Debug)]
struct Pair {
    truth: String,
    label: String,
    layer: LabelMatch,
    score: Option<f64>,
    rows: usize,
}

impl EvaluateArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        let ontology = self.ontology.as_deref().map(CellOntology::read).transpose()?;
        let tables = match (&self.gptcelltype, &self.relation) {
            (Some(labels), Some(relation)) => Some(GptCellType::read(labels, relation)?),
            _ => None,
        };
        let table = self.table()?;
        let truth = column(&self.data, &table, &self.truth)?;
        let mut results = Vec::new();
        for name in &self.predicted {
            let labels = column(&self.data, &table, name)?;
            // Each pair of labels once, however many cells have it.
            let mut rows: BTreeMap<(String, String), usize> = BTreeMap::new();
            for (label, truth) in labels.into_iter().zip(&truth) {
                let Some(truth) = truth else { continue };
                if label.is_some() || !self.only_answered {
                    *rows.entry((truth.clone(), label.unwrap_or_default())).or_default() += 1;
                }
            }
            results.push(compare(name, rows, ontology.as_ref(), tables.as_ref()));
        }
        if results.iter().all(|one| one.compared == 0) {
            let place = format!("{}: {}", self.data.display(), self.truth);
            return Err(Error::input(place, "true labels", "none", "name another column"));
        }
        if let Some(path) = &self.out {
            write_pairs(path, &results)?;
        }
        match self.json {
            true => println!("{:#}", serde_json::json!(results)),
            false => print!("{}", as_text(&results)),
        }
        Ok(())
    }

    fn table(&self) -> Result<Frame> {
        let name = self.data.to_string_lossy().to_lowercase();
        if !(name.ends_with(".csv") || name.ends_with(".tsv")) {
            return Ok(io::read(&self.data, &ReadOptions::default())?.obs);
        }
        let wrong = |found: String| {
            Error::input(self.data.display(), "a table with a header", found, "save it as csv")
        };
        let bytes = std::fs::read(&self.data).map_err(Error::io(&self.data, "open"))?;
        let delimiter = if name.ends_with(".tsv") { b'\t' } else { b',' };
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(&bytes[..]);
        let header = reader.headers().map_err(|error| wrong(error.to_string()))?.clone();
        let rows: Vec<csv::StringRecord> = reader
            .records()
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| wrong(error.to_string()))?;
        let entry = |text: &str| (!text.is_empty() && text != "NA").then(|| text.to_owned());
        let columns = header.iter().enumerate().map(|(at, name)| {
            let texts = rows.iter().map(|row| entry(&row[at])).collect();
            (name.to_owned(), crate::cells::Column::Text(texts))
        });
        let index = (0..rows.len()).map(|row| row.to_string()).collect();
        Ok(Frame { index, columns: columns.collect() })
    }
}

fn column(path: &Path, table: &Frame, name: &str) -> Result<Vec<Option<String>>> {
    let found = table.column(name).ok_or_else(|| {
        let names: Vec<&str> = table.names().collect();
        let found = format!("[{}]", names.join(", ")).replace(['\n', '\r'], " ");
        Error::input(path.display(), format!("a column {name}"), found, "name one of these")
    })?;
    Ok((0..table.len()).map(|row| found.text(row)).collect())
}

fn compare(
    name: &str,
    rows: BTreeMap<(String, String), usize>,
    ontology: Option<&CellOntology>,
    tables: Option<&GptCellType>,
) -> Compared {
    let pair = |((truth, label), rows): ((String, String), usize)| {
        let layer = LabelMatch::of(Some(&label), &truth, ontology);
        let score = tables.map(|tables| match layer {
            LabelMatch::Unknown => 0.0,
            _ => tables.score((&label, &tables.meaning(&label)), (&truth, &tables.meaning(&truth))),
        });
        Pair { truth, label, layer, score, rows }
    };
    let pairs: Vec<Pair> = rows.into_iter().map(pair).collect();
    let count = |layer: LabelMatch| {
        pairs.iter().filter(|one| one.layer == layer).map(|one| one.rows).sum::<usize>()
    };
    let compared: usize = pairs.iter().map(|one| one.rows).sum();
    let right: usize = pairs.iter().filter(|one| one.layer.is_right()).map(|one| one.rows).sum();
    let mean = |total: f64| total / compared.max(1) as f64;
    let scores: Option<f64> =
        pairs.iter().map(|one| one.score.map(|score| score * one.rows as f64)).sum();
    Compared {
        predicted: name.to_owned(),
        compared,
        exact: count(LabelMatch::Exact),
        synonym: count(LabelMatch::Synonym),
        descendant: count(LabelMatch::Descendant),
        wrong: count(LabelMatch::Wrong),
        unknown: count(LabelMatch::Unknown),
        right: mean(right as f64),
        gptcelltype: tables.and(scores).map(mean),
        pairs,
    }
}

fn as_text(results: &[Compared]) -> String {
    let widest = results.iter().map(|one| one.predicted.chars().count()).max().unwrap_or(0).max(9);
    let mut text = format!("{:widest$}{:>10}{:>8}", "", "compared", "right");
    for layer in LabelMatch::ALL {
        text.push_str(&format!("{:>12}", layer.name()));
    }
    let scored = results.iter().any(|one| one.gptcelltype.is_some());
    text.push_str(if scored { "  GPTCelltype\n" } else { "\n" });
    for one in results {
        text.push_str(&format!("{:widest$}{:>10}{:>8.3}", one.predicted, one.compared, one.right));
        for count in [one.exact, one.synonym, one.descendant, one.wrong, one.unknown] {
            text.push_str(&format!("{count:>12}"));
        }
        if let Some(score) = one.gptcelltype {
            text.push_str(&format!("{score:>13.4}"));
        }
        text.push('\n');
    }
    text
}

fn write_pairs(path: &Path, results: &[Compared]) -> Result<()> {
    let wrong = |error: csv::Error| Error::io(path, "write")(std::io::Error::other(error));
    let mut writer = csv::Writer::from_writer(whole_file::begin(path)?);
    let columns = ["predicted", "truth", "label", "layer", "gptcelltype", "rows"];
    writer.write_record(columns).map_err(wrong)?;
    for (one, pair) in results.iter().flat_map(|one| one.pairs.iter().map(move |pair| (one, pair)))
    {
        let score = pair.score.map(|score| score.to_string()).unwrap_or_default();
        let (layer, rows) = (pair.layer.name(), pair.rows.to_string());
        let row = [&one.predicted, &pair.truth, &pair.label, layer, &score, &rows];
        writer.write_record(row).map_err(wrong)?;
    }
    let file = writer
        .into_inner()
        .map_err(|error| Error::io(path, "write")(std::io::Error::other(error.to_string())))?;
    whole_file::put(file, path)
}
