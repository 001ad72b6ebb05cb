//! A model that talks: random weights behind a real tokenizer. Tests of the command take this file too.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, tensor::TensorView};
use serde_json::json;

/// Where the goldens of this crate lie, seen from here or from the workspace.
pub fn goldens() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let models = if here.ends_with("models") { here.to_path_buf() } else { here.join("models") };
    models.join("tests/goldens")
}

/// Write a LLaMA of one layer with the tokenizer of the chat goldens, and weights from a hash. Its vocabulary
/// is padded by two, as that of published models may be.
pub fn talker() -> tempfile::TempDir {
    let (vocab, hidden, inner) = (412, 16, 24);
    let folder = tempfile::tempdir().unwrap();
    let config = json!({
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": hidden,
        "intermediate_size": inner, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 1, "vocab_size": vocab, "max_position_embeddings": 4096,
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
