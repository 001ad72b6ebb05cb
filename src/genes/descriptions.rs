//! The description table: what each gene is called and the text that is embedded for it.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};
use std::path::Path;
use std::str::FromStr;

use super::matcher::GeneMatcher;
use super::names::GeneNames;
use super::species::Species;
use super::text_file::{read_text, write_text};
use crate::{Error, Result};

/// Columns of the file, in order.
const COLUMNS: [&str; 7] = ["gene_id", "symbol", "ensembl", "aliases", "retired", "source", "text"];

/// First line of the file, which tells it from other tables.
const FIRST_LINE: &str = "# screader gene descriptions: 1";

/// Where a gene's text comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextSource {
    /// The gene has a summary of its own.
    Own,
    /// The summary is that of its one-to-one ortholog, whose symbol this is.
    Ortholog(String),
    /// A chat model wrote the summary.
    Completed,
    /// There is no summary; the text is made of the other fields.
    Fields,
    /// There is no text; the missing policy says what stands in for its embedding.
    None,
}

impl Display for TextSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => out.write_str("own"),
            Self::Ortholog(symbol) => write!(out, "ortholog:{symbol}"),
            Self::Completed => out.write_str("completed"),
            Self::Fields => out.write_str("fields"),
            Self::None => out.write_str("none"),
        }
    }
}

impl FromStr for TextSource {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "own" => Ok(Self::Own),
            "completed" => Ok(Self::Completed),
            "fields" => Ok(Self::Fields),
            "none" => Ok(Self::None),
            other => match other.strip_prefix("ortholog:") {
                Some(symbol) => Ok(Self::Ortholog(symbol.to_string())),
                None => Err(format!("{other:?}")),
            },
        }
    }
}

/// A gene with the text that is embedded for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// NCBI gene id, if there is one.
    pub gene_id: Option<u64>,
    /// What it is called.
    pub names: GeneNames,
    /// Where the text comes from.
    pub source: TextSource,
    /// The text; empty exactly if `source` is [`TextSource::None`].
    pub text: String,
}

/// Genes with texts, and what they were made with.
///
/// On disk: a first line that names the format, `# key: value` lines (species, template, missing,
/// sources and so on), a header of column names, then a tab-separated row a gene. Within a field
/// `\n`, `\t`, `\r` and `\\` stand for line feed, tab, carriage return and backslash; `|` parts
/// names. A file name that ends in `.gz` is compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescriptionTable {
    /// The species of the genes.
    pub species: Species,
    /// How it was made: `template`, `template_text`, `missing`, `sources`, `completion_model`…
    pub made_with: BTreeMap<String, String>,
    /// The genes, in row order.
    pub genes: Vec<Description>,
}

impl DescriptionTable {
    /// Names of the genes, in row order.
    pub fn names(&self) -> Vec<GeneNames> {
        self.genes.iter().map(|gene| gene.names.clone()).collect()
    }

    /// Index the names, to match data to the rows of this table.
    pub fn matcher(&self) -> GeneMatcher {
        GeneMatcher::new(&self.names())
    }

    /// What stands in for the embedding of a gene without text: `species_mean`, `zeros` or `drop`.
    pub fn missing_embedding(&self) -> Option<&str> {
        let policy = self.made_with.get("missing")?;
        policy.split(',').next_back().filter(|last| *last != "fields")
    }

    /// Number of genes by where their text comes from: `own`, `ortholog`, `completed`, `fields`,
    /// `none`.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for gene in &self.genes {
            let key = match gene.source {
                TextSource::Own => "own",
                TextSource::Ortholog(_) => "ortholog",
                TextSource::Completed => "completed",
                TextSource::Fields => "fields",
                TextSource::None => "none",
            };
            *counts.entry(key).or_insert(0) += 1;
        }
        counts
    }

    /// Write the table, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_text(path, &self.to_text())
    }

    fn to_text(&self) -> String {
        let mut out = format!("{FIRST_LINE}\n# species: {}\n", self.species);
        for (key, value) in &self.made_with {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "# {key}: {}", escape(value));
        }
        out.push_str(&COLUMNS.join("\t"));
        out.push('\n');
        for gene in &self.genes {
            let names = &gene.names;
            let fields = [
                gene.gene_id.map(|id| id.to_string()).unwrap_or_default(),
                escape(&names.symbol),
                escape(names.ensembl.as_deref().unwrap_or_default()),
                escape(&names.aliases.join("|")),
                escape(&names.retired.join("|")),
                escape(&gene.source.to_string()),
                escape(&gene.text),
            ];
            out.push_str(&fields.join("\t"));
            out.push('\n');
        }
        out
    }

    /// Read a table that [`DescriptionTable::write`] wrote.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read; [`Error::Input`] with the line if it is not such a
    /// table.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        let mut lines = text.lines().enumerate().peekable();
        let bad = |line: usize, expected: &str, found: String| {
            let place = format!("{}: line {}", path.display(), line + 1);
            Error::input(place, expected, found, "make the table with `screader genes build`")
        };
        let first = lines.next().map_or("", |(_, line)| line);
        if first != FIRST_LINE {
            return Err(bad(0, &format!("{FIRST_LINE:?}"), format!("{:?}", shorten(first))));
        }
        let mut made_with = BTreeMap::new();
        while let Some((_, line)) = lines.next_if(|(_, line)| line.starts_with("# ")) {
            let (key, value) =
                line[2..].split_once(": ").unwrap_or((line[2..].trim_end_matches(':'), ""));
            made_with.insert(key.to_string(), unescape(value));
        }
        let species = match made_with.remove("species").as_deref() {
            Some("human") => Species::Human,
            Some("mouse") => Species::Mouse,
            other => return Err(bad(1, "species human or mouse", format!("{other:?}"))),
        };
        let (at, header) = lines.next().unwrap_or((0, ""));
        if header.split('\t').ne(COLUMNS) {
            return Err(bad(at, &format!("the columns {}", COLUMNS.join(", ")), shorten(header)));
        }
        let mut genes = Vec::new();
        for (at, line) in lines {
            let fields: Vec<&str> = line.split('\t').collect();
            let [id, symbol, ensembl, aliases, retired, source, text] = fields[..] else {
                return Err(bad(at, "7 fields", fields.len().to_string()));
            };
            let gene_id = match id {
                "" => None,
                id => Some(id.parse().map_err(|_| bad(at, "a gene id", shorten(id)))?),
            };
            let source = TextSource::from_str(&unescape(source)).map_err(|found| {
                bad(at, "own, ortholog:SYMBOL, completed, fields or none", found)
            })?;
            if (source == TextSource::None) != text.is_empty() {
                let found = format!("source {source} with {} characters", text.len());
                return Err(bad(at, "a text, or source none", found));
            }
            let names = GeneNames {
                symbol: unescape(symbol),
                ensembl: Some(unescape(ensembl)).filter(|id| !id.is_empty()),
                aliases: split_names(aliases),
                retired: split_names(retired),
            };
            genes.push(Description { gene_id, names, source, text: unescape(text) });
        }
        Ok(Self { species, made_with, genes })
    }
}

fn split_names(text: &str) -> Vec<String> {
    text.split('|').filter(|name| !name.is_empty()).map(unescape).collect()
}

fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            other => out.push(other),
        }
    }
    out
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    out
}
