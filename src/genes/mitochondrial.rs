//! Mitochondrial genes: NCBI's gene_info calls them ND1 and COX1, every data set MT-ND1 and MT-CO1.

use super::record::GeneRecord;
use super::species::Species;

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
