//! The embedding table on disk, its rerun and its journal.

#![allow(clippy::unwrap_used)] // a test may panic

use std::cell::{Cell, RefCell};
use std::path::Path;

use indicatif::ProgressBar;
use screader::cells::{Dense, Frame};
use screader::embed::{
    EmbeddingMetadata, EmbeddingTable, MissingText, TableBuilder, TextEmbedder, text_sha256,
};
use screader::genes::{Description, DescriptionTable, GeneNames, Species, TextSource};
use screader::{Error, Result};

/// Embeds a text as its length and its first byte, two texts at a time, until its strength ends.
struct Lengths {
    strength: Cell<usize>,
    asked: RefCell<Vec<String>>,
}

impl Lengths {
    fn new(strength: usize) -> Self {
        Self { strength: Cell::new(strength), asked: RefCell::default() }
    }
}

impl TextEmbedder for Lengths {
    fn name(&self) -> &'static str {
        "lengths"
    }
    fn model(&self) -> &str {
        "length-2"
    }
    fn weights_sha256(&self) -> Option<&str> {
        None
    }
    fn dimensions(&self) -> Option<usize> {
        Some(2)
    }
    fn requested_dimensions(&self) -> Option<usize> {
        None
    }
    fn batch_size(&self) -> usize {
        2
    }
    fn embed(&self, texts: &[String], _: &ProgressBar) -> Result<Vec<Vec<f32>>> {
        if self.strength.get() == 0 {
            return Err(Error::input("lengths", "strength", "none", "rest"));
        }
        self.strength.set(self.strength.get() - 1);
        self.asked.borrow_mut().extend_from_slice(texts);
        Ok(texts
            .iter()
            .map(|text| vec![text.len() as f32, f32::from(text.as_bytes()[0])])
            .collect())
    }
}

fn descriptions(texts: &[&str]) -> DescriptionTable {
    let gene = |(at, text): (usize, &&str)| Description {
        gene_id: None,
        names: GeneNames {
            symbol: format!("Gene{at}"),
            ensembl: Some(format!("ENSMUSG{at:011}")),
            aliases: vec![format!("G{at}")],
            retired: vec![],
        },
        source: if text.is_empty() { TextSource::None } else { TextSource::Own },
        text: (*text).to_owned(),
    };
    DescriptionTable {
        species: Species::Mouse,
        made_with: [("template".to_owned(), "fields_7".to_owned())].into(),
        genes: texts.iter().enumerate().map(gene).collect(),
    }
}

fn build(table: &DescriptionTable, missing: MissingText) -> EmbeddingTable {
    let embedder = Lengths::new(99);
    let builder = TableBuilder::new(table, &embedder, missing);
    builder.build(&ProgressBar::hidden()).unwrap().table
}

#[test]
fn a_table_comes_back_from_disk_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("genes.safetensors");
    let table = build(&descriptions(&["a", "", "ccc"]), MissingText::SpeciesMean);
    table.write(&path).unwrap();
    let read = EmbeddingTable::read(&path).unwrap();
    assert_eq!(read, table);
    assert_eq!(read.fingerprint(), table.fingerprint());
    assert_eq!(read.metadata.species, "mouse");
    assert_eq!(read.metadata.template, "fields_7");
    assert_eq!(read.metadata.text_sha256[0].as_deref(), Some(text_sha256("a").as_str()));
    let first = std::fs::read(&path).unwrap();
    table.write(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), first, "the same table gives the same bytes");
    let mut other = table.clone();
    other.embeddings.values[0] += 1e-6;
    assert_ne!(other.fingerprint(), table.fingerprint());
}

#[test]
fn genes_without_text_follow_the_policy() {
    let table = descriptions(&["a", "", "ccc"]);
    let mean = build(&table, MissingText::SpeciesMean);
    assert_eq!(mean.embeddings.values, [1.0, 97.0, 2.0, 98.0, 3.0, 99.0]);
    let zeros = build(&table, MissingText::Zeros);
    assert_eq!(zeros.embeddings.values, [1.0, 97.0, 0.0, 0.0, 3.0, 99.0]);
    let dropped = build(&table, MissingText::Drop);
    assert_eq!(dropped.embeddings.values, [1.0, 97.0, 3.0, 99.0]);
    assert_eq!(dropped.genes[1].symbol, "Gene2");
    let embedder = Lengths::new(9);
    let empty = descriptions(&["", ""]);
    let builder = TableBuilder::new(&empty, &embedder, MissingText::Zeros);
    assert!(builder.build(&ProgressBar::hidden()).is_err());
}

#[test]
fn a_rerun_embeds_only_what_changed() {
    let earlier = build(&descriptions(&["a", "bb", "ccc", "bb"]), MissingText::SpeciesMean);
    let changed = descriptions(&["a", "bb", "new text", "bb", "new text"]);
    let embedder = Lengths::new(99);
    let mut builder = TableBuilder::new(&changed, &embedder, MissingText::SpeciesMean);
    assert_eq!(builder.reuse(&earlier), 3);
    let built = builder.build(&ProgressBar::hidden()).unwrap();
    assert_eq!(built.embedded, 1);
    assert_eq!(*embedder.asked.borrow(), ["new text"]);
    assert_eq!(built.table, build(&changed, MissingText::SpeciesMean));

    let mut builder = TableBuilder::new(&changed, &embedder, MissingText::SpeciesMean);
    assert_eq!(builder.reuse(&earlier.standardised()), 0);
    let mut other = earlier;
    other.metadata.model = "another".to_owned();
    assert_eq!(builder.reuse(&other), 0);
}

