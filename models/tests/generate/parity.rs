//! Tokens and logits of transformers, with the cache and without.

use std::path::PathBuf;

use burn::tensor::DType;
use screader_models::llama::{Finish, Kernels, LanguageModel, Sampling};
use screader_models::llama2c::convert_llama2c;
use serde_json::{Value, json};

use crate::talker::goldens;
use crate::tiny::{Golden, altered, distance, load};

const BOTH: [Kernels; 2] = [Kernels::Plain(DType::F32), Kernels::Host];
const KINDS: [&str; 7] =
    ["gqa_tied", "mha", "mqa", "biases", "head_dim", "rope_llama3", "rope_linear"];

fn greedy(model: &LanguageModel, prompt: &[u32], tokens: usize) -> (Vec<u32>, Finish) {
    model.generate_ids(prompt, Sampling::default(), tokens, None, &mut |_| Ok(true)).unwrap()
}

/// A golden folder whose configuration names no end, as the goldens were made without.
fn without_end(kind: &str) -> tempfile::TempDir {
    altered(kind, "eos_token_id", Value::Null)
}

#[test]
fn greedy_tokens_and_their_logits_are_those_of_transformers() {
    let golden = Golden::read(&goldens().join("generate/greedy.safetensors"));
    for (kind, kernels) in KINDS.iter().flat_map(|kind| BOTH.map(|kernels| (kind, kernels))) {
        let folder = without_end(kind);
        let model = load(folder.path(), kernels);
        let prompt = golden.ids(&format!("{kind}.prompt"));
        let expected = golden.ids(&format!("{kind}.ids"));
        let found = greedy(&model, &prompt, expected.len());
        assert_eq!(found, (expected.clone(), Finish::MaxTokens), "{kind} {kernels:?}");
        let mut context = model.read(&prompt).unwrap();
        for (id, logits) in expected.iter().zip(golden.rows(&format!("{kind}.logits"))) {
            let distance = distance(context.logits(), &logits);
            assert!(distance < 1e-4, "{kind} {kernels:?} {}: {distance:e}", context.tokens());
            context.push(*id).unwrap();
        }
    }
}

/// Tokens that look random, the same everywhere.
fn some_ids(count: u32, vocab: u32) -> Vec<u32> {
    (0..count).map(|at| (at.wrapping_mul(2_654_435_761) >> 7) % vocab).collect()
}

#[test]
fn with_the_cache_logits_are_those_without_it() {
    for (kind, kernels) in KINDS.iter().flat_map(|kind| BOTH.map(|kernels| (kind, kernels))) {
        let model = load(&goldens().join(kind), kernels);
        let ids = some_ids(40, 48);
        let mut context = model.read(&ids[..7]).unwrap();
        for end in 8..=ids.len() {
            context.push(ids[end - 1]).unwrap();
            assert_eq!(context.tokens(), end);
            let whole = model.read(&ids[..end]).unwrap();
            let distance = distance(context.logits(), whole.logits());
            assert!(distance < 5e-5, "{kind} {kernels:?} {end} tokens: {distance:e}");
        }
    }
}

#[test]
fn a_long_text_has_the_same_logits_with_the_cache_on_any_number_of_threads() {
    // Long enough for several blocks of attention and for several tasks.
    let folder = altered("gqa_tied", "max_position_embeddings", json!(5000));
    let ids = some_ids(4200, 48);
    let model = load(folder.path(), Kernels::Host);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut context = model.read(&ids[..4190]).unwrap();
            ids[4190..].iter().for_each(|id| context.push(*id).unwrap());
            context.logits().to_vec()
        })
    };
    let one = run(1);
    assert!(distance(&one, model.read(&ids).unwrap().logits()) < 5e-5);
    for threads in [2, 3] {
        let bits = |logits: &[f32]| logits.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&run(threads)), bits(&one), "{threads} threads");
    }
}

