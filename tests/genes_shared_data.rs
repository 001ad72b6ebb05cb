//! The real tables: NCBI text of human and mouse, GENCODE, homologs, scReader's token dictionary.
//!
//! They are other people's and stay outside the repository: `SCREADER_SHARED` names the folder.

#![allow(clippy::unwrap_used)]

use std::io::Read;
use std::path::{Path, PathBuf};

use screader::genes::{
    Build, GeneMatcher, GeneNames, GeneRecords, How, MINIMUM_SHARE, Orthologs, Species,
    SpeciesGuess, Template, check_species, guess_species,
};

/// The folder of gene tables, or `None` after saying that the test is skipped.
fn tables() -> Option<PathBuf> {
    let shared = std::env::var_os("SCREADER_SHARED").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"));
    let folder = shared.join("data/common/gene_info");
    if !folder.is_dir() {
        eprintln!("skipped: {} is not there (set SCREADER_SHARED)", folder.display());
        return None;
    }
    Some(folder)
}

fn read(species: Species, paths: &[PathBuf]) -> GeneRecords {
    let mut records = GeneRecords::new(species);
    records.read_all(paths).unwrap();
    records
}

fn matcher(records: &GeneRecords) -> GeneMatcher {
    let names: Vec<GeneNames> = records.genes().iter().map(|gene| gene.names.clone()).collect();
    GeneMatcher::new(&names)
}

/// Columns of scReader's token dictionary, genes of one species: Ensembl ids and names.
fn dictionary(folder: &Path, prefix: &str) -> (Vec<String>, Vec<String>) {
    let file = std::fs::File::open(folder.join("screader_token_dictionary.csv.gz")).unwrap();
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    let rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    rows.filter(|row| row[1].starts_with(prefix))
        .map(|row| (row[1].to_string(), row[2].to_string()))
        .unzip()
}

#[test]
fn the_mouse_table_has_its_genes_and_orthologs_lend_it_text() {
    let Some(folder) = tables() else { return };
    let mouse = read(Species::Mouse, &[folder.join("ncbi_gene_text_mouse.tsv.gz")]);
    assert_eq!((mouse.len(), mouse.with_summary()), (73_081, 3_833));
    let human = read(Species::Human, &[folder.join("ncbi_gene_text_human.tsv.gz")]);
    assert_eq!((human.len(), human.with_summary()), (108_694, 15_136));
    let pairs = Orthologs::read(&folder.join("mouse_human_homologs.txt")).unwrap();
    assert_eq!(pairs.one_to_one(), 16_466);
    let build = Build {
        template: Template::screader_7().unwrap(),
        missing: "ortholog,zeros".parse().unwrap(),
        orthologs: Some(&pairs),
        other_species: Some(&human),
        completer: None,
        prompt: Template::completion_prompt().unwrap(),
    };
    let table = build.run(&mouse).unwrap();
    let counts = table.counts();
    assert_eq!((counts["own"], counts["ortholog"]), (3_833, 9_749));
    let p53 = table.genes.iter().find(|gene| gene.names.symbol == "Cd4").unwrap();
    assert!(p53.text.contains("Official Symbol: Cd4\n") && p53.text.contains("\nSummary: "));
}

#[test]
fn both_layouts_of_ensembl_homologs_read() {
    let Some(folder) = tables() else { return };
    let pairs = Orthologs::read(&folder.join("Ensembl105_Human2Mouse_Genes.csv")).unwrap();
    assert!(pairs.one_to_one() > 15_000, "{}", pairs.one_to_one());
    let pairs = Orthologs::read(&folder.join("nichenetr_geneinfo_2022.tsv.gz")).unwrap();
    assert!(pairs.one_to_one() > 15_000, "{}", pairs.one_to_one());
}

