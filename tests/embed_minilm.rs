//! MiniLM against sentence-transformers on real gene texts (scripts/reference/minilm_goldens.py).

#![allow(clippy::unwrap_used)] // a test may panic

use std::path::PathBuf;

use half::f16;
use indicatif::ProgressBar;
use safetensors::SafeTensors;
use screader::embed::{MINILM_MODEL, MiniLm, TextEmbedder, find_minilm, text_sha256};

/// The weights, or a printed reason to skip.
fn weights() -> Option<PathBuf> {
    let named = std::env::var_os("SCREADER_MINILM").map(PathBuf::from);
    let found = find_minilm(named.as_deref());
    if let Err(error) = &found {
        eprintln!("skipped: {error}");
    }
    found.ok()
}

/// The gene texts of the goldens' rule, or a printed reason to skip.
fn gene_texts(count: usize) -> Option<Vec<String>> {
    let shared = std::env::var_os("SCREADER_SHARED").map(PathBuf::from);
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let folder = shared.unwrap_or(root.join("../shared")).join("data/common/gene_info");
    let mut texts = Vec::new();
    for species in ["mouse", "human"] {
        let path = folder.join(format!("ncbi_gene_text_{species}.tsv.gz"));
        let Ok(file) = std::fs::File::open(&path) else {
            eprintln!("skipped: {} is not here; set SCREADER_SHARED", path.display());
            return None;
        };
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(b'\t')
            .quoting(false)
            .from_reader(flate2::read::MultiGzDecoder::new(file));
        let names = reader.headers().unwrap().clone();
        let column = |name| names.iter().position(|column| column == name).unwrap();
        let (symbol, description, summary) =
            (column("Symbol"), column("description"), column("summary"));
        let rows: Vec<csv::StringRecord> =
            reader.records().map(Result::unwrap).filter(|row| !row[summary].is_empty()).collect();
        let half = count / 2;
        let picked = rows.iter().step_by(rows.len() / half).take(half);
        texts.extend(
            picked.map(|row| format!("{}: {}. {}", &row[symbol], &row[description], &row[summary])),
        );
    }
    Some(texts)
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn gene_texts_embed_as_in_sentence_transformers() {
    // SCREADER_MINILM_GOLDENS names a larger file of the same script.
    let path = std::env::var("SCREADER_MINILM_GOLDENS")
        .unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/minilm.safetensors").into());
    let bytes = std::fs::read(path).unwrap();
    let goldens = SafeTensors::deserialize(&bytes).unwrap();
    let goldens = goldens.tensor("vectors").unwrap();
    let (count, width) = (goldens.shape()[0], goldens.shape()[1]);
    let (Some(folder), Some(texts)) = (weights(), gene_texts(count)) else { return };
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let hash = &header.metadata().as_ref().unwrap()["texts_sha256"];
    assert_eq!(&text_sha256(&texts.join("\n")), hash, "the gene texts are those of the goldens");

    let minilm = MiniLm::load(folder, MINILM_MODEL).unwrap();
    let vectors = minilm.embed(&texts, &ProgressBar::hidden()).unwrap();
    assert_eq!(vectors.len(), count);
    let golden: Vec<f32> = goldens
        .data()
        .chunks_exact(2)
        .map(|pair| f16::from_le_bytes([pair[0], pair[1]]).to_f32())
        .collect();
    let cosines: Vec<f64> =
        vectors.iter().zip(golden.chunks_exact(width)).map(|(a, b)| cosine(a, b)).collect();
    let least = cosines.iter().copied().fold(f64::INFINITY, f64::min);
    eprintln!("{count} texts, least cosine {least:.8}");
    assert!(least >= 0.9999, "least cosine {least}");
    for vector in &vectors {
        let length: f32 = vector.iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-5);
    }
}

#[test]
fn a_text_has_the_same_vector_alone_and_in_company() {
    let Some(folder) = weights() else { return };
    let minilm = MiniLm::load(folder, MINILM_MODEL).unwrap();
    let company: Vec<String> =
        (0..40).map(|count| format!("{} secretes insulin", "beta cell ".repeat(count))).collect();
    let together = minilm.embed(&company, &ProgressBar::hidden()).unwrap();
    for (text, vector) in company.iter().zip(&together).step_by(7) {
        let alone = minilm.embed(std::slice::from_ref(text), &ProgressBar::hidden()).unwrap();
        assert!(cosine(&alone[0], vector) > 0.999_999, "{text}");
    }
    assert!(minilm.embed(&[], &ProgressBar::hidden()).unwrap().is_empty());
    let odd = ["".to_owned(), "\u{0} \u{fffd}".to_owned(), "基因".to_owned()];
    assert_eq!(minilm.embed(&odd, &ProgressBar::hidden()).unwrap().len(), 3);
}
