//! Which gene of a table a name means.

use std::collections::HashMap;

use super::coverage::{AmbiguousName, Coverage, Duplicate};
use super::names::{GeneNames, before_spreadsheet, ensembl_key, fold_case, is_ensembl_gene};
use super::orthologs::{Homolog, Orthologs};
use super::species::{Species, share_without_lower_case};
use crate::cells::{Column, Frame};

/// How a name was found in the table, or why not.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It is the gene's symbol.
    Symbol,
    /// It is the gene's Ensembl id; a version is ignored.
    Ensembl,
    /// It was the gene's symbol once.
    Retired,
    /// It is an alias of this gene and of no other.
    Alias,
    /// It is the symbol (or else the only alias or retired name) in another case: `COPS5`, `Cops5`.
    CaseFolded,
    /// It is the one-to-one ortholog of the gene.
    Ortholog,
    /// Several genes claim it; none is chosen.
    Ambiguous,
    /// No gene claims it.
    Missing,
}

/// What became of each name.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneMatch {
    /// For each name, the row of the table that it means, `[names]`. Two names may point at the
    /// same row (then `coverage.duplicates` lists them); whoever reads a matrix through this
    /// mapping adds the values of such columns up.
    pub rows: Vec<Option<usize>>,
    /// For each name, how it was found or why not, `[names]`.
    pub how: Vec<How>,
    /// The counts, the examples and what is ambiguous.
    pub coverage: Coverage,
}

/// The best way to name the genes of a frame, with its match.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameMatch {
    /// `index`, or the name of the column.
    pub column: String,
    /// The names of that column, a row each.
    pub names: Vec<String>,
    /// What became of each row of the frame.
    pub genes: GeneMatch,
    /// Every naming column that was tried, with how many genes it found.
    pub tried: Vec<(String, usize)>,
}

/// Columns of `var` that name genes in files seen in the wild, beside the index.
const NAMING_COLUMNS: [&str; 18] = [
    "gene_symbols",
    "gene_symbol",
    "symbol",
    "feature_name",
    "gene_name",
    "gene_names",
    "gene_short_name",
    "gene",
    "genes",
    "name",
    "index",
    "_index",
    "gene_ids",
    "gene_id",
    "feature_id",
    "ensembl",
    "ensembl_id",
    "ensembl_gene_id",
];

/// Of the names of a set at least this share without lower case makes the set upper-cased.
const UPPER_CASED: f64 = 0.9;

/// An index over the names of a gene table.
///
/// A name is sought in this order: symbol, Ensembl id, retired symbol, alias, other case. At each
/// step the name must belong to one gene only; a name that several claim is
/// [`How::Ambiguous`] and stays unmatched. One rule settles a *symbol* on several rows: if just
/// one of them has an Ensembl id it is that one (NCBI lists phenotypes under the symbol of a gene).
///
/// If the table's symbols have lower case and nearly all of the names have none (mouse genes
/// upper-cased, as some pipelines do), the other case of a symbol comes before retired names and
/// aliases: in such a file `CD4` is `Cd4` whoever else has the alias `CD4`.
#[derive(Debug, Clone)]
pub struct GeneMatcher {
    symbols: Vec<String>,
    has_ensembl: Vec<bool>,
    mixed_case: bool,
    symbol: Index,
    ensembl: Index,
    retired: Index,
    alias: Index,
    folded_symbol: Index,
    folded_other: Index,
}

#[derive(Debug, Clone, Default)]
struct Index(HashMap<String, Vec<usize>>);

impl Index {
    fn add(&mut self, key: String, row: usize) {
        let rows = self.0.entry(key).or_default();
        if rows.last() != Some(&row) {
            rows.push(row);
        }
    }

    fn get(&self, key: &str) -> &[usize] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }
}

/// The fate of one name.
struct Verdict {
    row: Option<usize>,
    how: How,
    candidates: Vec<String>,
}

impl Verdict {
    fn found(row: usize, how: How) -> Self {
        Self { row: Some(row), how, candidates: Vec::new() }
    }

    fn missing() -> Self {
        Self { row: None, how: How::Missing, candidates: Vec::new() }
    }

    fn ambiguous(candidates: Vec<String>) -> Self {
        Self { row: None, how: How::Ambiguous, candidates }
    }
}

