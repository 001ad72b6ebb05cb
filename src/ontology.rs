//! The Cell Ontology: what cell types are called, and which is a kind of which.

mod spellings;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use spellings::{in_order, spellings, without_first_words};

use crate::{Error, Result};

/// The Cell Ontology, or another ontology in OBO format.
#[derive(Debug, Clone, Default)]
pub struct CellOntology {
    names: HashMap<String, String>,
    parents: HashMap<String, Vec<String>>,
    /// What a name in its plain form means, the surest first.
    meanings: HashMap<String, (String, How)>,
    /// The same by the words of a name in order of the alphabet, where they are one type's alone.
    by_words: HashMap<String, String>,
}

/// How a label was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// By the name of a type.
    Name,
    /// By an exact synonym.
    Synonym,
    /// By a related, broader or narrower synonym that only one type has, or by what a term that it replaced was called.
    Related,
    /// By a name or synonym with its words in another order, shortened, or as markers: `CD14+ Mono`.
    Spelling,
}

/// A type that a label means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its id, as `CL:0000084`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How it was found.
    pub how: How,
}

/// A stanza while it is read.
#[derive(Default)]
struct Term {
    id: String,
    name: String,
    synonyms: Vec<(String, How)>,
    parents: Vec<String>,
    obsolete: bool,
    replaced_by: Option<String>,
}

impl CellOntology {
    /// Read an OBO file, as `cl-basic.obo`. Ids of other ontologies are left out, and so are obsolete terms, but what
    /// one of them was called means the term that replaced it.
    ///
    /// # Errors
    /// A file that cannot be read, or that holds no cell type.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path, "open"))?;
        let mut ontology = Self::default();
        let mut unsure: HashMap<String, HashSet<String>> = HashMap::new();
        let mut replaced = Vec::new();
        for stanza in text.split("\n[").filter(|stanza| stanza.starts_with("Term]")) {
            let term = term(stanza);
            if !term.id.starts_with("CL:") || term.name.is_empty() {
                continue;
            }
            match term.replaced_by {
                Some(by) if term.obsolete => replaced.push((term.name, by)),
                _ if term.obsolete => {}
                _ => ontology.add(term, &mut unsure),
            }
        }
        for (name, by) in replaced {
            let name = name.strip_prefix("obsolete ").unwrap_or(&name);
            if ontology.names.contains_key(&by) {
                ontology.meanings.entry(plain_form(name)).or_insert((by, How::Related));
            }
        }
        for (form, ids) in unsure {
            let mut ids = ids.into_iter();
            // What several types are related to names none of them.
            if let (Some(id), None) = (ids.next(), ids.next()) {
                ontology.meanings.entry(form).or_insert((id, How::Related));
            }
        }
        ontology.by_words = by_words(&ontology.meanings);
        if ontology.names.is_empty() {
            let found: String = text.lines().next().unwrap_or("").chars().take(60).collect();
            let remedy = "download cl-basic.obo of the Cell Ontology";
            let expected = "terms of the Cell Ontology in OBO format";
            return Err(Error::input(path.display(), expected, format!("'{found}'"), remedy));
        }
        Ok(ontology)
    }

    fn add(&mut self, term: Term, unsure: &mut HashMap<String, HashSet<String>>) {
        let mut mean = |label: &str, how: How| {
            let form = plain_form(label);
            if how == How::Related {
                unsure.entry(form).or_default().insert(term.id.clone());
                return;
            }
            let meaning = (term.id.clone(), how);
            let known = self.meanings.entry(form).or_insert_with(|| meaning.clone());
            if meaning.1 < known.1 {
                *known = meaning;
            }
        };
        mean(&term.name, How::Name);
        term.synonyms.iter().for_each(|(label, how)| mean(label, *how));
        self.parents.insert(term.id.clone(), term.parents);
        self.names.insert(term.id, term.name);
    }

    /// Find the type that a label means: by name, exact synonym, a looser synonym that one type alone has, or another
    /// spelling of these; case, plural and punctuation do not matter, `+` does.
    pub fn find(&self, label: &str) -> Option<Found> {
        self.find_form(&plain_form(label))
    }

    /// Find a type that what a label means is a kind of, as its last words say: the T cell of "exhausted tumour T
    /// cell". The type itself where [`find`](Self::find) knows it.
    pub fn find_broader(&self, label: &str) -> Option<Found> {
        let form = plain_form(label);
        let broader = || without_first_words(&form).iter().find_map(|rest| self.find_form(rest));
        self.find_form(&form).or_else(broader)
    }

    fn find_form(&self, form: &str) -> Option<Found> {
        if form.is_empty() {
            return None;
        }
        let known = self.meanings.get(form).map(|(id, how)| (id, *how));
        let spelled = || {
            let id = spellings(form).iter().find_map(|words| self.by_words.get(words));
            id.map(|id| (id, How::Spelling))
        };
        let (id, how) = known.or_else(spelled)?;
        Some(Found { id: id.clone(), name: self.names.get(id)?.clone(), how })
    }

    /// The name of a type.
    pub fn name(&self, id: &str) -> Option<&str> {
        self.names.get(id).map(String::as_str)
    }

    /// Whether a type is a kind of another, or a kind of a kind of it; no type is a kind of itself.
    pub fn is_descendant(&self, id: &str, of: &str) -> bool {
        let mut seen: HashSet<&str> = HashSet::new();
        let mut waiting: Vec<&str> = vec![id];
        while let Some(one) = waiting.pop() {
            for parent in self.parents.get(one).into_iter().flatten() {
                if parent == of {
                    return true;
                }
                if seen.insert(parent) {
                    waiting.push(parent);
                }
            }
        }
        false
    }
}

