//! A small encoder with drawn weights: both of its forms agree, and a checkpoint that does not fit its
//! settings is refused by the tensor's name.

use std::collections::BTreeMap;

use burn::backend::Flex;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use tempfile::NamedTempFile;

use super::encoder::{Bert, TokenBatch};
use super::host;
use super::parameters::Parameters;
use super::settings::BertSettings;
use super::weights::WeightsFile;
use crate::{Error, Result};

/// Shape and values of each tensor of a checkpoint.
type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn settings() -> BertSettings {
    serde_json::from_value(serde_json::json!({
        "model_type": "bert", "hidden_act": "gelu", "hidden_size": 24, "intermediate_size": 52,
        "num_attention_heads": 3, "num_hidden_layers": 2, "layer_norm_eps": 1e-12,
        "max_position_embeddings": 40, "type_vocab_size": 2, "vocab_size": 50,
    }))
    .unwrap()
}

fn tensors() -> Tensors {
    let mut shapes = vec![
        ("embeddings.word_embeddings.weight".to_owned(), vec![50, 24]),
        ("embeddings.position_embeddings.weight".to_owned(), vec![40, 24]),
        ("embeddings.token_type_embeddings.weight".to_owned(), vec![2, 24]),
        ("pooler.dense.weight".to_owned(), vec![24, 24]),
    ];
    let mut norms = vec!["embeddings.LayerNorm".to_owned()];
    for layer in 0..2 {
        let name = |part: &str| format!("encoder.layer.{layer}.{part}");
        for (part, outputs, inputs) in [
            ("attention.self.query", 24, 24),
            ("attention.self.key", 24, 24),
            ("attention.self.value", 24, 24),
            ("attention.output.dense", 24, 24),
            ("intermediate.dense", 52, 24),
            ("output.dense", 24, 52),
        ] {
            shapes.push((format!("{}.weight", name(part)), vec![outputs, inputs]));
            shapes.push((format!("{}.bias", name(part)), vec![outputs]));
        }
        norms.extend([name("attention.output.LayerNorm"), name("output.LayerNorm")]);
    }
    for norm in norms {
        shapes.push((format!("{norm}.weight"), vec![24]));
        shapes.push((format!("{norm}.bias"), vec![24]));
    }
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let mut draw = |(name, shape): (String, Vec<usize>)| {
        let count = shape.iter().product();
        let values = (0..count).map(|_| random.random_range(-0.5..0.5)).collect();
        (name, (shape, values))
    };
    shapes.into_iter().map(&mut draw).collect()
}

/// Write the tensors as a checkpoint and take the encoder's weights from it.
fn parameters(tensors: &Tensors) -> Result<Parameters> {
    let bytes: BTreeMap<&str, Vec<u8>> = tensors
        .iter()
        .map(|(name, (_, values))| {
            (name.as_str(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
        })
        .collect();
    let views: Vec<(&str, TensorView)> = bytes
        .iter()
        .map(|(&name, bytes)| {
            let shape = tensors[name].0.clone();
            (name, TensorView::new(Dtype::F32, shape, bytes).unwrap())
        })
        .collect();
    let file = NamedTempFile::new().unwrap();
    serialize_to_file(views, None, file.path()).unwrap();
    let file = WeightsFile::open(file.path().to_path_buf())?;
    let mut weights = file.tensors()?;
    let parameters = Parameters::take(&settings(), &mut weights)?;
    weights.finish()?;
    Ok(parameters)
}

#[test]
fn the_host_path_agrees_with_plain_operations() {
    let tensors = tensors();
    let device = Default::default();
    let plain = Bert::<Flex>::new(&settings(), parameters(&tensors).unwrap(), &device);
    let host = host::encoder(&settings(), parameters(&tensors).unwrap());
    let texts: Vec<Vec<u32>> = [40, 1, 17, 2, 33]
        .iter()
        .map(|&length| (0..length).map(|at| (at * 7 + length) % 50).collect())
        .collect();
    let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    let expected = plain.forward(&TokenBatch::new(&texts, &device));
    let expected = expected.into_data().to_vec::<f32>().unwrap();
    let found = host.forward(&texts);
    assert_eq!(found.len(), 93 * 24);
    let means = host.mean(&texts);
    let mut rows = found.chunks_exact(24);
    for (at, (padded, text)) in expected.chunks_exact(40 * 24).zip(&texts).enumerate() {
        let mut mean = [0.0_f64; 24];
        for row in padded.chunks_exact(24).take(text.len()) {
            for ((mean, expected), found) in mean.iter_mut().zip(row).zip(rows.next().unwrap()) {
                assert!((found - expected).abs() < 2e-5, "{found} for {expected}");
                *mean += f64::from(*expected) / text.len() as f64;
            }
        }
        for (expected, found) in mean.iter().zip(&means[at * 24..]) {
            assert!((f64::from(*found) - expected).abs() < 2e-5, "{found} for {expected}");
        }
    }
    assert!(found.iter().any(|value| value.abs() > 0.1));
}

#[test]
fn a_text_without_tokens_leaves_the_others_alone() {
    let host = host::encoder(&settings(), parameters(&tensors()).unwrap());
    let text: &[u32] = &[3, 1, 4];
    let alone = host.forward(&[text]);
    assert_eq!(host.forward(&[&[], text, &[]]), alone);
    assert!(host.forward(&[]).is_empty());
}

/// The key, what was expected and what was found instead.
fn refusal(tensors: &Tensors) -> (String, String, String) {
    match parameters(tensors).err() {
        Some(Error::Checkpoint { key, expected, found, .. }) => (key, expected, found),
        other => panic!("{other:?} is no refusal"),
    }
}

#[test]
fn a_missing_tensor_is_named() {
    for name in ["embeddings.LayerNorm.bias", "encoder.layer.1.intermediate.dense.weight"] {
        let mut tensors = tensors();
        tensors.remove(name).unwrap();
        let (key, _, found) = refusal(&tensors);
        assert_eq!((key.as_str(), found.as_str()), (name, "no such tensor"));
    }
}

#[test]
fn a_superfluous_tensor_is_named() {
    let mut tensors = tensors();
    let name = "encoder.layer.2.output.dense.bias";
    tensors.insert(name.to_owned(), (vec![24], vec![0.0; 24]));
    let (key, expected, _) = refusal(&tensors);
    assert_eq!(key, name);
    assert!(expected.contains("config.json"), "{expected}");
}

#[test]
fn a_tensor_of_another_shape_is_named_with_both_shapes() {
    let mut tensors = tensors();
    let name = "encoder.layer.0.output.dense.weight";
    tensors.get_mut(name).unwrap().0 = vec![52, 24];
    let expected = (name.to_owned(), "shape [24, 52]".to_owned(), "shape [52, 24]".to_owned());
    assert_eq!(refusal(&tensors), expected);
}

#[test]
fn groups_keep_whole_texts_in_their_order() {
    let tokens: Vec<Vec<u32>> = [300, 200, 12, 1, 600, 5].map(|length| vec![0; length]).into();
    assert_eq!(host::groups(&tokens, 512), [0..3, 3..4, 4..5, 5..6]);
    assert!(host::groups(&[], 512).is_empty());
}
