//! How many of a data set's genes a table knows, and what became of the rest.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use serde::Serialize;

use super::matcher::How;
use crate::{Error, Result};

/// Examples kept of each way a name was found or lost.
const EXAMPLES: usize = 5;

/// Lines of a report that list names one by one are cut after this many.
const LISTED: usize = 8;

/// The report on a match: `Display` is a short table, `Serialize` everything.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Coverage {
    /// What named the genes: `index` or a column of `var`; `None` for a plain list.
    pub column: Option<String>,
    /// Names asked for.
    pub total: usize,
    /// How many names went which way; ways that none went are absent.
    pub counts: BTreeMap<How, usize>,
    /// The first few names of each way, in the order of the data.
    pub examples: BTreeMap<How, Vec<String>>,
    /// Every name that several genes claim.
    pub ambiguous_names: Vec<AmbiguousName>,
    /// Every missing name that a spreadsheet seems to have turned into a date.
    pub date_names: Vec<AmbiguousName>,
    /// Every gene that more than one name points at; their values are to be added up.
    pub duplicates: Vec<Duplicate>,
}

/// A name with the genes it may mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AmbiguousName {
    /// The name in the data.
    pub name: String,
    /// The symbols that claim it.
    pub candidates: Vec<String>,
}

/// A gene that several names of the data point at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Duplicate {
    /// Its symbol in the table.
    pub symbol: String,
    /// The names in the data.
    pub names: Vec<String>,
}

impl Coverage {
    pub(super) fn count(&mut self, how: How, name: &str) {
        *self.counts.entry(how).or_insert(0) += 1;
        let examples = self.examples.entry(how).or_default();
        if examples.len() < EXAMPLES {
            examples.push(name.to_string());
        }
    }

    /// Number of names that went this way.
    pub fn of(&self, how: How) -> usize {
        self.counts.get(&how).copied().unwrap_or(0)
    }

    /// Number of names that mean a gene of the table.
    pub fn found(&self) -> usize {
        self.total - self.of(How::Ambiguous) - self.of(How::Missing)
    }

    /// Share of the names that mean a gene of the table, 0 to 1; 0 for no names.
    pub fn share(&self) -> f64 {
        if self.total == 0 { 0.0 } else { self.found() as f64 / self.total as f64 }
    }

    /// The report in one line: `1,200 of 1,500 found (80.0 %): 1,100 symbol, 100 alias; 300 missing`.
    pub fn summary(&self) -> String {
        let ways = |lost: bool| {
            let ways = How::ALL.iter().filter(|how| {
                matches!(how, How::Ambiguous | How::Missing) == lost && self.of(**how) > 0
            });
            ways.map(|&how| format!("{} {}", self.of(how), how.label())).collect::<Vec<_>>()
        };
        let mut line = format!(
            "{} of {} in the gene table ({:.1} %): {}",
            self.found(),
            self.total,
            100.0 * self.share(),
            ways(false).join(", ")
        );
        let lost = ways(true);
        if !lost.is_empty() {
            line.push_str(&format!("; {}", lost.join(", ")));
        }
        line
    }

    /// Refuse a match that found less than the share `minimum` of the genes of `place`.
    ///
    /// # Errors
    /// [`Error::Input`] that says how many were found and shows names that were not.
    pub fn require(&self, minimum: f64, place: impl Display) -> Result<()> {
        if self.total > 0 && self.share() >= minimum {
            return Ok(());
        }
        let missing = self.examples.get(&How::Missing).map(|names| names.join(", "));
        Err(Error::input(
            place,
            format!("a gene table that knows at least {:.0} % of the genes", minimum * 100.0),
            format!(
                "{} of {} ({:.1} %); not found: {}",
                self.found(),
                self.total,
                self.share() * 100.0,
                missing.unwrap_or_else(|| "none".into()),
            ),
            "take the gene table of the cells' species, check which column of var names the genes, or lower \
             data.minimum_coverage",
        ))
    }
}

impl How {
    /// Every way, in the order of a report.
    pub const ALL: [Self; 8] = [
        Self::Symbol,
        Self::Ensembl,
        Self::Retired,
        Self::Alias,
        Self::CaseFolded,
        Self::Ortholog,
        Self::Ambiguous,
        Self::Missing,
    ];

    /// Its word in a report.
    pub fn label(self) -> &'static str {
        match self {
            Self::Symbol => "symbol",
            Self::Ensembl => "Ensembl",
            Self::Retired => "retired",
            Self::Alias => "alias",
            Self::CaseFolded => "case-folded",
            Self::Ortholog => "ortholog",
            Self::Ambiguous => "ambiguous",
            Self::Missing => "missing",
        }
    }
}

impl Display for Coverage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = self.column.as_ref().map(|column| format!(" by {column}")).unwrap_or_default();
        let share = self.share() * 100.0;
        write!(out, "genes{by}: {} of {} found ({share:.1} %)", self.found(), self.total)?;
        for how in How::ALL {
            let count = self.of(how);
            if count == 0 {
                continue;
            }
            let share = 100.0 * count as f64 / self.total as f64;
            let examples = self.examples.get(&how).map(|names| names.join(", "));
            let more = if count > EXAMPLES { ", ..." } else { "" };
            let examples = examples.unwrap_or_default();
            write!(out, "\n  {:<11} {count:>7} {share:>6.1} %  {examples}{more}", how.label())?;
        }
        list(out, "ambiguous", &self.ambiguous_names, |item| {
            format!("{} ({})", item.name, item.candidates.join(" or "))
        })?;
        list(out, "turned into dates by a spreadsheet", &self.date_names, |item| {
            format!("{} ({})", item.name, item.candidates.join(" or "))
        })?;
        list(out, "several names for one gene, to be added up", &self.duplicates, |item| {
            format!("{} ({})", item.symbol, item.names.join(", "))
        })
    }
}

fn list<T>(
    out: &mut fmt::Formatter<'_>,
    what: &str,
    items: &[T],
    show: impl Fn(&T) -> String,
) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    let shown: Vec<String> = items.iter().take(LISTED).map(show).collect();
    let more = items.len().saturating_sub(LISTED);
    let tail = if more > 0 { format!("; and {more} more") } else { String::new() };
    write!(out, "\n  {what}: {}{tail}", shown.join("; "))
}
