//! Which gene a name means: the rules, one by one and on generated tables.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use screader::cells::{Column, Frame};
use screader::genes::{
    GeneMatcher, GeneNames, How, Orthologs, Species, SpeciesGuess, guess_species,
};

fn gene(symbol: &str, ensembl: &str, aliases: &[&str], retired: &[&str]) -> GeneNames {
    let own = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    GeneNames {
        symbol: symbol.into(),
        ensembl: Some(ensembl.to_string()).filter(|id| !id.is_empty()),
        aliases: own(aliases),
        retired: own(retired),
    }
}

fn mouse() -> GeneMatcher {
    GeneMatcher::new(&[
        gene("Ccl2", "ENSMUSG00000035385", &["MCP-1", "Je", "Sig"], &["Scya2"]),
        gene("Cd4", "ENSMUSG00000023274", &["Ly-4"], &[]),
        gene("Eloc", "ENSMUSG00000079658", &["Tceb1"], &[]),
        gene("Skp1", "ENSMUSG00000036309", &["Tceb1", "CD4"], &[]),
        gene("Septin2", "ENSMUSG00000026276", &["Nedd5"], &["Sept2"]),
    ])
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| name.to_string()).collect()
}

#[test]
fn every_rule_finds_its_gene() {
    let asked = ["Ccl2", "ENSMUSG00000035385.7", "Scya2", "Je", "sKP1", " Cd4 ", "Nonsense", ""];
    let matched = mouse().match_names(&names(&asked));
    let expected = [Some(0), Some(0), Some(0), Some(0), Some(3), Some(1), None, None];
    assert_eq!(matched.rows, expected);
    use How::{Alias, CaseFolded, Ensembl, Missing, Retired, Symbol};
    let how = [Symbol, Ensembl, Retired, Alias, CaseFolded, Symbol, Missing, Missing];
    assert_eq!(matched.how, how);
    assert_eq!(matched.coverage.found(), 6);
    let doubled = &matched.coverage.duplicates[0];
    assert_eq!(doubled.symbol, "Ccl2");
    assert_eq!(doubled.names, ["Ccl2", "ENSMUSG00000035385.7", "Scya2", "Je"]);
}

#[test]
fn an_alias_of_two_genes_is_reported_and_not_guessed() {
    let matched = mouse().match_names(&names(&["Tceb1", "Ccl2"]));
    assert_eq!(matched.rows, [None, Some(0)]);
    assert_eq!(matched.how[0], How::Ambiguous);
    assert_eq!(matched.coverage.ambiguous_names[0].candidates, ["Eloc", "Skp1"]);
    let report = matched.coverage.to_string();
    assert!(report.contains("Tceb1 (Eloc or Skp1)"), "{report}");
}

#[test]
fn upper_cased_mouse_data_mean_the_symbol_before_another_genes_alias() {
    let matcher = mouse();
    let upper = matcher.match_names(&names(&["CD4", "CCL2", "SKP1"]));
    assert_eq!(upper.rows, [Some(1), Some(0), Some(3)]);
    assert!(upper.how.iter().all(|how| *how == How::CaseFolded));
    let mixed = matcher.match_names(&names(&["CD4", "Ccl2", "Skp1"]));
    assert_eq!((mixed.rows[0], mixed.how[0]), (Some(3), How::Alias));
}

#[test]
fn a_symbol_on_two_rows_is_the_gene_with_an_ensembl_id() {
    let twice = [gene("HBD", "ENSG00000223609", &[], &[]), gene("HBD", "", &[], &[])];
    let matched = GeneMatcher::new(&twice).match_names(&names(&["HBD"]));
    assert_eq!((matched.rows[0], matched.how[0]), (Some(0), How::Symbol));
    let neither = [gene("TRNA", "", &[], &[]), gene("TRNA", "", &[], &[])];
    let matched = GeneMatcher::new(&neither).match_names(&names(&["TRNA"]));
    assert_eq!((matched.rows[0], matched.how[0]), (None, How::Ambiguous));
}

#[test]
fn names_that_a_spreadsheet_made_dates_of_are_called_so() {
    let matched = mouse().match_names(&names(&["2-Sep", "1-Mar", "Ccl2"]));
    assert_eq!(matched.rows, [None, None, Some(0)]);
    let dates = &matched.coverage.date_names;
    assert_eq!(dates.len(), 2);
    assert_eq!(dates[0].candidates, ["SEPT2", "SEP2"]);
    let report = matched.coverage.to_string();
    assert!(report.contains("dates by a spreadsheet: 2-Sep (SEPT2 or SEP2)"), "{report}");
}

#[test]
fn the_best_naming_column_of_a_frame_is_taken_and_named() {
    let text = |list: &[&str]| list.iter().map(|name| Some(name.to_string())).collect();
    let frame = Frame {
        index: names(&["row-a", "row-b", "Cd4"]),
        columns: vec![
            ("feature_name".into(), Column::Text(text(&["Ccl2", "Cd4", "Nope"]))),
            (
                "gene_ids".into(),
                Column::categorical(&text(&[
                    "ENSMUSG00000035385",
                    "ENSMUSG00000023274",
                    "ENSMUSG00000036309",
                ])),
            ),
            ("cell_type".into(), Column::Text(text(&["Ccl2", "Cd4", "Skp1"]))),
            ("name".into(), Column::Float(vec![1.0, 2.0, 3.0])),
        ],
    };
    let found = mouse().match_frame(&frame);
    assert_eq!(found.column, "gene_ids");
    assert_eq!(found.genes.rows, [Some(0), Some(1), Some(3)]);
    let tried = [("index", 1), ("feature_name", 2), ("gene_ids", 3)];
    assert_eq!(found.tried, tried.map(|(name, count)| (name.to_string(), count)));
    assert!(found.genes.coverage.to_string().starts_with("genes by gene_ids: 3 of 3 found"));
}