impl GeneMatcher {
    /// Index the names of a gene table; rows of matches count along `genes`.
    pub fn new(genes: &[GeneNames]) -> Self {
        let symbols: Vec<String> = genes.iter().map(|gene| gene.symbol.clone()).collect();
        let mut matcher = Self {
            mixed_case: share_without_lower_case(&symbols).is_some_and(|share| share < 0.5),
            has_ensembl: genes.iter().map(|gene| gene.ensembl.is_some()).collect(),
            symbols,
            symbol: Index::default(),
            ensembl: Index::default(),
            retired: Index::default(),
            alias: Index::default(),
            folded_symbol: Index::default(),
            folded_other: Index::default(),
        };
        for (row, gene) in genes.iter().enumerate() {
            matcher.symbol.add(gene.symbol.clone(), row);
            matcher.folded_symbol.add(fold_case(&gene.symbol), row);
            if let Some(id) = &gene.ensembl {
                matcher.ensembl.add(ensembl_key(id), row);
            }
            for name in &gene.retired {
                matcher.retired.add(name.clone(), row);
                matcher.folded_other.add(fold_case(name), row);
            }
            for name in &gene.aliases {
                if is_ensembl_gene(name) {
                    matcher.ensembl.add(ensembl_key(name), row);
                }
                matcher.alias.add(name.clone(), row);
                matcher.folded_other.add(fold_case(name), row);
            }
        }
        matcher
    }

    /// Number of genes in the table.
    pub fn len(&self) -> usize {
        self.symbols.len()
    }

