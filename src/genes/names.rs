//! What a gene is called: symbol, Ensembl id, aliases and the names it no longer has.

use serde::{Deserialize, Serialize};

/// The names of one gene, as far as a table knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneNames {
    /// Official symbol: `Ccl2`, `CCL2`.
    pub symbol: String,
    /// Ensembl gene id without version: `ENSMUSG00000035385`.
    pub ensembl: Option<String>,
    /// Other names in use; may be shared with other genes. Further Ensembl ids are kept here too.
    pub aliases: Vec<String>,
    /// Symbols the gene had before, from NCBI's `gene_history`.
    pub retired: Vec<String>,
}

impl GeneNames {
    /// Name a gene by its symbol alone.
    pub fn new(symbol: impl Into<String>) -> Self {
        Self { symbol: symbol.into(), ..Self::default() }
    }
}

/// Whether `name` is an Ensembl gene id of any species, with or without version, in any case.
pub fn is_ensembl_gene(name: &str) -> bool {
    let stem = strip_version(name).as_bytes();
    let letters = stem.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let (prefix, digits) = stem.split_at(letters);
    digits.len() == 11
        && digits.iter().all(u8::is_ascii_digit)
        && (4..=7).contains(&prefix.len())
        && prefix[..3].eq_ignore_ascii_case(b"ENS")
        && prefix[prefix.len() - 1].eq_ignore_ascii_case(&b'G')
}

/// Drop the version of an Ensembl id: `ENSG00000141510.18` is `ENSG00000141510`, and so is
/// `ENSG00000141510.18_PAR_Y`. Other names come back whole.
pub fn strip_version(name: &str) -> &str {
    match name.split_once('.') {
        Some((stem, _))
            if stem.len() >= 15 && stem.as_bytes()[..3].eq_ignore_ascii_case(b"ENS") =>
        {
            stem
        }
        _ => name,
    }
}

/// Put an Ensembl id in the form that indexes use: upper case, no version.
pub(super) fn ensembl_key(name: &str) -> String {
    strip_version(name).to_ascii_uppercase()
}

/// Fold the case of a symbol, so that `COPS5` meets `Cops5`.
pub(super) fn fold_case(name: &str) -> String {
    name.to_uppercase()
}

/// Recover what a spreadsheet may have turned into a date: `1-Mar` was `MARCH1` or `MARC1`,
/// `2-Sep` was `SEPT2`. Returns the names it may have been, upper case; none for other names.
///
/// Reported, never repaired: the change loses which of them it was (Ziemann et al., Genome
/// Biology 2016, 17:177).
pub fn before_spreadsheet(name: &str) -> Vec<String> {
    let Some((left, right)) = name.split_once(['-', '/']) else { return Vec::new() };
    let (number, month) =
        if left.bytes().all(|byte| byte.is_ascii_digit()) { (left, right) } else { (right, left) };
    let Ok(number) = number.parse::<u32>() else { return Vec::new() };
    if !(1..=31).contains(&number) {
        return Vec::new();
    }
    let stems: &[&str] = match month.to_ascii_lowercase().as_str() {
        "mar" | "march" => &["MARCH", "MARC"],
        "sep" | "sept" | "september" => &["SEPT", "SEP"],
        "dec" | "december" => &["DEC"],
        "oct" | "october" => &["OCT"],
        "feb" | "february" => &["FEB"],
        "apr" | "april" => &["APR"],
        "nov" | "november" => &["NOV"],
        _ => &[],
    };
    stems.iter().map(|stem| format!("{stem}{number}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ensembl_ids_are_told_from_symbols() {
        assert!(is_ensembl_gene("ENSG00000141510"));
        assert!(is_ensembl_gene("ENSMUSG00000035385.7"));
        assert!(is_ensembl_gene("ensg00000141510"));
        assert!(!is_ensembl_gene("ENSA"));
        assert!(!is_ensembl_gene("ENST00000269305"), "a transcript is no gene");
        assert!(!is_ensembl_gene("WBGene00000010"));
        assert!(!is_ensembl_gene(""));
    }

    #[test]
    fn only_ensembl_ids_lose_what_follows_the_dot() {
        assert_eq!(strip_version("ENSG00000141510.18"), "ENSG00000141510");
        assert_eq!(strip_version("ENSG00000002586.20_PAR_Y"), "ENSG00000002586");
        assert_eq!(strip_version("AL627309.1"), "AL627309.1");
        assert_eq!(strip_version("é.1"), "é.1");
    }

    #[test]
    fn dates_are_seen_through() {
        assert_eq!(before_spreadsheet("1-Mar"), ["MARCH1", "MARC1"]);
        assert_eq!(before_spreadsheet("Sep-02"), ["SEPT2", "SEP2"]);
        assert!(before_spreadsheet("HLA-DRA").is_empty());
        assert!(before_spreadsheet("NKX2-1").is_empty());
        assert!(before_spreadsheet("-").is_empty());
    }
}
