//! The broad type of a type: what a label that is not right may still have seen.

use crate::ontology::CellOntology;

/// Broad types by the terms of the Cell Ontology that they are made of. A type is of the first that it is a kind
/// of: all endothelial and many endocrine cells are epithelial cells too.
const BROAD_TYPES: [(&str, &[&str]); 17] = [
    ("T or NK cell", &["CL:0000084", "CL:0001065"]),
    ("B cell", &["CL:0000945"]),
    ("monocyte, macrophage or dendritic cell", &["CL:0000576", "CL:0000235", "CL:0000451"]),
    ("granulocyte or mast cell", &["CL:0000094", "CL:0000097"]),
    ("erythroid cell", &["CL:0000764"]),
    ("megakaryocyte or platelet", &["CL:0000556", "CL:0000233"]),
    ("blood progenitor", &["CL:0008001"]),
    ("neuron", &["CL:0000540"]),
    ("glial cell", &["CL:0000125"]),
    ("muscle cell or pericyte", &["CL:0000187", "CL:0000669"]),
    ("fat cell", &["CL:0000136"]),
    ("fibroblast or stromal cell", &["CL:0000057", "CL:0000499"]),
    ("germ line cell", &["CL:0000039"]),
    ("neoplastic cell", &["CL:0001063"]),
    ("endothelial cell", &["CL:0000115"]),
    ("endocrine cell", &["CL:0000163"]),
    ("epithelial cell", &["CL:0000066"]),
];

/// Give the broad type of the type `id` of the Cell Ontology; none where no broad type is as broad.
pub fn broad_type(ontology: &CellOntology, id: &str) -> Option<&'static str> {
    let is_of = |terms: &[&str]| terms.iter().any(|&of| id == of || ontology.is_descendant(id, of));
    BROAD_TYPES.iter().find(|(_, terms)| is_of(terms)).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_broad_type_is_of_the_ontology_and_none_hides_another() {
        let shared = std::env::var("SCREADER_SHARED").unwrap_or_else(|_| "../shared".to_owned());
        let path = std::path::Path::new(&shared).join("data/common/ontology/cl-basic.obo");
        if !path.is_file() {
            eprintln!("skipped: no {}", path.display());
            return;
        }
        let ontology = CellOntology::read(&path).unwrap();
        for (name, terms) in BROAD_TYPES {
            for term in terms {
                assert!(ontology.name(term).is_some(), "{term} of {name}");
                assert_eq!(broad_type(&ontology, term), Some(name), "{term}");
            }
        }
        let of = |label: &str| broad_type(&ontology, &ontology.find(label).unwrap().id);
        for (label, broad) in [
            ("CD4-positive, alpha-beta T cell", Some("T or NK cell")),
            ("naive B cell", Some("B cell")),
            ("plasma cell", Some("B cell")),
            ("microglial cell", Some("monocyte, macrophage or dendritic cell")),
            ("type B pancreatic cell", Some("endocrine cell")),
            ("hepatocyte", Some("epithelial cell")),
            ("cell", None),
        ] {
            assert_eq!(of(label), broad, "{label}");
        }
        let name = |label: &str| ontology.find(label).map(|found| found.name);
        for (label, expected) in [
            ("NK", Some("natural killer cell")),
            ("B", Some("B cell")),
            ("B cells naive", Some("naive B cell")),
            ("CD14+ Mono", Some("CD14-positive monocyte")),
            ("Memory CD4 T", Some("CD4-positive, alpha-beta memory T cell")),
            ("Naive CD4 T", Some("naive thymus-derived CD4-positive, alpha-beta T cell")),
            ("CD8 T", Some("CD8-positive, alpha-beta T cell")),
            ("DC", Some("dendritic cell")),
            ("Platelet", Some("platelet")),
            ("FCGR3A+ Mono", None),
            ("Cluster 3", None),
        ] {
            assert_eq!(name(label).as_deref(), expected, "{label}");
        }
        let broader = |label: &str| ontology.find_broader(label).map(|found| found.name);
        assert_eq!(broader("FCGR3A+ Mono").as_deref(), Some("monocyte"));
        assert_eq!(broader("stressed cell"), None);
    }
}
