//! Folders of tiny LLaMAs, and the numbers of the goldens.

use std::path::{Path, PathBuf};

use burn::backend::Flex;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use screader_models::llama::{Kernels, LanguageModel};
use serde_json::{Value, json};

/// Where the goldens lie.
pub fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

/// Load a folder with `kernels`.
pub fn load(folder: &Path, kernels: Kernels) -> LanguageModel {
    let device = Default::default();
    LanguageModel::load_with_kernels::<Flex>(folder, &device, kernels, &|_, _| {}).unwrap()
}

/// Copy the golden LLaMA `kind` with a setting changed.
pub fn altered(kind: &str, key: &str, value: Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = goldens().join(kind);
    let text = std::fs::read_to_string(source.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config[key] = value;
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    std::fs::copy(source.join("model.safetensors"), folder.path().join("model.safetensors"))
        .unwrap();
    folder
}

/// Write a LLaMA of one layer with the tokenizer of the chat goldens, and weights from a hash. Its vocabulary
/// is padded by two, as that of published models may be.
pub fn talker() -> tempfile::TempDir {
    let (vocab, hidden, inner) = (412, 16, 24);
    let folder = tempfile::tempdir().unwrap();
    let config = json!({
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": hidden,
        "intermediate_size": inner, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 1, "vocab_size": vocab, "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": false,
        "eos_token_id": [0, 2],
    });
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        let source = goldens().join("generate/chat").join(name);
        std::fs::copy(source, folder.path().join(name)).unwrap();
    }
    let layer = "model.layers.0.";
    let tensors: Vec<(String, Vec<usize>)> = [
        ("model.embed_tokens.weight".to_owned(), vec![vocab, hidden]),
        ("lm_head.weight".to_owned(), vec![vocab, hidden]),
        ("model.norm.weight".to_owned(), vec![hidden]),
        (format!("{layer}input_layernorm.weight"), vec![hidden]),
        (format!("{layer}post_attention_layernorm.weight"), vec![hidden]),
        (format!("{layer}self_attn.q_proj.weight"), vec![hidden, hidden]),
        (format!("{layer}self_attn.k_proj.weight"), vec![hidden / 2, hidden]),
        (format!("{layer}self_attn.v_proj.weight"), vec![hidden / 2, hidden]),
        (format!("{layer}self_attn.o_proj.weight"), vec![hidden, hidden]),
        (format!("{layer}mlp.gate_proj.weight"), vec![inner, hidden]),
        (format!("{layer}mlp.up_proj.weight"), vec![inner, hidden]),
        (format!("{layer}mlp.down_proj.weight"), vec![hidden, inner]),
    ]
    .into();
    let mut state = 1_u32;
    let stored: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, shape)| {
            let number = |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((state >> 8) as f32 / 8_388_608.0 - 1.0).to_le_bytes()
            };
            let bytes = (0..shape.iter().product::<usize>()).flat_map(number).collect();
            (name, shape, bytes)
        })
        .collect();
    let views = stored.iter().map(|(name, shape, bytes)| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, &folder.path().join("model.safetensors")).unwrap();
    folder
}

/// A safetensors file of goldens.
pub struct Golden(Vec<u8>);

impl Golden {
    pub fn read(path: &Path) -> Self {
        Self(std::fs::read(path).unwrap())
    }

    pub fn ids(&self, name: &str) -> Vec<u32> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let data = file.tensor(name).unwrap();
        let id = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().unwrap()) as u32;
        data.data().chunks_exact(8).map(id).collect()
    }

    /// The rows of a matrix.
    pub fn rows(&self, name: &str) -> Vec<Vec<f32>> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        let number = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
        let values: Vec<f32> = view.data().chunks_exact(4).map(number).collect();
        values.chunks_exact(view.shape()[1]).map(<[f32]>::to_vec).collect()
    }
}

/// The largest difference between two lists.
pub fn distance(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
