//! Labels beside the truth: each pair of them once, with how near it comes.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::ontology::CellOntology;
use crate::score::{GptCellType, LabelMatch};
use crate::{Error, Result, whole_file};

/// True and given labels with the rows that have them.
pub(in crate::cli) type Rows = BTreeMap<(String, String), usize>;

/// The labels of one column beside the truth.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Compared {
    /// The column, after its file where there are several.
    pub(in crate::cli) predicted: String,
    /// What a row is: `rows` of the file, or `clusters` of them.
    pub(in crate::cli) of: &'static str,
    compared: usize,
    exact: usize,
    synonym: usize,
    descendant: usize,
    fuzzy: usize,
    broad: usize,
    wrong: usize,
    unknown: usize,
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
            pairs.iter().filter(|one| one.layer == layer).map(|one| one.rows).sum::<usize>()
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
            exact: count(LabelMatch::Exact),
            synonym: count(LabelMatch::Synonym),
            descendant: count(LabelMatch::Descendant),
            fuzzy: count(LabelMatch::Fuzzy),
            broad: count(LabelMatch::Broad),
            wrong: count(LabelMatch::Wrong),
            unknown: count(LabelMatch::Unknown),
            right: mean(&|one| f64::from(u8::from(one.layer.is_right()))),
            credit: mean(&|one| one.layer.credit()),
            gptcelltype: tables.map(|_| mean(&|one| one.score.unwrap_or(0.0))),
            pairs,
        }
    }

    /// Whether there was anything to compare.
    pub(in crate::cli) fn is_empty(&self) -> bool {
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

    fn counts(&self) -> [usize; 7] {
        let Self { exact, synonym, descendant, fuzzy, broad, wrong, unknown, .. } = *self;
        [exact, synonym, descendant, fuzzy, broad, wrong, unknown]
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
pub(in crate::cli) fn write_pairs(path: &Path, results: &[Compared]) -> Result<()> {
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

/// Write the confusion matrix of one comparison: a row for each true label, a column for each given one, the
/// commonest first.
pub(in crate::cli) fn write_confusion(path: &Path, compared: &Compared) -> Result<()> {
    let by_rows = |of: &dyn Fn(&Pair) -> &str| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for pair in &compared.pairs {
            *counts.entry(of(pair).to_owned()).or_default() += pair.rows;
        }
        let mut names: Vec<(String, usize)> = counts.into_iter().collect();
        names.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
        names.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    let (truths, labels) = (by_rows(&|pair| &pair.truth), by_rows(&|pair| &pair.label));
    let counts: BTreeMap<(&str, &str), usize> =
        compared.pairs.iter().map(|one| ((&*one.truth, &*one.label), one.rows)).collect();
    let shown =
        |label: &String| if label.is_empty() { "unknown".to_owned() } else { label.clone() };
    let mut table = vec![[vec!["truth".to_owned()], labels.iter().map(shown).collect()].concat()];
    for truth in &truths {
        let count = |label: &String| counts.get(&(&**truth, &**label)).copied().unwrap_or(0);
        let counts = labels.iter().map(|label| count(label).to_string()).collect();
        table.push([vec![truth.clone()], counts].concat());
    }
    write_table(path, &table)
}

/// Write rows as csv, the file whole or not at all.
pub(in crate::cli) fn write_table(path: &Path, rows: &[Vec<String>]) -> Result<()> {
    let wrong = |error: csv::Error| Error::io(path, "write")(std::io::Error::other(error));
    let mut writer = csv::Writer::from_writer(whole_file::begin(path)?);
    for row in rows {
        writer.write_record(row).map_err(wrong)?;
    }
    let file = writer
        .into_inner()
        .map_err(|error| Error::io(path, "write")(std::io::Error::other(error.to_string())))?;
    whole_file::put(file, path)
}
