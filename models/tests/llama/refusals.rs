//! What is not a LLaMA of the stated shape is refused in one line that names the key.

use std::collections::HashMap;
use std::path::Path;

use burn::backend::Flex;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use screader_models::llama::{Llama, LlamaConfig, fingerprint};

use crate::golden::Golden;

type Stored = HashMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// Copy a golden folder with its settings and tensors changed.
fn altered(
    kind: &str,
    settings: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>),
    tensors: impl FnOnce(&mut Stored),
) -> tempfile::TempDir {
    let golden = Golden::read(kind);
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(golden.folder.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    settings(config.as_object_mut().unwrap());
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let bytes = std::fs::read(golden.folder.join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut stored: Stored = file
        .iter()
        .map(|(name, view)| {
            (name.to_string(), (view.dtype(), view.shape().to_vec(), view.data().to_vec()))
        })
        .collect();
    tensors(&mut stored);
    let views = stored.iter().map(|(name, (dtype, shape, data))| {
        (name.clone(), TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    let target = folder.path().join("model.safetensors");
    safetensors::serialize_to_file(views, None, &target).unwrap();
    folder
}

/// The one line of a refusal, which must hold every one of `words`.
fn assert_refused(folder: &Path, words: &[&str]) {
    let Err(error) = Llama::<Flex>::load(folder, &Default::default()) else {
        panic!("accepted; expected a refusal with {words:?}");
    };
    let line = error.to_string();
    assert!(!line.contains('\n'), "more than one line: {line}");
    for word in words {
        assert!(line.contains(word), "{line:?} lacks {word:?}");
    }
}

fn assert_setting_refused(key: &str, value: serde_json::Value) {
    let folder = altered("rope_llama3", |config| _ = config.insert(key.into(), value), |_| {});
    assert_refused(folder.path(), &["config.json", key]);
}

#[test]
fn an_unaltered_copy_loads() {
    let folder = altered("mha", |_| {}, |_| {});
    Llama::<Flex>::load(folder.path(), &Default::default()).unwrap();
}

#[test]
fn a_missing_tensor_is_named() {
    let name = "model.layers.1.mlp.up_proj.weight";
    let folder = altered("mha", |_| {}, |tensors| _ = tensors.remove(name));
    assert_refused(folder.path(), &[name, "nothing"]);
    let folder = altered("mha", |_| {}, |tensors| _ = tensors.remove("lm_head.weight"));
    assert_refused(folder.path(), &["lm_head.weight", "nothing"]);
}

#[test]
fn an_extra_tensor_is_named() {
    let name = "model.layers.0.self_attn.q_norm.weight";
    let extra = (Dtype::F32, vec![8], vec![0; 32]);
    let folder = altered("mha", |_| {}, |tensors| _ = tensors.insert(name.into(), extra));
    assert_refused(folder.path(), &[name, "no such tensor"]);
    // Frequencies that old checkpoints tabulate are no weights.
    let table = (Dtype::F32, vec![4], vec![0; 16]);
    let name = "model.layers.0.self_attn.rotary_emb.inv_freq";
    let folder = altered("mha", |_| {}, |tensors| _ = tensors.insert(name.into(), table));
    Llama::<Flex>::load(folder.path(), &Default::default()).unwrap();
}

#[test]
fn a_wrong_shape_is_named() {
    let name = "model.layers.1.self_attn.k_proj.weight";
    let folder = altered("mha", |_| {}, |tensors| tensors.get_mut(name).unwrap().1 = vec![16, 64]);
    assert_refused(folder.path(), &[name, "[32, 32]", "[16, 64]"]);
}

#[test]
fn a_wrong_type_is_named() {
    let name = "model.norm.weight";
    let folder = altered("mha", |_| {}, |tensors| tensors.get_mut(name).unwrap().0 = Dtype::I32);
    assert_refused(folder.path(), &[name, "I32"]);
}

#[test]
fn settings_of_other_networks_are_named() {
    use serde_json::json;
    assert_setting_refused("model_type", json!("gemma2"));
    assert_setting_refused("architectures", json!(["Qwen2ForCausalLM"]));
    assert_setting_refused("hidden_act", json!("gelu"));
    assert_setting_refused("sliding_window", json!(4096));
    assert_setting_refused("quantization_config", json!({"bits": 4}));
    assert_setting_refused("hidden_size", json!(-3));
    assert_setting_refused("num_key_value_heads", json!(3));
    assert_setting_refused("num_hidden_layers", json!(0));
    assert_setting_refused("head_dim", json!(7));
    assert_setting_refused("rms_norm_eps", json!("small"));
    let rope = json!({"rope_type": "yarn", "factor": 4.0, "rope_theta": 10000.0});
    assert_setting_refused("rope_parameters", rope);
    let rope = json!({"rope_type": "llama3", "rope_theta": 10000.0, "low_freq_factor": 1.0});
    assert_setting_refused("rope_parameters", rope);
}

#[test]
fn an_unknown_rope_type_is_named_in_either_spelling() {
    for (key, kind) in [("rope_scaling", "type"), ("rope_scaling", "rope_type")] {
        let scaling = serde_json::json!({kind: "dynamic", "factor": 2.0});
        let folder = altered("mha", |config| _ = config.insert(key.into(), scaling), |_| {});
        assert_refused(folder.path(), &[key, kind, "dynamic"]);
    }
}

#[test]
fn both_spellings_of_the_rotary_settings_mean_the_same() {
    let new = LlamaConfig::load(&Golden::read("rope_llama3").folder).unwrap();
    let old = altered(
        "rope_llama3",
        |config| {
            let mut rope = config.remove("rope_parameters").unwrap();
            let theta = rope.as_object_mut().unwrap().remove("rope_theta").unwrap();
            config.insert("rope_theta".into(), theta);
            config.insert("rope_scaling".into(), rope);
        },
        |_| {},
    );
    assert_eq!(LlamaConfig::load(old.path()).unwrap(), new);
}

#[test]
fn truncated_files_are_refused_at_any_length() {
    let folder = altered("mha", |_| {}, |_| {});
    let path = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    for keep in [0, 4, 8, 200, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..keep]).unwrap();
        assert_refused(folder.path(), &["model.safetensors"]);
    }
    std::fs::remove_file(&path).unwrap();
    assert_refused(folder.path(), &["model.safetensors", "neither"]);
}

#[test]
fn fingerprints_follow_the_bytes() {
    let of = |kind: &str| fingerprint(&Golden::read(kind).folder).unwrap();
    let copy = altered("mha", |_| {}, |_| {});
    let before = fingerprint(copy.path()).unwrap();
    assert_eq!(before.len(), 64);
    assert_eq!(of("mha"), of("mha"));
    assert_ne!(of("mha"), of("mqa"));
    assert_eq!(of("sharded").len(), 64);
    let path = copy.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_ne!(fingerprint(copy.path()).unwrap(), before);
}
