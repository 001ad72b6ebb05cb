//! Which human gene is which mouse gene.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::species::{Species, share_without_lower_case};
use super::text_file::read_text;
use crate::{Error, Result};

/// Pairs of human and mouse symbols, both ways.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orthologs {
    mouse_of_human: BTreeMap<String, BTreeSet<String>>,
    human_of_mouse: BTreeMap<String, BTreeSet<String>>,
}

/// The counterpart of a gene in the other species.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Homolog<'a> {
    /// One gene on each side.
    One(&'a str),
    /// Several genes on this side or on the other; the symbols of the other side.
    Many(Vec<String>),
    /// No gene, or a symbol that the table does not have.
    None,
}

impl Orthologs {
    /// Build from pairs of human and mouse symbols; pairs with an empty side are left out.
    pub fn from_pairs<H: AsRef<str>, M: AsRef<str>>(
        pairs: impl IntoIterator<Item = (H, M)>,
    ) -> Self {
        let mut orthologs = Self::default();
        for (human, mouse) in pairs {
            let (human, mouse) = (human.as_ref().trim(), mouse.as_ref().trim());
            if human.is_empty() || mouse.is_empty() {
                continue;
            }
            let mice = orthologs.mouse_of_human.entry(human.to_string()).or_default();
            mice.insert(mouse.to_string());
            let humans = orthologs.human_of_mouse.entry(mouse.to_string()).or_default();
            humans.insert(human.to_string());
        }
        orthologs
    }

    /// Read a table of pairs, comma- or tab-separated, plain or gzip.
    ///
    /// Understood are a header with one column for human and one for mouse symbols (as
    /// `MOUSE_GENE_SYM, HUMAN_GENE_SYM`, `symbol, …, symbol_mouse`, `Gene name, Mouse gene name`),
    /// and two columns without header (CellTypist's `Ensembl105_*` files), where the column of
    /// upper-case symbols is the human one.
    ///
    /// # Errors
    /// [`Error::Input`] if the file has no such two columns or not one pair.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        let first = text.lines().next().unwrap_or_default();
        let separator = if first.contains('\t') { b'\t' } else { b',' };
        let rows = rows_of(path, &text, separator)?;
        let Some(header) = rows.first() else {
            return Err(not_pairs(path, "an empty file"));
        };
        let (columns, skip) = match columns_of(header) {
            Some(columns) => (columns, 1),
            None if header.len() == 2 => (columns_by_case(&rows), 0),
            None => return Err(not_pairs(path, format!("the columns {}", header.join(", ")))),
        };
        let (human, mouse) = columns;
        let field = |row: &[String], at: usize| row.get(at).cloned().unwrap_or_default();
        let pairs = rows[skip..].iter().map(|row| (field(row, human), field(row, mouse)));
        let orthologs = Self::from_pairs(pairs);
        if orthologs.mouse_of_human.is_empty() {
            return Err(not_pairs(path, "no pair"));
        }
        Ok(orthologs)
    }

    /// The counterpart of the gene `symbol` of species `from`.
    pub fn of(&self, from: Species, symbol: &str) -> Homolog<'_> {
        let (there, back) = match from {
            Species::Human => (&self.mouse_of_human, &self.human_of_mouse),
            Species::Mouse => (&self.human_of_mouse, &self.mouse_of_human),
        };
        let Some(targets) = there.get(symbol) else { return Homolog::None };
        match targets.iter().next() {
            Some(target)
                if targets.len() == 1 && back.get(target).is_some_and(|b| b.len() == 1) =>
            {
                Homolog::One(target)
            }
            _ => Homolog::Many(targets.iter().cloned().collect()),
        }
    }

    /// Number of one-to-one pairs.
    pub fn one_to_one(&self) -> usize {
        let one = |human: &&String| matches!(self.of(Species::Human, human), Homolog::One(_));
        self.mouse_of_human.keys().filter(one).count()
    }
}

fn rows_of(path: &Path, text: &str, separator: u8) -> Result<Vec<Vec<String>>> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .quoting(separator == b',')
        .from_reader(text.as_bytes());
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| not_pairs(path, error))?;
        rows.push(record.iter().map(str::to_string).collect());
    }
    Ok(rows)
}

/// Columns of human and mouse symbols by the words of a header.
fn columns_of(header: &[String]) -> Option<(usize, usize)> {
    let words: Vec<String> = header.iter().map(|word| word.to_ascii_lowercase()).collect();
    let names = |word: &String| {
        (word.contains("sym") || word.contains("name") || word == "human" || word == "mouse")
            && !word.contains("entrez")
    };
    let mouse = words.iter().position(|word| names(word) && word.contains("mouse"))?;
    let human = words
        .iter()
        .position(|word| names(word) && word.contains("human"))
        .or_else(|| words.iter().position(|word| names(word) && !word.contains("mouse")))?;
    Some((human, mouse))
}

fn columns_by_case(rows: &[Vec<String>]) -> (usize, usize) {
    let share = |at: usize| {
        let names: Vec<String> = rows.iter().filter_map(|row| row.get(at)).cloned().collect();
        share_without_lower_case(&names).unwrap_or(0.0)
    };
    if share(0) >= share(1) { (0, 1) } else { (1, 0) }
}

fn not_pairs(path: &Path, found: impl std::fmt::Display) -> Error {
    Error::input(
        path.display(),
        "a table of human and mouse symbols",
        found,
        "give two columns, or a header with one name for human and one for mouse",
    )
}
