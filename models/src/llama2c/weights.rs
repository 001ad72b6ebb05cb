//! The weight file of llama2.c, version 0.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use safetensors::{Dtype, View};
use serde_json::{Value, json};

use crate::{Error, Result};

const HEADER_BYTES: usize = 28;

/// The seven integers that open the file.
pub(super) struct Header {
    dim: usize,
    hidden_dim: usize,
    n_layers: usize,
    n_heads: usize,
    n_kv_heads: usize,
    pub(super) vocab_size: usize,
    seq_len: usize,
    /// Whether the classifier is the token embeddings; a negative vocabulary size says no.
    shared_classifier: bool,
}

impl Header {
    /// Read the header and hold the length of the file against it.
    pub(super) fn read(bytes: &[u8], path: &Path) -> Result<Self> {
        let refuse = |key: &str, expected: String, found: String| {
            Err(Error::checkpoint(path, key, expected, found))
        };
        if bytes.len() < HEADER_BYTES {
            let (expected, found) = (format!("{HEADER_BYTES} bytes"), bytes.len().to_string());
            return refuse("(header)", expected, found);
        }
        let names =
            ["dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len"];
        let mut sizes = [0_usize; 7];
        let mut shared_classifier = true;
        for (index, name) in names.into_iter().enumerate() {
            let at = 4 * index;
            let number =
                i32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
            if name == "vocab_size" {
                shared_classifier = number > 0;
            }
            let magnitude = if name == "vocab_size" { number.checked_abs() } else { Some(number) };
            sizes[index] = match magnitude {
                Some(size) if size > 0 && size <= 1 << 24 => size as usize,
                _ => return refuse(name, "a size in 1..=2^24".into(), number.to_string()),
            };
        }
        let [dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len] = sizes;
        if !dim.is_multiple_of(2 * n_heads) {
            let expected = format!("heads of an even width in dim = {dim}");
            return refuse("n_heads", expected, n_heads.to_string());
        }
        if !n_heads.is_multiple_of(n_kv_heads) {
            let expected = format!("a divisor of n_heads = {n_heads}");
            return refuse("n_kv_heads", expected, n_kv_heads.to_string());
        }
        let header = Self {
            dim,
            hidden_dim,
            n_layers,
            n_heads,
            n_kv_heads,
            vocab_size,
            seq_len,
            shared_classifier,
        };
        // Sizes of up to 2^24 cannot overflow 128 bits in the sum of their products.
        let expected = HEADER_BYTES as u128 + 4 * header.count();
        if expected != bytes.len() as u128 {
            let expected = format!("{expected} bytes, as its header says");
            return refuse("(whole file)", expected, format!("{} bytes", bytes.len()));
        }
        Ok(header)
    }

    fn head_dim(&self) -> usize {
        self.dim / self.n_heads
    }

    /// The tensors of the file in order: name in llama2.c, how many, rows, columns.
    fn sections(&self) -> Vec<(&'static str, usize, usize, usize)> {
        let (dim, ffn, layers) = (self.dim, self.hidden_dim, self.n_layers);
        let kv = self.n_kv_heads * self.head_dim();
        let mut sections = vec![
            ("tok_embeddings", 1, self.vocab_size, dim),
            ("attention_norm", layers, 1, dim),
            ("wq", layers, dim, dim),
            ("wk", layers, kv, dim),
            ("wv", layers, kv, dim),
            ("wo", layers, dim, dim),
            ("ffn_norm", layers, 1, dim),
            ("w1", layers, ffn, dim),
            ("w2", layers, dim, ffn),
            ("w3", layers, ffn, dim),
            ("norm", 1, 1, dim),
            ("freq_cis_real", 1, self.seq_len, self.head_dim() / 2),
            ("freq_cis_imag", 1, self.seq_len, self.head_dim() / 2),
        ];
        if !self.shared_classifier {
            sections.push(("wcls", 1, self.vocab_size, dim));
        }
        sections
    }