#[test]
fn a_model_ends_where_its_configuration_says() {
    let golden = Golden::read(&goldens().join("generate/greedy.safetensors"));
    let (prompt, ids) = (golden.ids("mha.prompt"), golden.ids("mha.ids"));
    let end = ids[5];
    let first = ids.iter().position(|id| *id == end).unwrap();
    let folder = altered("mha", "eos_token_id", json!([end, 47]));
    let model = load(folder.path(), Kernels::Host);
    let expected = (ids[..=first].to_vec(), Finish::EndOfText);
    assert_eq!(greedy(&model, &prompt, 24), expected);
    // The word of generation_config.json comes first.
    let other = folder.path().join("generation_config.json");
    std::fs::write(other, json!({"eos_token_id": 48 - 1}).to_string()).unwrap();
    let mut model = load(folder.path(), Kernels::Host);
    assert_eq!(model.ends(), [47]);
    model.add_end(end);
    assert_eq!(greedy(&model, &prompt, 24), expected);
}

#[test]
fn a_text_ends_with_the_context_and_longer_ones_are_refused() {
    let folder = without_end("mha");
    let model = load(folder.path(), Kernels::Host);
    let prompt = some_ids(60, 48);
    let (ids, finish) = greedy(&model, &prompt, 100);
    // The last token is told, though it cannot be read.
    assert_eq!((ids.len(), finish), (5, Finish::FullContext));
    for (ids, words) in [
        (some_ids(65, 48), ["max_position_embeddings", "at most 64 tokens", "65 tokens"]),
        (vec![], ["prompt", "at least one token", "none"]),
        (vec![48], ["token id", "vocab_size = 48", "48"]),
    ] {
        let line = model.read(&ids).err().unwrap().to_string();
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
    }
    let mut on_token = |_| Ok(true);
    let full = some_ids(64, 48);
    let refused = model.generate_ids(&full, Sampling::default(), 1, None, &mut on_token);
    assert!(refused.unwrap_err().to_string().contains("under 64 tokens"));
}

#[test]
fn the_seed_decides_what_is_drawn() {
    let folder = without_end("mqa");
    let model = load(folder.path(), Kernels::Host);
    let draw = |seed| {
        let sampling = Sampling { temperature: 1.0, top_k: Some(20), top_p: 0.95, seed };
        model.generate_ids(&[3, 1], sampling, 30, None, &mut |_| Ok(true)).unwrap().0
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn temperature_top_k_and_top_p_keep_what_transformers_keeps() {
    let path = goldens().join("generate/sampling.json");
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let number = |value: &Value| value.as_f64().unwrap();
    let logits: Vec<f32> =
        golden["logits"].as_array().unwrap().iter().map(|x| number(x) as f32).collect();
    for case in golden["cases"].as_array().unwrap() {
        let sampling = Sampling {
            temperature: number(&case["temperature"]),
            top_k: case["top_k"].as_u64().map(|k| k as usize),
            top_p: number(&case["top_p"]),
            seed: 0,
        };
        let kept = case["kept"].as_object().unwrap();
        let found = sampling.candidates(&logits);
        assert_eq!(found.len(), kept.len(), "{sampling:?}");
        for (id, probability) in found {
            let expected = number(&kept[&id.to_string()]);
            assert!((probability - expected).abs() < 1e-6, "{sampling:?} {id}");
        }
    }
}

#[test]
fn stories260k_goes_on_as_under_transformers() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let shared = std::env::var_os("SCREADER_SHARED").unwrap_or("../shared".into());
    let source = root.join(shared).join("data/common/llama_tiny");
    if !source.join("stories260K.bin").is_file() {
        println!("skipped: no stories260K.bin in {} (set SCREADER_SHARED)", source.display());
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("stories260k");
    convert_llama2c(&source.join("stories260K.bin"), &source.join("tok512.bin"), &folder).unwrap();
    let golden = Golden::read(&goldens().join("generate/greedy.safetensors"));
    let (prompt, expected) = (golden.ids("stories260k.prompt"), golden.ids("stories260k.ids"));
    for kernels in BOTH {
        let model = load(&folder, kernels);
        assert!(expected.iter().all(|id| !model.ends().contains(id)));
        assert_eq!(greedy(&model, &prompt, expected.len()).0, expected, "{kernels:?}");
        let mut context = model.read(&prompt).unwrap();
        let logits = golden.rows("stories260k.logits");
        let first = distance(context.logits(), &logits[0]);
        expected[..99].iter().for_each(|id| context.push(*id).unwrap());
        let last = distance(context.logits(), &logits[1]);
        assert!(first < 1e-4 && last < 1e-4, "{kernels:?}: {first:e}, {last:e}");
    }
}
