//! Genes of the proteins of cytosolic ribosomes, by the symbols of HGNC and MGI.

/// What may follow the number: `RPS4X`, `RPS4Y1`, `RPL7A`, `RPL36AL`, `RPS27L`, `RPL26L1`.
const VARIANTS: [&str; 8] = ["", "A", "AL", "L", "L1", "X", "Y1", "Y2"];

/// Whether a symbol, in any case, is that of a ribosomal protein (`RPL13A`, `RPS6`, `RPLP0`, `RPSA`) or of a
/// pseudogene of one (`RPL13AP5`). Kinases of them (`RPS6KA1`), binding proteins (`RPS19BP1`) and proteins of
/// mitochondrial ribosomes (`MRPL1`) are not.
pub(crate) fn is_ribosomal_protein(symbol: &str) -> bool {
    let symbol = symbol.trim().to_ascii_uppercase();
    let Some(name) = symbol.strip_prefix("RP") else { return false };
    if ["SA", "LP0", "LP1", "LP2"].iter().any(|stem| is_or_pseudogene_of(name, stem)) {
        return true;
    }
    let Some(rest) = name.strip_prefix(['L', 'S']) else { return false };
    let variant = rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
    variant.len() < rest.len() && VARIANTS.iter().any(|one| is_or_pseudogene_of(variant, one))
}

/// `stem`, or `stem`, P and a number.
fn is_or_pseudogene_of(name: &str, stem: &str) -> bool {
    let Some(rest) = name.strip_prefix(stem) else { return false };
    let number = rest.strip_prefix('P');
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    rest.is_empty() || number.is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::is_ribosomal_protein;

    #[test]
    fn ribosomal_proteins_are_told_from_what_is_named_after_them() {
        let yes = "RPS27 RPL32 Rpl13a RPS4X RPS4Y1 RPL36AL RPS27L RPL26L1 RPLP0 Rplp2 RPSA RPL13AP5 RPSAP58";
        assert!(yes.split(' ').all(is_ribosomal_protein));
        let no = "RPS6KA1 RPS6KB2 RPS19BP1 RPS10-NUDT3 MRPL1 RPLP RPL RPS RPLA RPA1 RPE65 RPH3A RPL3P RP11-290F20.3 Rprl3";
        assert_eq!(no.split(' ').find(|one| is_ribosomal_protein(one)), None);
        assert!(!is_ribosomal_protein("RPS∞") && !is_ribosomal_protein(""));
    }
}
