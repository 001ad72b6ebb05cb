//! How near a label comes to the truth: the same words, the same type, or a kind of it.

use serde::Serialize;

use crate::annotate::{UNKNOWN, normal_form};
use crate::ontology::CellOntology;

/// How a label fits the truth, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelMatch {
    /// The same words, but for case, plural and punctuation.
    Exact,
    /// The same type of the Cell Ontology.
    Synonym,
    /// A kind of the true type, which scTab counts as right too (Fischer et al. 2024).
    Descendant,
    /// Another type, or one that the true type is a kind of.
    Wrong,
    /// No answer, or "unknown".
    Unknown,
}

impl LabelMatch {
    /// All of them, the best first.
    pub const ALL: [Self; 5] =
        [Self::Exact, Self::Synonym, Self::Descendant, Self::Wrong, Self::Unknown];

    /// Compare a label with the truth; without an ontology by words alone.
    pub fn of(label: Option<&str>, truth: &str, ontology: Option<&CellOntology>) -> Self {
        let label = label.unwrap_or("").trim();
        let form = normal_form(label);
        if form.is_empty() || form == UNKNOWN {
            return Self::Unknown;
        }
        if form == normal_form(truth) {
            return Self::Exact;
        }
        let found = |ontology: &CellOntology| Some((ontology.find(label)?, ontology.find(truth)?));
        match ontology.and_then(|ontology| Some((ontology, found(ontology)?))) {
            Some((_, (label, truth))) if label.id == truth.id => Self::Synonym,
            Some((ontology, (label, truth))) if ontology.is_descendant(&label.id, &truth.id) => {
                Self::Descendant
            }
            _ => Self::Wrong,
        }
    }

    /// Whether it counts as right.
    pub fn is_right(self) -> bool {
        self <= Self::Descendant
    }

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Synonym => "synonym",
            Self::Descendant => "descendant",
            Self::Wrong => "wrong",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_kinds_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cl.obo");
        let obo = "[Term]\nid: CL:1\nname: T cell\nsynonym: \"T-lymphocyte\" EXACT []\n\n[Term]\nid: CL:2\n\
                   name: naive T cell\nis_a: CL:1\n";
        std::fs::write(&path, format!("format-version: 1.2\n\n{obo}")).unwrap();
        let ontology = CellOntology::read(&path).unwrap();
        let of = |label: &str, truth: &str| LabelMatch::of(Some(label), truth, Some(&ontology));
        assert_eq!(of("T cells", "t-cell"), LabelMatch::Exact);
        assert_eq!(of("T lymphocyte", "T cell"), LabelMatch::Synonym);
        assert_eq!(of("naive T cell", "T cell"), LabelMatch::Descendant);
        assert_eq!(of("T cell", "naive T cell"), LabelMatch::Wrong);
        assert_eq!(of("Unknown", "T cell"), LabelMatch::Unknown);
        assert_eq!(LabelMatch::of(None, "T cell", None), LabelMatch::Unknown);
        assert_eq!(LabelMatch::of(Some("T lymphocyte"), "T cell", None), LabelMatch::Wrong);
    }
}
