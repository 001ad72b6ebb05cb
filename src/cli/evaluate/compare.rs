//! Labels beside the truth: each pair of them once, with how near it comes.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::annotate::UNKNOWN;
use crate::ontology::CellOntology;
use crate::report::ConfusionMap;
use crate::score::{GptCellType, LabelMatch};
use crate::{Error, Result, whole_file};

/// True and given labels with the rows that have them.
pub(in crate::cli) type Rows = BTreeMap<(String, String), usize>;

/// The labels of one column beside the truth.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Compared {
    /// The column, after its file where there are several.
    predicted: String,
    /// What a row is: `rows` of the file, or `clusters` of them.
    of: &'static str,
    compared: usize,
    /// Rows of each layer.
    #[serde(flatten)]
    layers: BTreeMap<&'static str, usize>,
    /// Exact, synonym and descendant, as a part of what was compared.
    right: f64,
    /// The same with fuzzy, and with a half for the broad type.
    credit: f64,
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

impl Compared {
    /// Compare every pair once, however many rows have it.
    pub(in crate::cli) fn new(
        predicted: &str,
        of: &'static str,
        rows: Rows,
        ontology: Option<&CellOntology>,
        tables: Option<&GptCellType>,
    ) -> Self {
        let pair = |((truth, label), rows): ((String, String), usize)| {
            let layer = LabelMatch::of(Some(&label), &truth, ontology);
            let score = tables.map(|tables| match layer {
                LabelMatch::Unknown => 0.0,
                _ => tables
                    .score((&label, &tables.meaning(&label)), (&truth, &tables.meaning(&truth))),
            });
            Pair { truth, label, layer, score, rows }
        };
        let pairs: Vec<Pair> = rows.into_iter().map(pair).collect();
        let count = |layer: LabelMatch| {
            let rows = pairs.iter().filter(|one| one.layer == layer).map(|one| one.rows);
            (layer.name(), rows.sum())
        };
        let compared: usize = pairs.iter().map(|one| one.rows).sum();
        let mean = |of: &dyn Fn(&Pair) -> f64| {
            let total: f64 = pairs.iter().map(|one| of(one) * one.rows as f64).sum();
            total / compared.max(1) as f64
        };
        Self {
            predicted: predicted.to_owned(),
            of,
            compared,
            layers: LabelMatch::ALL.map(count).into(),
            right: mean(&|one| f64::from(u8::from(one.layer.is_right()))),
            credit: mean(&|one| one.layer.credit()),
            gptcelltype: tables.map(|_| mean(&|one| one.score.unwrap_or(0.0))),
            pairs,
        }
    }

    /// Whether there was anything to compare.
    pub(super) fn is_empty(&self) -> bool {
        self.compared == 0
    }

    /// What [`Self::values`] are.
    pub(in crate::cli) fn columns() -> Vec<String> {
        let layers = LabelMatch::ALL.iter().map(|layer| layer.name());
        ["compared"]
            .into_iter()
            .chain(layers)
            .chain(["right", "credit"])
            .map(str::to_owned)
            .collect()
    }

    /// Numbers for a table.
    pub(in crate::cli) fn values(&self) -> Vec<String> {
        let counts = [self.compared].into_iter().chain(self.counts()).map(|one| one.to_string());
        counts.chain([self.right, self.credit].map(|one| format!("{one:.4}"))).collect()
    }

    /// Rows of each layer, the best first.
    fn counts(&self) -> [usize; LabelMatch::ALL.len()] {
        LabelMatch::ALL.map(|layer| self.layers[layer.name()])
    }
}

/// A line for each.
pub(in crate::cli) fn as_text<'a>(results: impl Iterator<Item = &'a Compared> + Clone) -> String {
    let widest = results.clone().map(|one| one.predicted.chars().count()).max().unwrap_or(0).max(9);
    let mut text =
        format!("{:widest$}{:>10}{:>10}{:>8}{:>8}", "", "of", "compared", "right", "credit");
    for layer in LabelMatch::ALL {
        text.push_str(&format!("{:>11}", layer.name()));
    }
    let scored = results.clone().any(|one| one.gptcelltype.is_some());
    text.push_str(if scored { "  GPTCelltype\n" } else { "\n" });
    for one in results {
        let Compared { predicted, of, compared, right, credit, .. } = one;
        text.push_str(&format!(
            "{predicted:widest$}{of:>10}{compared:>10}{right:>8.3}{credit:>8.3}"
        ));
        for count in one.counts() {
            text.push_str(&format!("{count:>11}"));
        }
        if let Some(score) = one.gptcelltype {
            text.push_str(&format!("{score:>13.4}"));
        }
        text.push('\n');
    }
    text
}

