//! The tokenizer file of llama2.c as a byte-pair tokenizer of Hugging Face.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::{Error, Result};

/// What a space is spelled as in a piece, by SentencePiece's custom.
const SPACE: &str = "\u{2581}";

/// The ids before the first byte piece: unknown, beginning, end.
const SPECIAL: [&str; 3] = ["<unk>", "<s>", "</s>"];

/// The vocabulary: pieces in order of their ids, with the score of merging into each.
pub(super) struct Pieces(Vec<(String, f32)>);

impl Pieces {
    /// Read `vocab_size` pieces and nothing more.
    pub(super) fn read(path: &Path, vocab_size: usize) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        let refuse = |id: usize, expected: &str, found: String| {
            Error::checkpoint(path, format!("piece {id}"), expected, found)
        };
        // The file opens with the length of its longest piece, which only a C reader needs.
        let mut rest = bytes.get(4..).unwrap_or_default();
        let mut pieces = Vec::with_capacity(vocab_size.min(bytes.len() / 8));
        let mut seen = HashMap::new();
        for id in 0..vocab_size {
            let Some((head, tail)) = rest.split_at_checked(8) else {
                let found = format!("the end of the file; the weights have {vocab_size} tokens");
                return Err(refuse(id, "a score and a length", found));
            };
            let score = f32::from_le_bytes([head[0], head[1], head[2], head[3]]);
            let length = i32::from_le_bytes([head[4], head[5], head[6], head[7]]);
            let piece = usize::try_from(length).ok().and_then(|n| tail.split_at_checked(n));
            let Some((piece, tail)) = piece else {
                return Err(refuse(id, "a piece within the file", format!("{length} bytes")));
            };
            rest = tail;
            if score.is_nan() {
                return Err(refuse(id, "a score", "not a number".into()));
            }
            let piece = match (SPECIAL.get(id), std::str::from_utf8(piece)) {
                (Some(name), _) => (*name).to_string(),
                (None, Ok(piece)) => piece.replace(' ', SPACE),
                (None, Err(error)) => return Err(refuse(id, "UTF-8", error.to_string())),
            };
            if let Some(first) = seen.insert(piece.clone(), id) {
                let found = format!("{piece:?}, which is piece {first} too");
                return Err(refuse(id, "a piece of its own", found));
            }
            pieces.push((piece, score));
        }
        if !rest.is_empty() {
            let found = format!("{} bytes more", rest.len());
            return Err(refuse(vocab_size, "the end of the file", found));
        }
        Ok(Self(pieces))
    }

    /// Write the pieces as a `tokenizer.json`, as Hugging Face converts LLaMA's SentencePiece model.
    pub(super) fn tokenizer(&self) -> Value {
        let vocabulary: Map<String, Value> =
            self.0.iter().enumerate().map(|(id, (piece, _))| (piece.clone(), json!(id))).collect();
        let special = |(id, name): (usize, &&str)| {
            json!({
                "id": id, "content": name, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true
            })
        };
        let added: Vec<Value> =
            SPECIAL.iter().take(self.0.len()).enumerate().map(special).collect();
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added,
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "Prepend", "prepend": SPACE},
                {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
            ]},
            "pre_tokenizer": null,
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [
                    {"SpecialToken": {"id": "<s>", "type_id": 0}},
                    {"Sequence": {"id": "A", "type_id": 0}}
                ],
                "pair": [
                    {"SpecialToken": {"id": "<s>", "type_id": 0}},
                    {"Sequence": {"id": "A", "type_id": 0}},
                    {"SpecialToken": {"id": "<s>", "type_id": 1}},
                    {"Sequence": {"id": "B", "type_id": 1}}
                ],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}
            },
            "decoder": {"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0}
            ]},
            "model": {
                "type": "BPE",
                "dropout": null,
                "unk_token": "<unk>",
                "continuing_subword_prefix": null,
                "end_of_word_suffix": null,
                "fuse_unk": true,
                "byte_fallback": true,
                "ignore_merges": false,
                "vocab": vocabulary,
                "merges": self.merges()
            }
        })
    }

    /// List the merges, best score first: every way to split a piece into two others.
    ///
    /// run.c merges the neighbours whose joint piece scores best; a ranked list does the same when the
    /// splits of better pieces come first.
    fn merges(&self) -> Vec<[&str; 2]> {
        let ids: HashMap<&str, usize> =
            self.0.iter().enumerate().map(|(id, (piece, _))| (piece.as_str(), id)).collect();
        let mut order: Vec<usize> = (SPECIAL.len()..self.0.len()).collect();
        order.sort_by(|&a, &b| self.0[b].1.total_cmp(&self.0[a].1).then(a.cmp(&b)));
        let mut merges = Vec::new();
        for id in order {
            let piece = self.0[id].0.as_str();
            let splits = piece.char_indices().skip(1).map(|(at, _)| piece.split_at(at));
            let mut known: Vec<[&str; 2]> = splits
                .filter(|(left, right)| ids.contains_key(left) && ids.contains_key(right))
                .map(|(left, right)| [left, right])
                .collect();
            known.sort_by_key(|[left, right]| (ids[left], ids[right]));
            merges.extend(known);
        }
        merges
    }
}
