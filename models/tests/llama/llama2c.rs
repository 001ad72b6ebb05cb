//! A real trained LLaMA, converted from llama2.c, against transformers and run.c's tokenizer.

use std::path::{Path, PathBuf};

use burn::backend::Flex;
use burn::tensor::Tensor;
use screader_models::llama::{Llama, load_output_head};
use screader_models::llama2c::convert_llama2c;
use screader_models::tokenizer::Tokenizer;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::golden::floats;

/// The folder of the shared test data, or nothing and a printed reason.
fn shared() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let shared = match std::env::var_os("SCREADER_SHARED") {
        Some(shared) => root.join(shared),
        None => root.join("../shared"),
    };
    let folder = shared.join("data/common/llama_tiny");
    if folder.join("stories260K.bin").is_file() {
        return Some(folder);
    }
    println!("skipped: no stories260K.bin in {} (set SCREADER_SHARED)", folder.display());
    None
}

fn golden() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/stories260k.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn convert(source: &Path, scratch: &Path) -> PathBuf {
    let folder = scratch.join("stories260k");
    convert_llama2c(&source.join("stories260K.bin"), &source.join("tok512.bin"), &folder).unwrap();
    folder
}

#[test]
fn stories260k_continues_as_under_transformers() {
    let Some(source) = shared() else { return };
    let golden = golden();
    let raw = std::fs::read(source.join("stories260K.bin")).unwrap();
    let hash: String = Sha256::digest(&raw).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, golden["weights_sha256"].as_str().unwrap(), "goldens of other weights");
    let scratch = tempfile::tempdir().unwrap();
    let folder = convert(&source, scratch.path());
    let device = Default::default();
    let llama = Llama::<Flex>::load(&folder, &device).unwrap();
    let head: Tensor<Flex, 2> = load_output_head(&folder, &device).unwrap();
    let expected = ids(&golden["greedy_ids"]);
    let mut found = vec![expected[0]];
    while found.len() < expected.len() {
        let x0 = llama.embed_tokens(&found).unwrap().unsqueeze_dim::<3>(0);
        let logits = floats(llama.forward(x0, &[found.len()]).matmul(head.clone().transpose()));
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
        found.push(best as u32);
    }
    assert_eq!(found, expected);
    let text = Tokenizer::load(&folder).unwrap().decode(&found).unwrap();
    assert!(text.starts_with("Once upon a time"), "{text:?}");
}

#[test]
fn its_tokenizer_is_that_of_run_c() {
    let Some(source) = shared() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let tokenizer = Tokenizer::load(&convert(&source, scratch.path())).unwrap();
    assert_eq!(tokenizer.vocab_size(), 512);
    for case in golden()["encodings"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let found = tokenizer.encode(text, false).unwrap();
        assert_eq!(found, ids(&case["ids"]), "{text:?}");
        assert_eq!(tokenizer.decode(&found).unwrap(), text);
        let with_beginning = tokenizer.encode(text, true).unwrap();
        assert_eq!(with_beginning[0], 1);
        assert_eq!(with_beginning[1..], found);
    }
}

#[test]
fn truncated_and_forged_files_are_refused_in_one_line() {
    let Some(source) = shared() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let weights = std::fs::read(source.join("stories260K.bin")).unwrap();
    let tokenizer = std::fs::read(source.join("tok512.bin")).unwrap();
    let refused = |weights: &[u8], tokenizer: &[u8], word: &str| {
        let (w, t) = (scratch.path().join("w.bin"), scratch.path().join("t.bin"));
        std::fs::write(&w, weights).unwrap();
        std::fs::write(&t, tokenizer).unwrap();
        let out = scratch.path().join("out");
        let line = convert_llama2c(&w, &t, &out).unwrap_err().to_string();
        assert!(line.contains(word) && !line.contains('\n'), "{line:?} lacks {word:?}");
        assert!(!out.exists());
    };
    for keep in [1, 27, 28, 5_000, weights.len() - 1] {
        refused(&weights[..keep], &tokenizer, "w.bin");
    }
    for keep in [0, 3, 11, 3_000, tokenizer.len() - 1] {
        refused(&weights, &tokenizer[..keep], "t.bin");
    }
    let names = ["dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len"];
    for (index, name) in names.iter().enumerate() {
        for forged in [0, i32::MIN, i32::MAX] {
            let mut bytes = weights.clone();
            bytes[4 * index..4 * index + 4].copy_from_slice(&forged.to_le_bytes());
            refused(&bytes, &tokenizer, name);
        }
    }
    let longer = [&tokenizer[..], &[0; 9]].concat();
    refused(&weights, &longer, "9 bytes more");
    // Nothing is left beside the place of the folder.
    let left: Vec<_> = std::fs::read_dir(scratch.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}