#[test]
fn orthologs_go_one_to_one_and_both_ways() {
    let pairs = Orthologs::from_pairs([
        ("CCL2", "Ccl2"),
        ("CD4", "Cd4"),
        ("SKP1", "Skp1"),
        ("SKP1", "Eloc"),
        ("", "Septin2"),
    ]);
    assert_eq!(pairs.one_to_one(), 2);
    let human = names(&["CCL2", "CD4", "SKP1", "SEPTIN2", "ENSG00000010610.5"]);
    let matched = mouse().match_through(&human, &pairs, Species::Human, None);
    assert_eq!(matched.rows, [Some(0), Some(1), None, None, None]);
    use How::{Ambiguous, Missing, Ortholog};
    assert_eq!(matched.how, [Ortholog, Ortholog, Ambiguous, Missing, Missing]);
    assert_eq!(matched.coverage.ambiguous_names[0].candidates, ["Eloc", "Skp1"]);

    let human_genes = GeneMatcher::new(&[gene("CD4", "ENSG00000010610", &[], &[])]);
    let matched = mouse().match_through(&human, &pairs, Species::Human, Some(&human_genes));
    assert_eq!((matched.rows[4], matched.how[4]), (Some(1), Ortholog));

    let table = GeneMatcher::new(&[gene("CD4", "", &[], &[]), gene("CCL2", "", &[], &[])]);
    let back = table.match_through(&names(&["Ccl2", "Cd4", "Skp1"]), &pairs, Species::Mouse, None);
    assert_eq!(back.rows, [Some(1), Some(0), None]);
}

#[test]
fn species_are_guessed_from_ids_case_and_names_of_one_species_only() {
    let guess = |list: &[&str]| guess_species(&names(list));
    assert_eq!(guess(&["ENSG00000010610", "ENSG00000223609.2"]), SpeciesGuess::Human);
    assert_eq!(guess(&["ENSMUSG00000035385"]), SpeciesGuess::Mouse);
    assert_eq!(guess(&["ENSDARG00000035385"]), SpeciesGuess::Unknown);
    assert_eq!(guess(&["CCL2", "CD4", "C1orf86"]), SpeciesGuess::Human);
    assert_eq!(guess(&["Ccl2", "Cd4", "mt-Nd1"]), SpeciesGuess::Mouse);
    assert_eq!(guess(&["COPS5", "GM38380", "STAU2"]), SpeciesGuess::Mouse);
    assert_eq!(guess(&["WBGene00000010", "WBGene00000017"]), SpeciesGuess::Unknown);
    assert_eq!(guess(&[]), SpeciesGuess::Unknown);
}

#[test]
fn an_empty_table_and_an_empty_question_are_no_trouble() {
    let matched = GeneMatcher::new(&[]).match_names(&names(&["Ccl2"]));
    assert_eq!(matched.how, [How::Missing]);
    let matched = mouse().match_names(&[]);
    assert_eq!(matched.coverage.share(), 0.0);
    assert!(matched.coverage.require(0.2, "empty").is_err());
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof!["[ABCabc][12]", "[ab]-[12]", "ENSG0000000000[1-3](\\.[1-9])?", "[1-3]-(Mar|Sep)"]
}

fn any_gene() -> impl Strategy<Value = GeneNames> {
    let several = || proptest::collection::vec(any_name(), 0..3);
    let id = proptest::option::of("ENSG0000000000[1-3]");
    (any_name(), id, several(), several()).prop_map(|(symbol, ensembl, aliases, retired)| {
        GeneNames { symbol, ensembl, aliases, retired }
    })
}

proptest! {
    #[test]
    fn the_order_of_names_changes_nothing(
        table in proptest::collection::vec(any_gene(), 0..12),
        asked in proptest::collection::vec(any_name(), 0..12),
        seed in any::<u64>(),
    ) {
        let matcher = GeneMatcher::new(&table);
        let straight = matcher.match_names(&asked);
        let mut order: Vec<usize> = (0..asked.len()).collect();
        order.sort_by_key(|&at| (at as u64 + 1).wrapping_mul(seed | 1));
        let shuffled: Vec<String> = order.iter().map(|&at| asked[at].clone()).collect();
        let other = matcher.match_names(&shuffled);
        for (new, &old) in order.iter().enumerate() {
            prop_assert_eq!(other.rows[new], straight.rows[old]);
            prop_assert_eq!(other.how[new], straight.how[old]);
        }
        prop_assert_eq!(&other.coverage.counts, &straight.coverage.counts);
        prop_assert_eq!(other.coverage.duplicates.len(), straight.coverage.duplicates.len());
        let total: usize = straight.coverage.counts.values().sum();
        prop_assert_eq!(total, asked.len());
    }

    #[test]
    fn a_row_is_given_exactly_where_a_gene_was_found(
        table in proptest::collection::vec(any_gene(), 0..12),
        asked in proptest::collection::vec(any_name(), 0..12),
    ) {
        let matched = GeneMatcher::new(&table).match_names(&asked);
        for (row, how) in matched.rows.iter().zip(&matched.how) {
            prop_assert_eq!(row.is_none(), matches!(how, How::Ambiguous | How::Missing));
            prop_assert!(row.is_none_or(|row| row < table.len()));
        }
    }
}
