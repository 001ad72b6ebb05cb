//! The species that gene tables are made for, and a guess at the species of a data set.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::coverage::Coverage;
use super::matcher::How;
use super::names::is_ensembl_gene;
use crate::{Error, Result};

/// A species that NCBI and Ensembl tables are read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Species {
    /// *Homo sapiens*.
    Human,
    /// *Mus musculus*.
    Mouse,
}

impl Species {
    /// NCBI taxonomy id.
    pub fn tax_id(self) -> u32 {
        match self {
            Self::Human => 9606,
            Self::Mouse => 10090,
        }
    }

    /// Name as NCBI writes it.
    pub fn scientific_name(self) -> &'static str {
        match self {
            Self::Human => "Homo sapiens",
            Self::Mouse => "Mus musculus",
        }
    }

    /// The other of the two.
    pub fn other(self) -> Self {
        match self {
            Self::Human => Self::Mouse,
            Self::Mouse => Self::Human,
        }
    }

    /// NCBI's lineage, as the field "Lineage" of a gene page has it.
    pub fn lineage(self) -> &'static str {
        match self {
            Self::Human => {
                "Eukaryota; Metazoa; Chordata; Craniata; Vertebrata; Euteleostomi; Mammalia; \
                 Eutheria; Euarchontoglires; Primates; Haplorrhini; Catarrhini; Hominidae; Homo"
            }
            Self::Mouse => {
                "Eukaryota; Metazoa; Chordata; Craniata; Vertebrata; Euteleostomi; Mammalia; \
                 Eutheria; Euarchontoglires; Glires; Rodentia; Myomorpha; Muroidea; Muridae; \
                 Murinae; Mus; Mus"
            }
        }
    }
}

impl Display for Species {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Human => "human",
            Self::Mouse => "mouse",
        })
    }
}

impl FromStr for Species {
    type Err = Error;

    /// Read a species as [`Display`] writes it.
    ///
    /// # Errors
    /// [`Error::Input`] for any other.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "human" => Ok(Self::Human),
            "mouse" => Ok(Self::Mouse),
            other => Err(Error::input("species", "human or mouse", other, "name one of them")),
        }
    }
}

/// What the names of a data set say about its species.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpeciesGuess {
    /// ENSG ids, or upper-case symbols without a sign of mouse.
    Human,
    /// ENSMUSG ids, capitalised symbols, or upper-case symbols with the signs of mouse.
    Mouse,
    /// Neither.
    Unknown,
}

/// Signs of a species among gene names.
#[derive(Debug, Clone, Copy, Default)]
struct Signs {
    human_ids: usize,
    mouse_ids: usize,
    other_ids: usize,
    capitalised: usize,
    upper: usize,
    other: usize,
    /// Names that only human annotation makes: `HLA-A`, `LINC00115`, `RP11-206L10.2`.
    human_only: usize,
    /// Names that only mouse annotation makes, in any case: `Gm5935`, `4933402J10Rik`, `H2-K1`.
    mouse_only: usize,
}

impl Signs {
    fn of(names: &[String]) -> Self {
        let mut signs = Self::default();
        for name in names {
            signs.see(name.trim());
        }
        signs
    }

    fn see(&mut self, name: &str) {
        let folded = name.to_uppercase();
        if is_ensembl_gene(name) {
            match folded.as_bytes().get(3..7) {
                Some(b"MUSG") => self.mouse_ids += 1,
                Some([b'G', ..]) => self.human_ids += 1,
                _ => self.other_ids += 1,
            }
            return;
        }
        if is_mouse_only(&folded) {
            self.mouse_only += 1;
        } else if is_human_only(name) {
            self.human_only += 1;
        }
        let mut letters = name.chars().filter(|letter| letter.is_alphabetic());
        let starts_upper = letters.next().is_some_and(char::is_uppercase);
        let (lower, upper) = letters.fold((0, 0), |(lower, upper), letter| {
            if letter.is_lowercase() { (lower + 1, upper) } else { (lower, upper + 1) }
        });
        match (starts_upper, lower, upper) {
            (true, 0, _) => self.upper += 1,
            (true, lower, upper) if lower > upper && name.len() < 12 => self.capitalised += 1,
            _ => self.other += 1,
        }
    }

