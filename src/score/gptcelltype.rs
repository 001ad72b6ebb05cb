//! The score by which GPTCelltype was judged (Hou and Ji 2024): 1 for the same type, a half for the same broad type.

use std::collections::HashMap;
use std::path::Path;

use crate::{Error, Result};

/// What the published tables say of labels and of broad types.
#[derive(Debug, Clone, Default)]
pub struct GptCellType {
    /// Cell Ontology names and broad types of a label.
    meanings: HashMap<String, Meaning>,
    /// The one type that each broad type is related to.
    related: HashMap<String, String>,
}

/// A label's types: names in the Cell Ontology and broad types, as lists; nothing where there are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meaning {
    /// Names in the Cell Ontology.
    pub names: Option<String>,
    /// Broad types.
    pub broad: Option<String>,
}

impl GptCellType {
    /// Read the published tables: labels with their ontology names and broad types (`originalname, Clname, CLID,
    /// type`), and pairs of related broad types, without a header.
    ///
    /// # Errors
    /// A file that cannot be read, or has too few columns.
    pub fn read(labels: &Path, relation: &Path) -> Result<Self> {
        let mut meanings = HashMap::new();
        for row in rows(labels, true, 4)? {
            let meaning = Meaning { names: present(&row[1]), broad: present(&row[3]) };
            meanings.entry(row[0].to_owned()).or_insert(meaning);
        }
        let pairs: Vec<(String, String)> = rows(relation, false, 2)?
            .iter()
            .map(|row| (row[0].to_owned(), row[1].to_owned()))
            .collect();
        Ok(Self { meanings, related: first_related(&pairs) })
    }

    /// What the tables say of a label: it is looked up in lower case with its first "cells" as "cell".
    pub fn meaning(&self, label: &str) -> Meaning {
        let key = label.to_lowercase().replacen("cells", "cell", 1);
        self.meanings.get(&key).cloned().unwrap_or_default()
    }

    /// Score an answer against the truth, both with their meanings.
    ///
    /// 1 where the ontology names are the same, or the labels but for case and a last `s`, or both are malignant
    /// cells; a half where the broad types, each with the one related to it, have one in common; else 0.
    pub fn score(&self, answer: (&str, &Meaning), truth: (&str, &Meaning)) -> f64 {
        let names = |meaning: &Meaning| tokens(meaning.names.as_deref());
        let (of_answer, of_truth) = (names(answer.1), names(truth.1));
        let label = |label: &str| {
            let lower = label.to_lowercase();
            lower.strip_suffix('s').map_or(lower.clone(), str::to_owned)
        };
        let malignant = |meaning: &Meaning| meaning.broad.as_deref() == Some("malignant cell");
        let same = !of_answer.is_empty() && of_answer == of_truth;
        if same || label(answer.0) == label(truth.0) || (malignant(answer.1) && malignant(truth.1))
        {
            return 1.0;
        }
        let of_truth = self.extended(truth.1);
        if self.extended(answer.1).iter().any(|one| of_truth.contains(one)) { 0.5 } else { 0.0 }
    }

    /// Broad types, and the one type that each is related to.
    fn extended(&self, meaning: &Meaning) -> Vec<String> {
        let mut broad = tokens(meaning.broad.as_deref());
        let related: Vec<String> =
            broad.iter().filter_map(|one| self.related.get(one).cloned()).collect();
        broad.extend(related);
        broad
    }
}

/// The first partner of each type: in the pairs turned round, then in the pairs as they stand. In the other order
/// 68 of the published scores come out differently.
fn first_related(pairs: &[(String, String)]) -> HashMap<String, String> {
    let turned = pairs.iter().map(|(one, other)| (other.clone(), one.clone()));
    let mut related = HashMap::new();
    for (one, other) in turned.chain(pairs.iter().cloned()) {
        related.entry(one).or_insert(other);
    }
    related
}

/// The entries of a list, each once, in alphabetical order.
fn tokens(list: Option<&str>) -> Vec<String> {
    let parts = list.unwrap_or("").split([',', '|']);
    let mut tokens: Vec<String> =
        parts.map(|part| part.strip_prefix(' ').unwrap_or(part).to_owned()).collect();
    tokens.retain(|token| !token.is_empty());
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}

/// An entry of a table, unless it is `NA`.
fn present(entry: &str) -> Option<String> {
    (!entry.is_empty() && entry != "NA").then(|| entry.to_owned())
}

fn rows(path: &Path, has_headers: bool, columns: usize) -> Result<Vec<csv::StringRecord>> {
    let bytes = std::fs::read(path).map_err(Error::io(path, "open"))?;
    let mut reader =
        csv::ReaderBuilder::new().has_headers(has_headers).flexible(true).from_reader(&bytes[..]);
    let mut rows = Vec::new();
    for row in reader.records() {
        let remedy = "pass the table as GPTCelltype's authors published it";
        let row = row.map_err(|error| Error::input(path.display(), "a csv", error, remedy))?;
        if row.len() < columns {
            let expected = format!("{columns} columns");
            return Err(Error::input(path.display(), expected, row.len(), remedy));
        }
        rows.push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> GptCellType {
        let one =
            |names: &str, broad: &str| Meaning { names: present(names), broad: present(broad) };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        GptCellType {
            meanings: [
                ("naive b cell".to_owned(), one("naive B cell", "b cell")),
                ("b cell".to_owned(), one("B cell", "b cell")),
                ("astrocyte".to_owned(), one("astrocyte", "astrocyte")),
                ("microglia".to_owned(), one("microglial cell", "microglia")),
                ("tumor".to_owned(), one("NA", "malignant cell")),
                ("cancer cell".to_owned(), one("NA", "malignant cell")),
            ]
            .into(),
            related: first_related(&[
                pair("astrocyte", "glial cell"),
                pair("glial cell", "microglia"),
            ]),
        }
    }

    fn score(answer: &str, truth: &str) -> f64 {
        let tables = tables();
        tables.score((answer, &tables.meaning(answer)), (truth, &tables.meaning(truth)))
    }

    #[test]
    fn the_same_type_is_whole_and_the_same_broad_type_is_half() {
        assert_eq!(score("B Cells", "b cell"), 1.0);
        assert_eq!(score("B cells", "Naive B cells"), 0.5);
        assert_eq!(score("tumor", "Cancer cells"), 1.0);
        assert_eq!(score("Ghosts", "ghost"), 1.0, "names that no table has");
        assert_eq!(score("ghost", "b cell"), 0.0);
        // astrocyte + glial cell, microglia + glial cell.
        assert_eq!(score("astrocyte", "microglia"), 0.5);
    }
}