    /// Whether the table has no gene.
    pub fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }

    /// Symbols of the table, in row order.
    pub fn symbols(&self) -> &[String] {
        &self.symbols
    }

    /// Match the names of one species' data to the table of the same species.
    ///
    /// The answer for a name depends on the set of names only through its case (see the type),
    /// never on their order.
    pub fn match_names(&self, names: &[String]) -> GeneMatch {
        let case_first = self.mixed_case
            && share_without_lower_case(names).is_some_and(|share| share >= UPPER_CASED);
        self.collect(names, |name| self.look_up(name, case_first))
    }

    /// Match the names of another species' data through one-to-one orthologs.
    ///
    /// `query` is the species of `names`; the table is of the other one. `query_genes`, where
    /// given, first turns Ensembl ids, aliases and retired names of the query into symbols. A gene
    /// with several orthologs on either side is [`How::Ambiguous`], with the candidates listed.
    pub fn match_through(
        &self,
        names: &[String],
        orthologs: &Orthologs,
        query: Species,
        query_genes: Option<&Self>,
    ) -> GeneMatch {
        let own = query_genes.map(|genes| (genes, genes.match_names(names)));
        let symbol_of: HashMap<&str, &str> = own
            .iter()
            .flat_map(|(genes, matched)| {
                names.iter().zip(&matched.rows).filter_map(|(name, row)| {
                    row.map(|row| (name.as_str(), genes.symbols[row].as_str()))
                })
            })
            .collect();
        self.collect(names, |name| {
            let symbol = symbol_of.get(name).copied().unwrap_or(name.trim());
            match orthologs.of(query, symbol) {
                Homolog::One(target) => {
                    let found = self.look_up(target, false);
                    match found.row {
                        Some(row) => Verdict::found(row, How::Ortholog),
                        None => found,
                    }
                }
                Homolog::Many(candidates) => Verdict::ambiguous(candidates),
                Homolog::None => Verdict::missing(),
            }
        })
    }

    /// Match the genes of a frame by its index and by every column that is known to name genes, and
    /// take the one that finds the most; on a tie the index, then the order of the file.
    pub fn match_frame(&self, var: &Frame) -> FrameMatch {
        best_column(var, |names| self.match_names(names))
    }

    /// As [`GeneMatcher::match_frame`] for the genes of another species, as
    /// [`GeneMatcher::match_through`].
    pub fn match_frame_through(
        &self,
        var: &Frame,
        orthologs: &Orthologs,
        query: Species,
        query_genes: Option<&Self>,
    ) -> FrameMatch {
        best_column(var, |names| self.match_through(names, orthologs, query, query_genes))
    }

    fn look_up(&self, name: &str, case_first: bool) -> Verdict {
        let name = name.trim();
        if name.is_empty() {
            return Verdict::missing();
        }
        let folded = fold_case(name);
        let mut steps: Vec<(&[usize], How)> = vec![
            (self.symbol.get(name), How::Symbol),
            (self.ensembl_rows(name), How::Ensembl),
            (self.retired.get(name), How::Retired),
            (self.alias.get(name), How::Alias),
            (self.folded_symbol.get(&folded), How::CaseFolded),
            (self.folded_other.get(&folded), How::CaseFolded),
        ];
        if case_first {
            // Upper-cased data: the symbol's other case goes before retired names and aliases.
            let by_case = steps.remove(4);
            steps.insert(2, by_case);
        }
        for (rows, how) in steps {
            match rows {
                [] => {}
                [row] => return Verdict::found(*row, how),
                several => return self.settle(several, how),
            }
        }
        Verdict::missing()
    }

    /// Choose among several claimants of a symbol by the one with an Ensembl id; never otherwise.
    fn settle(&self, rows: &[usize], how: How) -> Verdict {
        let mut with_id = rows.iter().filter(|&&row| self.has_ensembl[row]);
        if let (How::Symbol, Some(&row), None) = (how, with_id.next(), with_id.next()) {
            return Verdict::found(row, how);
        }
        Verdict::ambiguous(rows.iter().map(|&row| self.symbols[row].clone()).collect())
    }

    fn ensembl_rows(&self, name: &str) -> &[usize] {
        if is_ensembl_gene(name) { self.ensembl.get(&ensembl_key(name)) } else { &[] }
    }

    fn collect(&self, names: &[String], look_up: impl Fn(&str) -> Verdict) -> GeneMatch {
        let mut coverage = Coverage { total: names.len(), ..Coverage::default() };
        let mut rows = Vec::with_capacity(names.len());
        let mut how = Vec::with_capacity(names.len());
        let mut names_of_row: HashMap<usize, Vec<usize>> = HashMap::new();
        for (at, name) in names.iter().enumerate() {
            let verdict = look_up(name);
            coverage.count(verdict.how, name);
            if let Some(row) = verdict.row {
                names_of_row.entry(row).or_default().push(at);
            } else if verdict.how == How::Ambiguous {
                let candidates = verdict.candidates;
                coverage.ambiguous_names.push(AmbiguousName { name: name.clone(), candidates });
            } else if !before_spreadsheet(name).is_empty() {
                let candidates = before_spreadsheet(name);
                coverage.date_names.push(AmbiguousName { name: name.clone(), candidates });
            }
            rows.push(verdict.row);
            how.push(verdict.how);
        }
        let mut shared: Vec<(usize, Vec<usize>)> =
            names_of_row.into_iter().filter(|(_, at)| at.len() > 1).collect();
        shared.sort_unstable();
        coverage.duplicates = shared
            .into_iter()
            .map(|(row, at)| Duplicate {
                symbol: self.symbols[row].clone(),
                names: at.into_iter().map(|at| names[at].clone()).collect(),
            })
            .collect();
        GeneMatch { rows, how, coverage }
    }
}

/// Match the index and every column that is known to name genes; the one that finds most wins.
fn best_column(var: &Frame, match_names: impl Fn(&[String]) -> GeneMatch) -> FrameMatch {
    let index = match_names(&var.index);
    let mut tried = vec![("index".to_string(), index.coverage.found())];
    let mut best = ("index".to_string(), var.index.clone(), index);
    for (name, column) in &var.columns {
        let is_text = matches!(column, Column::Text(_) | Column::Categorical { .. });
        if !is_text || !NAMING_COLUMNS.contains(&name.to_ascii_lowercase().as_str()) {
            continue;
        }
        let names: Vec<String> =
            (0..column.len()).map(|row| column.text(row).unwrap_or_default()).collect();
        let matched = match_names(&names);
        tried.push((name.clone(), matched.coverage.found()));
        if matched.coverage.found() > best.2.coverage.found() {
            best = (name.clone(), names, matched);
        }
    }
    let (column, names, mut genes) = best;
    genes.coverage.column = Some(column.clone());
    FrameMatch { column, names, genes, tried }
}
