//! Tables of numbers, cells × genes, as csv or tsv.

use std::io::{BufRead, Read};
use std::path::Path;

use super::mtx::open_text;
use super::sparse::DenseRows;
use crate::cells::{Cells, Frame};
use crate::{Error, Result};

/// Rows that are gathered before they are compressed.
const BLOCK_ROWS: usize = 256;

/// Read a table: each line a cell, each column a gene, as `anndata.read_csv` takes it. The first
/// line names the genes (or the last comment line, where the first line holds numbers); the first
/// column names the cells where it is no number or has no gene's name above it.
pub(super) fn read(path: &Path, delimiter: u8) -> Result<Cells> {
    let mut text = open_text(path)?;
    let mut comments = Vec::new();
    while text.fill_buf().map_err(Error::io(path, "read"))?.first() == Some(&b'#') {
        let mut line = String::new();
        text.by_ref().take(1 << 26).read_line(&mut line).map_err(Error::io(path, "read"))?;
        let line = line.trim_start_matches(['#', ' ']).trim_end().to_owned();
        if !line.is_empty() {
            comments.push(line);
        }
    }
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(text);
    let mut record = csv::StringRecord::new();
    let mut table = Table::new(path);
    let is_number = |field: &str| field.trim().parse::<f64>().is_ok();
    let mut header: Option<Vec<String>> = None;
    while reader.read_record(&mut record).map_err(|error| unreadable(path, &error))? {
        let line = record.position().map_or(0, csv::Position::line) as usize + comments.len();
        // The first field may be a name, so the last one tells.
        if header.is_none() && table.rows == 0 && !record.iter().next_back().is_some_and(is_number)
        {
            header = Some(record.iter().map(str::to_owned).collect());
            continue;
        }
        if table.rows == 0 {
            let corner = header.as_ref().and_then(|names| names.first());
            table.names_rows = record.len() > 1
                && (!record.get(0).is_some_and(is_number)
                    || corner.is_some_and(|corner| corner.trim().is_empty())
                    || header.as_ref().is_some_and(|names| names.len() + 1 == record.len()));
            let last_comment =
                || comments.last().map(|line| line.split_whitespace().map(str::to_owned).collect());
            table.name_columns(header.take().or_else(last_comment), record.len(), line)?;
        }
        table.push(&record, line)?;
    }
    table.finish()
}

fn unreadable(path: &Path, error: &csv::Error) -> Error {
    let found = error.to_string().replace(['\n', '\r'], " ");
    Error::input(path.display(), "a table of text in UTF-8", found, "write the file again")
}

/// A table as it grows.
struct Table<'a> {
    path: &'a Path,
    names_rows: bool,
    genes: Vec<String>,
    cells: Vec<String>,
    rows: usize,
    block: Vec<f32>,
    matrix: DenseRows,
}

impl<'a> Table<'a> {
    fn new(path: &'a Path) -> Self {
        Self {
            path,
            names_rows: false,
            genes: Vec::new(),
            cells: Vec::new(),
            rows: 0,
            block: Vec::new(),
            matrix: DenseRows::new(0, 0),
        }
    }

    /// Take the names of columns, `width` fields to a line, or number them.
    fn name_columns(
        &mut self,
        names: Option<Vec<String>>,
        width: usize,
        line: usize,
    ) -> Result<()> {
        let n_genes = width - usize::from(self.names_rows);
        self.genes = match names {
            Some(mut names) => {
                if names.len() == n_genes + 1 {
                    names.remove(0);
                }
                names
            }
            None => (0..n_genes).map(|gene| gene.to_string()).collect(),
        };
        if self.genes.len() != n_genes {
            let place = format!("{}: line {line}", self.path.display());
            let expected = format!("{} values, one per named column", self.genes.len());
            return Err(Error::input(place, expected, n_genes, "write the table again"));
        }
        self.matrix = DenseRows::new(0, n_genes);
        Ok(())
    }

    fn push(&mut self, record: &csv::StringRecord, line: usize) -> Result<()> {
        let skip = usize::from(self.names_rows);
        if record.len() != self.genes.len() + skip {
            let place = format!("{}: line {line}", self.path.display());
            let expected = format!("{} fields", self.genes.len() + skip);
            return Err(Error::input(place, expected, record.len(), "write the table again"));
        }
        self.cells.push(match record.get(0) {
            Some(name) if self.names_rows => name.to_owned(),
            _ => self.rows.to_string(),
        });
        for (field, gene) in record.iter().skip(skip).zip(&self.genes) {
            let value = field.trim().parse::<f32>().map_err(|_| {
                let found: String = field.chars().take(40).collect();
                Error::input(
                    format!("{}: line {line}, column {}", self.path.display(), one_line(gene)),
                    "a number",
                    format!("\"{}\"", one_line(&found)),
                    "pass a table of cells × genes with names in the first line and column",
                )
            })?;
            self.block.push(value);
        }
        self.rows += 1;
        if self.rows.is_multiple_of(BLOCK_ROWS) {
            self.matrix.push(&self.block);
            self.block.clear();
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Cells> {
        if self.rows == 0 || self.genes.is_empty() {
            return Err(Error::input(
                self.path.display(),
                "a table of cells × genes",
                "no line of numbers",
                "pass a table with names in the first line and column",
            ));
        }
        self.matrix.push(&self.block);
        Ok(Cells {
            x: self.matrix.finish(),
            obs: Frame { index: self.cells, columns: Vec::new() },
            var: Frame { index: self.genes, columns: Vec::new() },
            ..Cells::default()
        })
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}