    fn guess(self) -> SpeciesGuess {
        let ids = self.human_ids + self.mouse_ids + self.other_ids;
        let named = self.capitalised + self.upper + self.other;
        if ids > named {
            return match () {
                () if 2 * self.human_ids > ids => SpeciesGuess::Human,
                () if 2 * self.mouse_ids > ids => SpeciesGuess::Mouse,
                () => SpeciesGuess::Unknown,
            };
        }
        if 2 * self.capitalised > named {
            SpeciesGuess::Mouse
        } else if 2 * self.upper > named {
            let mouse = self.mouse_only > self.human_only;
            if mouse { SpeciesGuess::Mouse } else { SpeciesGuess::Human }
        } else {
            SpeciesGuess::Unknown
        }
    }
}

fn is_mouse_only(folded: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    folded.strip_prefix("GM").is_some_and(digits)
        || (folded.ends_with("RIK") && folded.starts_with(|first: char| first.is_ascii_digit()))
        || folded.starts_with("H2-")
}

fn is_human_only(name: &str) -> bool {
    ["HLA-", "LINC0", "RP11-", "CTD-", "KIR2D", "KIR3D"].iter().any(|sign| name.starts_with(sign))
}

/// Guess the species of a data set from its gene names.
///
/// Ensembl ids decide by prefix. Symbols decide by case, `Ccl2` or `CCL2`; upper-cased mouse
/// symbols are known by names that human annotation does not make (`GM38380`, `…RIK`, `H2-…`).
pub fn guess_species(names: &[String]) -> SpeciesGuess {
    Signs::of(names).guess()
}

/// Refuse a data set whose genes are evidently not of the species of the table.
///
/// A set of upper-case symbols with no sign of either species passes for mouse too.
///
/// # Errors
/// [`Error::Input`] that names the file and the species it looks like; also if a smaller share of the
/// genes than `minimum` was found.
pub fn check_species(
    place: &str,
    names: &[String],
    expected: Species,
    coverage: &Coverage,
    minimum: f64,
) -> Result<()> {
    let signs = Signs::of(names);
    let looks = match signs.guess() {
        SpeciesGuess::Human
            if expected == Species::Mouse && (signs.human_only > 0 || signs.human_ids > 0) =>
        {
            Some(Species::Human)
        }
        SpeciesGuess::Mouse if expected == Species::Human => Some(Species::Mouse),
        _ => None,
    };
    let few = coverage.share() < minimum;
    let by_case = 2 * coverage.of(How::CaseFolded) > coverage.found();
    if let Some(found) = looks
        && (few || by_case)
    {
        return Err(Error::input(
            place,
            format!("{expected} genes"),
            format!("{found} genes ({})", first_names(names)),
            format!("use a gene table of {found}, or match through orthologs"),
        ));
    }
    // Names that are known as they stand are of this species, if too few.
    if few && (by_case || coverage.found() == 0) && signs.guess() == SpeciesGuess::Unknown {
        return Err(Error::input(
            place,
            format!("{expected} genes"),
            format!(
                "names of neither human nor mouse ({}), {} of {} known",
                first_names(names),
                coverage.found(),
                coverage.total
            ),
            "use data of human or mouse, or a gene table of this species",
        ));
    }
    coverage.require(minimum, place)
}

/// A table that knows less than this share of a data set's genes is the wrong table.
pub const MINIMUM_SHARE: f64 = 0.2;

fn first_names(names: &[String]) -> String {
    names.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Share of the names that have letters but no lower-case one, Ensembl ids aside; `None` for none.
pub(super) fn share_without_lower_case(names: &[String]) -> Option<f64> {
    let mut counted = 0_usize;
    let mut upper = 0_usize;
    for name in names {
        if is_ensembl_gene(name) || !name.chars().any(char::is_alphabetic) {
            continue;
        }
        counted += 1;
        upper += usize::from(!name.chars().any(char::is_lowercase));
    }
    (counted > 0).then(|| upper as f64 / counted as f64)
}