#[test]
fn a_killed_run_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("genes.safetensors");
    let journal = folder.path().join("genes.safetensors.journal");
    let table = descriptions(&["a", "bb", "ccc", "dddd", "eeeee", "ffffff", "g"]);
    let run = |embedder: &Lengths| -> Result<usize> {
        let mut builder = TableBuilder::new(&table, embedder, MissingText::Zeros);
        builder.journal_beside(&out)?;
        let built = builder.build(&ProgressBar::hidden())?;
        let embedded = built.embedded;
        built.write(&out)?;
        Ok(embedded)
    };
    run(&Lengths::new(2)).unwrap_err();
    assert!(!out.exists());

    // A kill in the middle of a record, at every byte of the second batch.
    let whole = std::fs::read(&journal).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&journal, &whole[..length]).unwrap();
        let embedder = Lengths::new(99);
        let embedded = run(&embedder).unwrap();
        let record = 32 + 2 * 4 + 8;
        let kept = length.saturating_sub(44) / record;
        assert_eq!(embedded, 7 - kept, "{length} bytes");
        assert!(!journal.exists(), "removed once the table is there");
        assert_eq!(EmbeddingTable::read(&out).unwrap(), build(&table, MissingText::Zeros));
    }

    // A page of the journal that the disk lost ends what is taken from it.
    let mut broken = whole.clone();
    broken[44 + 48 + 40] ^= 1;
    std::fs::write(&journal, &broken).unwrap();
    assert_eq!(run(&Lengths::new(99)).unwrap(), 6);

    std::fs::write(&journal, "something else entirely, longer than a header would be").unwrap();
    let error = run(&Lengths::new(99)).unwrap_err().to_string();
    assert!(error.contains("genes.safetensors.journal"), "{error}");
    assert!(journal.exists(), "nobody's file is thrown away");
}

#[test]
fn standardised_dimensions_have_mean_0_and_variance_1() {
    let hash = |at: usize| Some(at.to_string());
    let table = EmbeddingTable {
        genes: (0..5).map(|at| GeneNames::new(format!("G{at}"))).collect(),
        embeddings: Dense {
            n_rows: 5,
            n_cols: 3,
            values: vec![
                1.0, 0.1, -2.0, 2.0, 0.1, 0.0, 3.0, 0.1, 4.0, 6.0, 0.1, 6.0, 100.0, 100.0, 100.0,
            ],
        },
        metadata: EmbeddingMetadata {
            text_sha256: vec![hash(0), hash(1), hash(2), hash(3), None],
            ..EmbeddingMetadata::default()
        },
    };
    let standardised = table.standardised();
    assert!(standardised.metadata.standardised);
    let column = |at: usize| -> Vec<f32> {
        standardised.embeddings.values.iter().skip(at).step_by(3).copied().collect()
    };
    for at in [0, 2] {
        let values = &column(at)[..4];
        let mean: f32 = values.iter().sum::<f32>() / 4.0;
        let variance = values.iter().map(|value| value * value).sum::<f32>() / 4.0;
        assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-6, "{mean} {variance}");
    }
    assert_eq!(column(1), [0.0; 5], "a dimension that never varies");
    assert_eq!(standardised.embeddings.values[12..], [0.0; 3], "a gene without text");
}

#[test]
fn files_that_are_no_table_are_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("genes.safetensors");
    let table = build(&descriptions(&["a", "bb"]), MissingText::Zeros);
    table.write(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let refused = |bytes: &[u8], path: &Path| {
        std::fs::write(path, bytes).unwrap();
        let error = EmbeddingTable::read(path).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let line = error.to_string();
        assert!(line.contains("genes.safetensors") && !line.contains('\n'), "{line}");
        line
    };
    for length in (0..whole.len()).step_by(7) {
        refused(&whole[..length], &path);
    }
    let text = |from: &str, to: &str| -> Vec<u8> {
        let at = whole.windows(from.len()).position(|bytes| bytes == from.as_bytes()).unwrap();
        [&whole[..at], to.as_bytes(), &whole[at + from.len()..]].concat()
    };
    assert!(refused(&text("\"species\"", "\"specias\""), &path).contains("species"));
    assert!(refused(&text("\"F32\"", "\"I32\""), &path).contains("embeddings"));
    assert!(refused(&text("version\":\"1\"", "version\":\"7\""), &path).contains("newer"));
    let mut not_finite = whole.clone();
    let at = whole.len() - 4;
    not_finite[at..].copy_from_slice(&f32::NAN.to_le_bytes());
    assert!(refused(&not_finite, &path).contains("NaN for Gene1"));
}

#[test]
fn genes_of_another_species_are_refused_though_their_case_folded_names_are_found() {
    let table = screader::demo::embeddings(Species::Mouse).unwrap();
    let find = |names: Vec<String>| {
        let var = Frame { index: names, columns: Vec::new() };
        table.find(&var, 0.2, "query.h5ad").map(|found| found.coverage.share())
    };
    let own: Vec<String> = table.genes.iter().map(|gene| gene.symbol.clone()).collect();
    assert_eq!(find(own.clone()).unwrap(), 1.0);
    // A mouse set in capitals is one; with genes that only human has it is not.
    let mut human: Vec<String> = own.iter().map(|name| name.to_uppercase()).collect();
    assert!(find(human.clone()).unwrap() > 0.9);
    human.extend(["HLA-A".to_owned(), "HLA-DRA".to_owned()]);
    let error = find(human).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    let error = error.to_string();
    assert!(error.contains("query.h5ad") && error.contains("a gene table of human"), "{error}");
}
