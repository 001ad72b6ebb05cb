//! The columns of what is evaluated: `obs` of cells, or a table of clusters.

use std::collections::BTreeMap;
use std::path::Path;

use super::compare::Rows;
use crate::cells::{Column, Frame};
use crate::io::{CellBlocks, ReadOptions};
use crate::{Error, Result};

/// Read `obs` of an h5ad, or a csv or tsv with a header.
pub(in crate::cli) fn read(path: &Path) -> Result<Frame> {
    let name = path.to_string_lossy().to_lowercase();
    if path.is_dir() {
        let remedy =
            "name a file in it, as annotated.h5ad or annotations.csv of `screader annotate`";
        return Err(Error::input(path.display(), "cells, or a table", "a folder", remedy));
    }
    if !(name.ends_with(".csv") || name.ends_with(".tsv")) {
        return Ok(CellBlocks::open(path, &ReadOptions::default())?.obs().clone());
    }
    let wrong = |found: String| {
        Error::input(path.display(), "a table with a header", found, "save it as csv")
    };
    let bytes = std::fs::read(path).map_err(Error::io(path, "open"))?;
    let delimiter = if name.ends_with(".tsv") { b'\t' } else { b',' };
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(&bytes[..]);
    let header = reader.headers().map_err(|error| wrong(error.to_string()))?.clone();
    let rows: Vec<csv::StringRecord> = reader
        .records()
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| wrong(error.to_string()))?;
    let columns = header.iter().enumerate().map(|(at, name)| {
        let texts = rows.iter().map(|row| Some(row[at].to_owned())).collect();
        (name.to_owned(), Column::Text(texts))
    });
    let index = (0..rows.len()).map(|row| row.to_string()).collect();
    Ok(Frame { index, columns: columns.collect() })
}

/// What says nothing, as R and Python write it.
const NOTHING: [&str; 4] = ["", "NA", "nan", "NaN"];

/// Give a column as text; an empty entry and NA say nothing.
pub(in crate::cli) fn column(
    path: &Path,
    table: &Frame,
    name: &str,
) -> Result<Vec<Option<String>>> {
    let found = table.column(name).ok_or_else(|| {
        let names: Vec<&str> = table.names().collect();
        let found = format!("[{}]", names.join(", ")).replace(['\n', '\r'], " ");
        Error::input(path.display(), format!("a column {name}"), found, "name one of these")
    })?;
    let text = |row: usize| found.text(row).filter(|text| !NOTHING.contains(&text.as_str()));
    Ok((0..table.len()).map(text).collect())
}

/// Count the rows of each pair of true and given label. Rows without a true label are left out, and where
/// `only_answered` those without a label too.
pub(in crate::cli) fn pairs(
    truth: &[Option<String>],
    labels: &[Option<String>],
    only_answered: bool,
) -> Rows {
    let mut rows = Rows::new();
    for (truth, label) in truth.iter().zip(labels) {
        let Some(truth) = truth else { continue };
        if label.is_some() || !only_answered {
            *rows.entry((truth.clone(), label.clone().unwrap_or_default())).or_default() += 1;
        }
    }
    rows
}

/// What most rows of each cluster say; those that say nothing have no voice.
pub(in crate::cli) fn by_cluster<'a>(
    clusters: &'a [Option<String>],
    column: &[Option<String>],
) -> BTreeMap<&'a str, Option<String>> {
    let mut said: BTreeMap<&'a str, Vec<&str>> = BTreeMap::new();
    for (cluster, text) in clusters.iter().zip(column) {
        if let Some(cluster) = cluster {
            said.entry(cluster).or_default().extend(text.as_deref());
        }
    }
    said.into_iter().map(|(cluster, texts)| (cluster, commonest(texts.into_iter()))).collect()
}

/// The commonest of some texts; of equally many the first in the alphabet.
fn commonest<'a>(texts: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    texts.for_each(|text| *counts.entry(text).or_default() += 1);
    // Of equal maxima `max_by_key` takes the last.
    let most = counts.into_iter().rev().max_by_key(|(_, rows)| *rows);
    most.map(|(text, _)| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_says_what_most_of_its_cells_say() {
        let texts = |text: &str| {
            text.split(' ').map(|one| (one != "-").then(|| one.to_owned())).collect::<Vec<_>>()
        };
        let clusters = texts("0 0 0 1 1 2 -");
        let said = by_cluster(&clusters, &texts("T B T N B - X"));
        assert!(said.keys().eq(["0", "1", "2"].iter()));
        assert_eq!(
            said.into_values().collect::<Vec<_>>(),
            [Some("T".to_owned()), Some("B".to_owned()), None]
        );
    }
}
