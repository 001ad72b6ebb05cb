//! The settings of a sentence-transformers folder, checked against what this encoder computes.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// `config.json` of a BERT encoder, with the names of Hugging Face.
#[derive(Debug, Clone, Deserialize)]
pub struct BertSettings {
    /// Must be `bert`.
    pub model_type: String,
    /// Width of a token's vector.
    pub hidden_size: usize,
    /// Width between the two layers of the feed-forward network.
    pub intermediate_size: usize,
    /// Attention heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Encoder layers.
    pub num_hidden_layers: usize,
    /// Added to the variance in layer normalisation.
    pub layer_norm_eps: f64,
    /// Positions that have an embedding.
    pub max_position_embeddings: usize,
    /// Token types that have an embedding.
    pub type_vocab_size: usize,
    /// Tokens that have an embedding.
    pub vocab_size: usize,
    /// Activation of the feed-forward network; must be `gelu`, the exact one.
    pub hidden_act: String,
    /// Kind of position embedding; must be `absolute`.
    #[serde(default = "absolute")]
    pub position_embedding_type: String,
}

fn absolute() -> String {
    "absolute".to_owned()
}

/// What turns tokens into one sentence vector: the folder's settings beside `config.json`.
#[derive(Debug, Clone)]
pub struct SentenceSettings {
    /// The encoder.
    pub bert: BertSettings,
    /// Tokens a text is cut to, the two special ones included.
    pub max_tokens: usize,
    /// Whether texts are lower-cased before the tokenizer sees them.
    pub lower_case: bool,
    /// Whether the sentence vector is divided by its length.
    pub normalise: bool,
}

#[derive(Deserialize)]
struct TransformerFile {
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct TokenizerFile {
    // A float: unlimited tokenizers write 1e30.
    model_max_length: Option<f64>,
}

impl SentenceSettings {
    /// Read the settings of a sentence-transformers folder.
    ///
    /// # Errors
    /// A file that is missing or is not JSON, and every setting that this encoder does not compute
    /// (another architecture, activation, pooling or module), named by file and key.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let bert: BertSettings = read_json(&path)?;
        bert.check(&path)?;
        let normalise = read_modules(folder)?;
        let (max_tokens, lower_case) = read_truncation(folder, &bert)?;
        Ok(Self { bert, max_tokens, lower_case, normalise })
    }
}

impl BertSettings {
    fn check(&self, path: &Path) -> Result<()> {
        expect(path, "model_type", "bert", &self.model_type)?;
        expect(path, "hidden_act", "gelu", &self.hidden_act)?;
        expect(path, "position_embedding_type", "absolute", &self.position_embedding_type)?;
        let heads = self.num_attention_heads;
        if heads == 0 || self.hidden_size == 0 || !self.hidden_size.is_multiple_of(heads) {
            return Err(Error::Checkpoint {
                path: path.to_path_buf(),
                key: "num_attention_heads".to_owned(),
                expected: format!("a divisor of hidden_size {}", self.hidden_size),
                found: heads.to_string(),
            });
        }
        if self.type_vocab_size == 0 {
            return Err(Error::Checkpoint {
                path: path.to_path_buf(),
                key: "type_vocab_size".to_owned(),
                expected: "at least 1".to_owned(),
                found: "0".to_owned(),
            });
        }
        Ok(())
    }

    /// Width of one attention head.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }
}

/// Check that the modules are transformer, mean pooling and at most a normalisation; the result
/// says whether the last is there.
fn read_modules(folder: &Path) -> Result<bool> {
    let path = folder.join("modules.json");
    let modules: Vec<Module> = read_json(&path)?;
    let kinds: Vec<&str> =
        modules.iter().map(|module| module.kind.rsplit('.').next().unwrap_or_default()).collect();
    let normalise = match kinds.as_slice() {
        ["Transformer", "Pooling"] => false,
        ["Transformer", "Pooling", "Normalize"] => true,
        _ => {
            return Err(Error::Checkpoint {
                path,
                key: "type".to_owned(),
                expected: "Transformer, Pooling and at most Normalize".to_owned(),
                found: kinds.join(", "),
            });
        }
    };
    check_pooling(&folder.join(&modules[1].path).join("config.json"))?;
    Ok(normalise)
}

/// Check that the pooling is the mean and nothing else, in the old form (a flag for each mode) or
/// the new one (`pooling_mode`).
fn check_pooling(path: &Path) -> Result<()> {
    let pooling: serde_json::Map<String, serde_json::Value> = read_json(path)?;
    if let Some(mode) = pooling.get("pooling_mode") {
        return expect(path, "pooling_mode", "mean", mode.as_str().unwrap_or("no text"));
    }
    for (key, value) in pooling.iter().filter(|(key, _)| key.starts_with("pooling_mode_")) {
        let wanted = key == "pooling_mode_mean_tokens";
        if value.as_bool() != Some(wanted) {
            return expect(path, key, &wanted.to_string(), &value.to_string());
        }
    }
    if !pooling.contains_key("pooling_mode_mean_tokens") {
        return expect(path, "pooling_mode_mean_tokens", "true", "nothing");
    }
    Ok(())
}

/// The length texts are cut to, by sentence-transformers' rule: its own setting, else the smaller of
/// the tokenizer's and the positions the encoder has.
fn read_truncation(folder: &Path, bert: &BertSettings) -> Result<(usize, bool)> {
    let path = folder.join("sentence_bert_config.json");
    let own = match path.exists() {
        true => read_json::<TransformerFile>(&path)?,
        false => TransformerFile { max_seq_length: None, do_lower_case: false },
    };
    let positions = bert.max_position_embeddings;
    let max_tokens = match own.max_seq_length {
        Some(length) => length,
        None => {
            let tokenizer = folder.join("tokenizer_config.json");
            let limit = match tokenizer.exists() {
                true => read_json::<TokenizerFile>(&tokenizer)?.model_max_length,
                false => None,
            };
            limit.map_or(positions, |limit| positions.min(limit as usize))
        }
    };
    if !(3..=positions).contains(&max_tokens) {
        return Err(Error::Checkpoint {
            path,
            key: "max_seq_length".to_owned(),
            expected: format!("3 to max_position_embeddings {positions}"),
            found: max_tokens.to_string(),
        });
    }
    Ok((max_tokens, own.do_lower_case))
}

fn expect(path: &Path, key: &str, expected: &str, found: &str) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::Checkpoint {
        path: path.to_path_buf(),
        key: key.to_owned(),
        expected: expected.to_owned(),
        found: found.to_owned(),
    })
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let io = |source| Error::Io { path: path.to_path_buf(), source };
    let text = std::fs::read_to_string(path).map_err(io)?;
    serde_json::from_str(&text).map_err(|error| Error::Checkpoint {
        path: PathBuf::from(path),
        key: format!("line {}", error.line()),
        expected: "the settings of a sentence-transformers folder".to_owned(),
        found: error.to_string(),
    })
}
