//! Header lines of tab-separated tables.

use std::io::BufRead;
use std::path::Path;

use crate::genes::text_file::{open_text, unreadable};
use crate::{Error, Result};

/// Lower-cased column names of a header line; NCBI's leading `#` is dropped, blanks are `_`.
pub(super) fn words(line: &str) -> Vec<String> {
    let line = line.trim_start_matches('\u{feff}').trim_start_matches('#').trim_end();
    line.split('\t').map(|word| word.trim().to_ascii_lowercase().replace(' ', "_")).collect()
}

/// The rows of a table, with their columns by name.
pub(super) struct Table<'a> {
    path: &'a Path,
    lines: Box<dyn BufRead>,
    line: String,
    number: usize,
    columns: usize,
}

impl<'a> Table<'a> {
    /// Open a table; returns it with the words of its header.
    pub(super) fn open(path: &'a Path) -> Result<(Self, Vec<String>)> {
        let mut table =
            Self { path, lines: open_text(path)?, line: String::new(), number: 0, columns: 0 };
        table.advance()?;
        let words = words(&table.line);
        table.columns = words.len();
        Ok((table, words))
    }

    fn advance(&mut self) -> Result<bool> {
        self.line.clear();
        self.number += 1;
        let read = self.lines.read_line(&mut self.line).map_err(unreadable(self.path))?;
        while self.line.ends_with(['\n', '\r']) {
            self.line.pop();
        }
        Ok(read > 0)
    }

    /// Line number and fields of the next row that is not blank, `None` at the end.
    ///
    /// # Errors
    /// [`Error::Input`] with the line if it has more or fewer fields than the header.
    pub(super) fn next_row(&mut self) -> Result<Option<(usize, Vec<&str>)>> {
        loop {
            if !self.advance()? {
                return Ok(None);
            }
            if !self.line.is_empty() {
                break;
            }
        }
        let fields: Vec<&str> = self.line.split('\t').collect();
        if fields.len() != self.columns {
            return Err(Error::input(
                format!("{}: line {}", self.path.display(), self.number),
                format!("{} tab-separated fields, as in the header", self.columns),
                fields.len(),
                "get the file again, or mend the line",
            ));
        }
        Ok(Some((self.number, fields)))
    }
}

/// Parse a gene id.
pub(super) fn gene_id(path: &Path, line: usize, text: &str) -> Result<u64> {
    text.trim().parse().map_err(|_| {
        let place = format!("{}: line {line}", path.display());
        Error::input(place, "a whole number as gene id", format!("{text:?}"), "mend the table")
    })
}

/// Where the first of these columns stands.
pub(super) fn position(words: &[String], names: &[&str]) -> Option<usize> {
    names.iter().find_map(|name| words.iter().position(|word| word == name))
}

/// Where a column stands that must be there.
pub(super) fn required(path: &Path, words: &[String], name: &str) -> Result<usize> {
    position(words, &[name]).ok_or_else(|| {
        Error::input(
            path.display(),
            format!("a column {name}"),
            words.join(", "),
            "give a file with its header",
        )
    })
}
