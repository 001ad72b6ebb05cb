//! How near a label comes to the truth: the same words, the same type, a kind of it, or something like it.

use serde::Serialize;

use super::broad_type::broad_type;
use super::token_set::is_alike;
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
    /// Words [alike](is_alike), where the ontology does not say that they mean two types.
    Fuzzy,
    /// Another type of the same [broad type](broad_type).
    Broad,
    /// Another type, or one that the true type is a kind of.
    Wrong,
    /// No answer, or "unknown".
    Unknown,
}

impl LabelMatch {
    /// All of them, the best first.
    pub const ALL: [Self; 7] = [
        Self::Exact,
        Self::Synonym,
        Self::Descendant,
        Self::Fuzzy,
        Self::Broad,
        Self::Wrong,
        Self::Unknown,
    ];

    /// Compare a label with the truth; without an ontology by words alone.
    pub fn of(label: Option<&str>, truth: &str, ontology: Option<&CellOntology>) -> Self {
        let label = label.unwrap_or("").trim();
        let [form, true_form] = [label, truth].map(normal_form);
        if form.is_empty() || form == UNKNOWN {
            return Self::Unknown;
        }
        if form == true_form {
            return Self::Exact;
        }
        let found = |ontology: &CellOntology| Some((ontology.find(label)?, ontology.find(truth)?));
        if let Some((ontology, (label, truth))) = ontology.and_then(|one| Some((one, found(one)?)))
        {
            return Self::of_types(&label.id, &truth.id, ontology);
        }
        let is_of_same_broad_type = |ontology: &CellOntology| {
            let found = [label, truth].map(|one| ontology.find_broader(one));
            let [Some(label), Some(truth)] = found else { return false };
            are_of_one_broad_type(ontology, &label.id, &truth.id)
        };
        if is_alike(&form, &true_form) {
            Self::Fuzzy
        } else if ontology.is_some_and(is_of_same_broad_type) {
            Self::Broad
        } else {
            Self::Wrong
        }
    }

    fn of_types(label: &str, truth: &str, ontology: &CellOntology) -> Self {
        if label == truth {
            Self::Synonym
        } else if ontology.is_descendant(label, truth) {
            Self::Descendant
        } else if are_of_one_broad_type(ontology, label, truth) {
            Self::Broad
        } else {
            Self::Wrong
        }
    }

    /// Whether it counts as right.
    pub fn is_right(self) -> bool {
        self <= Self::Descendant
    }

    /// What it is worth where all layers count: 1 down to words alike, a half for the broad type.
    pub fn credit(self) -> f64 {
        match self {
            Self::Exact | Self::Synonym | Self::Descendant | Self::Fuzzy => 1.0,
            Self::Broad => 0.5,
            Self::Wrong | Self::Unknown => 0.0,
        }
    }

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Synonym => "synonym",
            Self::Descendant => "descendant",
            Self::Fuzzy => "fuzzy",
            Self::Broad => "broad",
            Self::Wrong => "wrong",
            Self::Unknown => "unknown",
        }
    }
}

fn are_of_one_broad_type(ontology: &CellOntology, label: &str, truth: &str) -> bool {
    let [label, truth] = [label, truth].map(|id| broad_type(ontology, id));
    label.is_some() && label == truth
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_kinds_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cl.obo");
        let obo = "[Term]\nid: CL:0000084\nname: T cell\nsynonym: \"T-lymphocyte\" EXACT []\n\n[Term]\nid: CL:2\n\
                   name: naive T cell\nis_a: CL:0000084\n\n[Term]\nid: CL:3\nname: memory T cell\nis_a: CL:0000084\n\n\
                   [Term]\nid: CL:4\nname: hepatocyte\n";
        std::fs::write(&path, format!("format-version: 1.2\n\n{obo}")).unwrap();
        let ontology = CellOntology::read(&path).unwrap();
        let of = |label: &str, truth: &str| LabelMatch::of(Some(label), truth, Some(&ontology));
        assert_eq!(of("T cells", "t-cell"), LabelMatch::Exact);
        assert_eq!(of("T lymphocyte", "T cell"), LabelMatch::Synonym);
        assert_eq!(of("naive T cell", "T cell"), LabelMatch::Descendant);
        assert_eq!(of("T cell", "naive T cell"), LabelMatch::Broad);
        assert_eq!(of("memory T cell", "naive T cell"), LabelMatch::Broad);
        assert_eq!(of("hepatocyte", "naive T cell"), LabelMatch::Wrong);
        assert_eq!(of("hepatocite", "hepatocyte"), LabelMatch::Fuzzy);
        assert_eq!(of("exhausted tumour T cell", "memory T"), LabelMatch::Broad);
        assert_eq!(of("T cells naive", "Naive T"), LabelMatch::Synonym);
        assert_eq!(of("Unknown", "T cell"), LabelMatch::Unknown);
        assert_eq!(LabelMatch::of(None, "T cell", None), LabelMatch::Unknown);
        assert_eq!(LabelMatch::of(Some("T lymphocyte"), "T cell", None), LabelMatch::Wrong);
    }
}