    fn count(&self) -> u128 {
        let size = |(_, n, rows, columns): (_, usize, usize, usize)| {
            n as u128 * rows as u128 * columns as u128
        };
        self.sections().into_iter().map(size).sum()
    }

    /// The settings in the spelling of Hugging Face; what run.c fixes in its code is spelled out.
    pub(super) fn config(&self) -> Value {
        json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": self.dim,
            "intermediate_size": self.hidden_dim,
            "num_hidden_layers": self.n_layers,
            "num_attention_heads": self.n_heads,
            "num_key_value_heads": self.n_kv_heads,
            "max_position_embeddings": self.seq_len,
            "vocab_size": self.vocab_size,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "tie_word_embeddings": self.shared_classifier,
            "attention_bias": false,
            "mlp_bias": false,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "torch_dtype": "float32",
        })
    }

    /// Write the tensors under their Hugging Face names; all but queries and keys straight from the map.
    pub(super) fn write_safetensors(&self, bytes: &[u8], path: &Path) -> Result<()> {
        let mut tensors = Vec::new();
        let mut at = HEADER_BYTES;
        for (section, copies, rows, columns) in self.sections() {
            for index in 0..copies {
                let length = 4 * rows * columns;
                let range = at..at + length;
                at += length;
                if let Some(name) = published_name(section, index) {
                    tensors.push((name, self.tensor(section, bytes, range, [rows, columns])));
                }
            }
        }
        let metadata = [("format".to_string(), "pt".to_string())].into();
        safetensors::serialize_to_file(tensors, Some(metadata), path)
            .map_err(|error| Error::io(path)(std::io::Error::other(error)))
    }

    fn tensor<'a>(
        &self,
        section: &str,
        bytes: &'a [u8],
        range: Range<usize>,
        [rows, columns]: [usize; 2],
    ) -> Section<'a> {
        let rotary_heads = match section {
            "wq" => Some(self.n_heads),
            "wk" => Some(self.n_kv_heads),
            _ => None,
        };
        let shape = if section.ends_with("norm") { vec![columns] } else { vec![rows, columns] };
        Section { bytes: &bytes[range], shape, rotary_heads }
    }
}

fn published_name(section: &str, layer: usize) -> Option<String> {
    let in_layer = match section {
        "tok_embeddings" => return Some("model.embed_tokens.weight".into()),
        "norm" => return Some("model.norm.weight".into()),
        "wcls" => return Some("lm_head.weight".into()),
        "attention_norm" => "input_layernorm",
        "ffn_norm" => "post_attention_layernorm",
        "wq" => "self_attn.q_proj",
        "wk" => "self_attn.k_proj",
        "wv" => "self_attn.v_proj",
        "wo" => "self_attn.o_proj",
        "w1" => "mlp.gate_proj",
        "w2" => "mlp.down_proj",
        "w3" => "mlp.up_proj",
        // The tabulated frequencies follow from the settings.
        _ => return None,
    };
    Some(format!("model.layers.{layer}.{in_layer}.weight"))
}

/// One tensor of the map on its way to the new file.
struct Section<'a> {
    bytes: &'a [u8],
    shape: Vec<usize>,
    /// Heads of a query or key matrix, whose rows have to be reordered.
    rotary_heads: Option<usize>,
}

impl View for Section<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let Some(heads) = self.rotary_heads else { return Cow::Borrowed(self.bytes) };
        // llama2.c rotates neighbours (2i, 2i + 1) of a head, Hugging Face the pair (i, i + half): row
        // 2i + part of a head becomes its row part · half + i.
        let row = 4 * self.shape[1];
        let width = self.shape[0] / heads;
        let half = width / 2;
        let mut reordered = vec![0; self.bytes.len()];
        for (index, target) in reordered.chunks_exact_mut(row).enumerate() {
            let (head, within) = (index / width, index % width);
            let (part, pair) = (within / half, within % half);
            let source = (head * width + 2 * pair + part) * row;
            target.copy_from_slice(&self.bytes[source..source + row]);
        }
        Cow::Owned(reordered)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