/// Names by their words; of several types the one is taken that is called so most surely, and none of equals.
fn by_words(meanings: &HashMap<String, (String, How)>) -> HashMap<String, String> {
    let mut found: HashMap<String, (How, HashSet<&str>)> = HashMap::new();
    for (form, (id, how)) in meanings {
        let (surest, ids) = found.entry(in_order(form)).or_insert_with(|| (*how, HashSet::new()));
        if how < surest {
            (*surest, *ids) = (*how, HashSet::new());
        }
        if how == surest {
            ids.insert(id);
        }
    }
    let only = |ids: HashSet<&str>| (ids.len() == 1).then(|| ids.into_iter().collect::<String>());
    found.into_iter().filter_map(|(words, (_, ids))| Some((words, only(ids)?))).collect()
}

fn term(stanza: &str) -> Term {
    let mut term = Term::default();
    for line in stanza.lines().skip(1).take_while(|line| !line.starts_with('[')) {
        let Some((key, value)) = line.split_once(": ") else { continue };
        match key {
            "id" => term.id = value.trim().to_owned(),
            "name" => term.name = value.trim().to_owned(),
            "is_obsolete" => term.obsolete = value.trim() == "true",
            "replaced_by" => term.replaced_by = Some(value.trim().to_owned()),
            "is_a" => {
                term.parents.extend(value.split_whitespace().next().map(str::to_owned));
            }
            "synonym" => {
                // `"T-lymphocyte" EXACT []`, quotation marks within escaped.
                let mut parts = value.trim_start_matches('"').rsplitn(2, "\" ");
                if let (Some(scope), Some(label)) = (parts.next(), parts.next()) {
                    let exact = scope.starts_with("EXACT");
                    let how = if exact { How::Synonym } else { How::Related };
                    term.synonyms.push((label.replace("\\\"", "\""), how));
                }
            }
            _ => {}
        }
    }
    term
}

/// A name as it is compared: lower case, Greek letters written out, words in the singular, without punctuation but `+`.
fn plain_form(label: &str) -> String {
    const GREEK: [(char, &str); 8] = [
        ('α', "alpha"),
        ('β', "beta"),
        ('γ', "gamma"),
        ('δ', "delta"),
        ('ε', "epsilon"),
        ('ζ', "zeta"),
        ('κ', "kappa"),
        ('λ', "lambda"),
    ];
    let written = |label: String, (letter, name): &(char, &str)| label.replace(*letter, name);
    crate::annotate::normal_form(&GREEK.iter().fold(label.to_lowercase(), written))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBO: &str = "format-version: 1.2\n\n[Term]\nid: CL:0000000\nname: cell\n\n[Term]\nid: CL:0000084\n\
        name: T cell\nsynonym: \"T-lymphocyte\" EXACT []\nsynonym: \"thymocyte\" RELATED []\nis_a: CL:0000000 ! cell\n\n\
        [Term]\nid: CL:0000624\nname: CD4-positive, alpha-beta T cell\nis_a: CL:0000084 {source=\"x\"} ! T cell\n\
        synonym: \"lymphocyte\" BROAD []\n\n[Term]\nid: CL:0000236\nname: B cell\nis_a: CL:0000000\n\
        synonym: \"lymphocyte\" BROAD []\n\n[Term]\nid: CL:9999999\nname: old cell\nis_obsolete: true\n\n\
        [Term]\nid: CL:9999998\nname: obsolete bursal cell\nis_obsolete: true\nreplaced_by: CL:0000236\n\n\
        [Term]\nid: GO:0000001\nname: process\n\n[Typedef]\nid: part_of\nname: part of\n";

    fn ontology() -> CellOntology {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cl.obo");
        std::fs::write(&path, OBO).unwrap();
        CellOntology::read(&path).unwrap()
    }

    #[test]
    fn labels_are_found_by_name_and_synonym_whatever_the_spelling() {
        let ontology = ontology();
        let found = |label: &str| ontology.find(label).map(|one| (one.id, one.how));
        let t_cell = |how| Some(("CL:0000084".to_owned(), how));
        assert_eq!(found("T cells"), t_cell(How::Name));
        assert_eq!(found("t-cell"), t_cell(How::Name));
        assert_eq!(found("T lymphocytes"), t_cell(How::Synonym));
        assert_eq!(found("Thymocytes"), t_cell(How::Related));
        assert_eq!(found("CD4-positive, α-β T cells").unwrap().0, "CL:0000624");
        assert_eq!(found("bursal cells"), Some(("CL:0000236".to_owned(), How::Related)));
        for none in ["lymphocyte", "old cell", "process", "part of", ""] {
            assert_eq!(found(none), None, "{none}");
        }
        assert_eq!(ontology.name("CL:0000236"), Some("B cell"));
    }

    #[test]
    fn kinds_of_kinds_are_kinds_and_nothing_is_its_own() {
        let ontology = ontology();
        assert!(ontology.is_descendant("CL:0000624", "CL:0000084"));
        assert!(ontology.is_descendant("CL:0000624", "CL:0000000"));
        assert!(!ontology.is_descendant("CL:0000084", "CL:0000624"));
        assert!(!ontology.is_descendant("CL:0000084", "CL:0000084"));
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "hello").unwrap();
        assert_eq!(CellOntology::read(&path).unwrap_err().exit_code(), 2);
    }
}
