//! Mitochondrial genes: NCBI's gene_info calls them ND1 and COX1, every data set MT-ND1 and MT-CO1.

use super::record::GeneRecord;
use super::species::Species;
use crate::cells::{Column, Frame};

/// NCBI's organelle name and HGNC's stem; mouse nomenclature writes `mt-Nd1` for `MT-ND1`.
const NAMES: [(&str, &str); 15] = [
    ("ND1", "ND1"),
    ("ND2", "ND2"),
    ("ND3", "ND3"),
    ("ND4", "ND4"),
    ("ND4L", "ND4L"),
    ("ND5", "ND5"),
    ("ND6", "ND6"),
    ("COX1", "CO1"),
    ("COX2", "CO2"),
    ("COX3", "CO3"),
    ("CYTB", "CYB"),
    ("ATP6", "ATP6"),
    ("ATP8", "ATP8"),
    ("RNR1", "RNR1"),
    ("RNR2", "RNR2"),
];

/// The symbol of HGNC or MGI for a mitochondrial gene that the table has under NCBI's name.
///
/// The full name has to say that the gene is mitochondrial, since nuclear genes bear such names too.
pub(super) fn official_symbol(gene: &GeneRecord) -> Option<String> {
    let symbol = gene.names.symbol.as_str();
    let (_, stem) = NAMES.iter().find(|(ncbi, _)| *ncbi == symbol)?;
    if !gene.full_name.to_lowercase().contains("mitochondri") {
        return None;
    }
    Some(match gene.species {
        Species::Human => format!("MT-{stem}"),
        Species::Mouse => {
            let (first, rest) = stem.split_at(1);
            format!("mt-{first}{}", rest.to_lowercase())
        }
    })
}

/// Ensembl's ids of the mitochondrial genes of human and mouse that code for proteins or ribosomal RNA; what
/// follows `ENSG00000` and `ENSMUSG00000`.
const ENSEMBL: [(&str, [&str; 15]); 2] = [
    (
        "ENSG00000",
        [
            "198888", "198763", "198804", "198712", "228253", "198899", "198938", "198840",
            "212907", "198886", "198786", "198695", "198727", "211459", "210082",
        ],
    ),
    (
        "ENSMUSG00000",
        [
            "064341", "064345", "064351", "064354", "064356", "064357", "064358", "064360",
            "065947", "064363", "064367", "064368", "064370", "064337", "064339",
        ],
    ),
];

/// Mark the mitochondrial genes of `var`: symbols that begin with `MT-` in any case, or their Ensembl ids with
/// or without version. Read is the index, or the column of texts that names more of them.
pub fn mitochondrial_genes(var: &Frame) -> Vec<bool> {
    let mut best: Vec<bool> = var.index.iter().map(|name| is_mitochondrial(name)).collect();
    let count = |marks: &[bool]| marks.iter().filter(|mark| **mark).count();
    for (_, column) in &var.columns {
        if matches!(column, Column::Text(_) | Column::Categorical { .. }) {
            let is_marked = |row| column.text(row).is_some_and(|name| is_mitochondrial(&name));
            let marks: Vec<bool> = (0..column.len()).map(is_marked).collect();
            if count(&marks) > count(&best) {
                best = marks;
            }
        }
    }
    best
}

/// Whether a name is the symbol or Ensembl's id of a mitochondrial gene.
pub(crate) fn is_mitochondrial(name: &str) -> bool {
    let name = name.trim();
    if name.get(..3).is_some_and(|first| first.eq_ignore_ascii_case("MT-")) {
        return true;
    }
    let unversioned = name.split('.').next().unwrap_or(name);
    ENSEMBL
        .iter()
        .any(|(species, ids)| unversioned.strip_prefix(species).is_some_and(|id| ids.contains(&id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_and_ensembl_ids_are_told() {
        let named = |names: &[&str]| Frame {
            index: names.iter().map(|name| (*name).to_owned()).collect(),
            columns: Vec::new(),
        };
        let marks = mitochondrial_genes(&named(&["MT-ND1", "mt-Co1", "MTOR", "MT1X", "ΜΤ-"]));
        assert_eq!(marks, [true, true, false, false, false]);
        let mut var = named(&["ENSG00000198888.2", "ENSMUSG00000064351", "ENSG00000000003"]);
        assert_eq!(mitochondrial_genes(&var), [true, true, false]);
        var = named(&["a", "b"]);
        let symbols = vec![Some("Actb".to_owned()), Some("mt-Nd4".to_owned())];
        var.columns.push(("symbol".to_owned(), Column::Text(symbols)));
        assert_eq!(mitochondrial_genes(&var), [false, true]);
    }
}