#[test]
fn the_token_dictionary_is_known_by_name_and_by_id() {
    let Some(folder) = tables() else { return };
    let mouse = read(
        Species::Mouse,
        &[folder.join("ncbi_gene_text_mouse.tsv.gz"), folder.join("genes_mus_musculus.csv.gz")],
    );
    let matcher = matcher(&mouse);
    let (ids, names) = dictionary(&folder, "ENSMUSG");
    assert_eq!(ids.len(), 27_443);
    let by_id = matcher.match_names(&ids);
    let by_name = matcher.match_names(&names);
    assert!(by_id.coverage.share() > 0.88, "{}", by_id.coverage);
    assert!(by_name.coverage.share() > 0.90, "{}", by_name.coverage);
    assert_eq!(by_id.coverage.found(), by_id.coverage.of(How::Ensembl));
    // Where both the id and the name mean a gene, nearly always the same one.
    let both =
        by_id.rows.iter().zip(&by_name.rows).filter_map(|(id, name)| Some((*id)? == (*name)?));
    let (same, total) =
        both.fold((0, 0), |(same, all), equal| (same + usize::from(equal), all + 1));
    assert!(same as f64 / total as f64 > 0.99, "{same} of {total}");

    let upper: Vec<String> = names.iter().map(|name| name.to_uppercase()).collect();
    let folded = matcher.match_names(&upper);
    assert!(folded.coverage.of(How::CaseFolded) > 20_000, "{}", folded.coverage);
    let both =
        folded.rows.iter().zip(&by_name.rows).filter_map(|(up, name)| Some((*up)? == (*name)?));
    let (same, total) =
        both.fold((0, 0), |(same, all), equal| (same + usize::from(equal), all + 1));
    assert!(same as f64 / total as f64 > 0.99, "{same} of {total}");
    assert_eq!(guess_species(&upper), SpeciesGuess::Mouse, "GM and RIK give it away");
}

#[test]
fn data_of_another_species_are_told() {
    let Some(folder) = tables() else { return };
    let mouse = matcher(&read(Species::Mouse, &[folder.join("ncbi_gene_text_mouse.tsv.gz")]));
    let (_, human) = dictionary(&folder, "ENSG");
    let (_, own) = dictionary(&folder, "ENSMUSG");
    let check = |names: &[String]| {
        let coverage = mouse.match_names(names).coverage;
        check_species("query.h5ad", names, Species::Mouse, &coverage, MINIMUM_SHARE)
    };
    check(&own).unwrap();
    let error = check(&human).unwrap_err().to_string();
    assert!(error.contains("query.h5ad") && error.contains("a gene table of human"), "{error}");
    let worm: Vec<String> = (10..900).map(|at| format!("WBGene{at:08}")).collect();
    let error = check(&worm).unwrap_err().to_string();
    assert!(error.contains("neither human nor mouse"), "{error}");

    let pairs = Orthologs::read(&folder.join("mouse_human_homologs.txt")).unwrap();
    let through = mouse.match_through(&human, &pairs, Species::Human, None);
    assert!(through.coverage.of(How::Ortholog) > 14_000, "{}", through.coverage);
}

#[test]
fn real_data_sets_are_known_and_the_worm_is_not() {
    let Some(folder) = tables() else { return };
    let labelled = folder.join("../../dev/labelled");
    let mouse = matcher(&read(
        Species::Mouse,
        &[folder.join("ncbi_gene_text_mouse.tsv.gz"), folder.join("genes_mus_musculus.csv.gz")],
    ));
    let check = |name: &str| {
        let path = labelled.join(name);
        let cells = screader::io::read(&path, &Default::default()).unwrap();
        let matched = mouse.match_frame(&cells.var);
        let coverage = matched.genes.coverage;
        check_species(name, &matched.names, Species::Mouse, &coverage, MINIMUM_SHARE)
            .map(|()| coverage)
    };
    // Symbols, upper-cased symbols, Ensembl ids: the way by which most are found.
    let expected = [
        ("mouse_pancreas_endocrinogenesis.h5ad", How::Symbol, 0.94),
        ("mouse_fetal_liver_gse87795.h5ad", How::CaseFolded, 0.93),
        ("mouse_esc_scmerge.h5ad", How::Ensembl, 0.95),
        ("mouse_liver_tms_5types.h5ad", How::Symbol, 1.0),
    ];
    for (name, how, share) in expected {
        let coverage = check(name).unwrap();
        assert!(coverage.share() >= share, "{name}: {coverage}");
        assert!(2 * coverage.of(how) > coverage.total, "{name}: {coverage}");
    }
    for name in ["worm_l2_neurons.h5ad", "pbmc3k_counts.h5ad"] {
        let error = check(name).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