/// Write each pair with its layer and its rows: `predicted,of,truth,label,layer,gptcelltype,rows`.
pub(super) fn write_pairs(path: &Path, results: &[Compared]) -> Result<()> {
    let mut table = vec![
        ["predicted", "of", "truth", "label", "layer", "gptcelltype", "rows"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for (one, pair) in results.iter().flat_map(|one| one.pairs.iter().map(move |pair| (one, pair)))
    {
        let score = pair.score.map(|score| score.to_string()).unwrap_or_default();
        let (layer, rows) = (pair.layer.name().to_owned(), pair.rows.to_string());
        let (predicted, of) = (one.predicted.clone(), one.of.to_owned());
        table.push(vec![predicted, of, pair.truth.clone(), pair.label.clone(), layer, score, rows]);
    }
    write_table(path, &table)
}

impl Compared {
    /// Count how often what is named so: true labels by their rows, the commonest first, and given ones in the order
    /// of the true ones that they are given to most.
    pub(super) fn confusion(&self) -> ConfusionMap {
        let mut rows_of: BTreeMap<&str, usize> = BTreeMap::new();
        for pair in &self.pairs {
            *rows_of.entry(&pair.truth).or_default() += pair.rows;
        }
        let mut truths: Vec<&str> = rows_of.keys().copied().collect();
        truths.sort_by_key(|truth| std::cmp::Reverse(rows_of[truth]));
        // Where each label is given most, and how often there.
        let mut most: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for (row, truth) in truths.iter().enumerate() {
            for pair in self.pairs.iter().filter(|pair| pair.truth == *truth) {
                let best = most.entry(&pair.label).or_insert((row, pair.rows));
                if pair.rows > best.1 {
                    *best = (row, pair.rows);
                }
            }
        }
        let mut labels: Vec<&str> = most.keys().copied().collect();
        let is_unknown = |label: &str| LabelMatch::of(Some(label), "", None) == LabelMatch::Unknown;
        labels.sort_by_key(|&label| {
            let (row, rows) = most[label];
            (is_unknown(label), row, std::cmp::Reverse(rows))
        });
        let counts: BTreeMap<(&str, &str), usize> =
            self.pairs.iter().map(|one| ((&*one.truth, &*one.label), one.rows)).collect();
        let shown = |label: &&str| if label.is_empty() { UNKNOWN } else { label }.to_owned();
        ConfusionMap {
            title: format!("Confusion of {}", self.predicted),
            unit: self.of.trim_end_matches('s').to_owned(),
            counts: (truths.iter())
                .flat_map(|&truth| labels.iter().map(move |&label| (truth, label)))
                .map(|pair| counts.get(&pair).copied().unwrap_or(0))
                .collect(),
            labels: labels.iter().map(shown).collect(),
            truths: truths.iter().map(|truth| (*truth).to_owned()).collect(),
        }
    }
}

/// Endings of a confusion matrix: the first a table, the others pictures.
const CONFUSIONS: [&str; 3] = ["csv", "svg", "png"];

/// Refuse a name of a confusion matrix that does not end as one that can be written.
pub(super) fn require_confusion(path: &Path) -> Result<()> {
    let ending = path.extension().unwrap_or_default();
    if CONFUSIONS.iter().any(|known| ending.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    let expected = format!("a name that ends in one of {}", CONFUSIONS.join(", "));
    let found = format!("'{}'", ending.to_string_lossy());
    Err(Error::input(path.display(), expected, found, "end it so: a picture is svg or png"))
}

/// Write a confusion matrix: a picture, or a table with a row for each true label and a column for each given one.
pub(super) fn write_confusion(path: &Path, map: &ConfusionMap) -> Result<()> {
    let is_table = path.extension().is_some_and(|end| end.eq_ignore_ascii_case(CONFUSIONS[0]));
    if !is_table {
        return map.write(path);
    }
    let mut table = vec![[&["truth".to_owned()], &map.labels[..]].concat()];
    for (truth, counts) in map.truths.iter().zip(map.counts.chunks(map.labels.len())) {
        let counts: Vec<String> = counts.iter().map(ToString::to_string).collect();
        table.push([std::slice::from_ref(truth), &counts].concat());
    }
    write_table(path, &table)
}

/// Write rows as csv, the file whole or not at all.
pub(in crate::cli) fn write_table(path: &Path, rows: &[Vec<String>]) -> Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row).map_err(|error| Error::io(path, "write")(error.into()))?;
    }
    let table = writer.into_inner();
    whole_file::write(path, &table.map_err(|error| Error::io(path, "write")(error.into_error()))?)
}
