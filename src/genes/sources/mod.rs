//! The files that genes are read from; a file says by its first line what it is.

mod datasets;
mod gencode;
mod gene_history;
mod gene_orthologs;
mod gene_summary;
mod gene_table;
mod header;

use std::fmt::{self, Display};
use std::io::Read;
use std::path::Path;

use super::record::GeneRecords;
use super::text_file::{open_text, unreadable};
use crate::{Error, Result};

/// The kinds of file that genes are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceKind {
    /// A table with a row a gene: NCBI's `gene_info`, or one with a summary column of its own.
    GeneTable,
    /// Gene reports of NCBI Datasets, JSON or one JSON a line.
    Datasets,
    /// NCBI's `gene_summary`.
    GeneSummary,
    /// NCBI's `gene_history`: ids and symbols that are no more.
    GeneHistory,
    /// Ensembl id and name, without header, as cut from GENCODE.
    Gencode,
}

impl Display for SourceKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::GeneTable => "a gene table (gene_info, or one with a summary column)",
            Self::Datasets => "gene reports of NCBI Datasets",
            Self::GeneSummary => "gene_summary",
            Self::GeneHistory => "gene_history",
            Self::Gencode => "Ensembl ids with names",
        })
    }
}

impl SourceKind {
    /// Tell what a file is by its beginning.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Input`] if it is none of them.
    pub fn of(path: &Path) -> Result<Self> {
        let mut start = Vec::new();
        let mut file = open_text(path)?.take(1 << 16);
        file.read_to_end(&mut start).map_err(unreadable(path))?;
        let start = String::from_utf8_lossy(&start);
        let start = start.trim_start_matches('\u{feff}').trim_start();
        if start.starts_with(['{', '[']) {
            return Ok(Self::Datasets);
        }
        let first = start.lines().next().unwrap_or_default();
        let words = header::words(first);
        let has = |name: &str| words.iter().any(|word| word == name);
        if has("discontinued_geneid") {
            Ok(Self::GeneHistory)
        } else if has("geneid") && has("summary") && !has("symbol") {
            Ok(Self::GeneSummary)
        } else if gene_table::has_symbol(&words) {
            Ok(Self::GeneTable)
        } else if first.split([',', '\t']).next().is_some_and(super::is_ensembl_gene) {
            Ok(Self::Gencode)
        } else {
            let shown: String = first.chars().take(60).collect();
            Err(Error::input(
                path.display(),
                "gene_info, gene_summary, gene_history, a table with a symbol column, or gene \
                 reports of NCBI Datasets",
                format!("a file that begins {shown:?}"),
                "see `screader genes build --help`",
            ))
        }
    }
}

impl GeneRecords {
    /// Read files of any kind, merging by gene id: first the genes, then what only adds to them.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Input`] with path and line; also if no gene is of the species.
    pub fn read_all(&mut self, paths: &[impl AsRef<Path>]) -> Result<()> {
        let mut files = Vec::new();
        for path in paths {
            let path = path.as_ref();
            files.push((SourceKind::of(path)?, path));
        }
        // Stable, so that of two gene tables the first given has the last word.
        files.sort_by_key(|(kind, _)| *kind);
        for (kind, path) in files {
            match kind {
                SourceKind::GeneTable => gene_table::read(self, path)?,
                SourceKind::Datasets => datasets::read(self, path)?,
                SourceKind::GeneSummary => gene_summary::read(self, path)?,
                SourceKind::GeneHistory => gene_history::read(self, path)?,
                SourceKind::Gencode => gencode::read(self, path)?,
            }
            self.note_source(path);
        }
        Ok(())
    }
}
