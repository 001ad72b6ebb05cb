//! Control tokens that only a template can write.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Error, Result};

// Noncharacters of Unicode, set aside for use within a program: no text that is exchanged has them.
/// Opens and closes a control token that the template wrote.
const OPEN: char = '\u{FDD0}';
const CLOSE: char = '\u{FDD1}';
/// Breaks the spelling of one in a text that somebody said.
const BREAK: char = '\u{FDD2}';

/// A tokenizer in which control tokens have another spelling, which no text can have.
///
/// Hugging Face's tokenizers find `<|im_start|>` wherever it is written. Here the token is found as the same
/// between two noncharacters, and the spelling itself is text like any other.
pub(super) struct ControlEncoder {
    tokenizer: tokenizers::Tokenizer,
    path: PathBuf,
    /// Spelling and id of each, longest first.
    tokens: Vec<(String, u32)>,
    /// The published id of each id that the other spellings got.
    published: BTreeMap<u32, u32>,
}

impl ControlEncoder {
    /// Read `tokenizer.json` of a folder.
    pub(super) fn load(folder: &Path) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
        let misread = |error: &dyn std::fmt::Display| {
            Error::checkpoint(&path, "(whole file)", "a tokenizer", error)
        };
        let mut json: Value = serde_json::from_slice(&bytes).map_err(|error| misread(&error))?;
        json["truncation"] = Value::Null;
        json["padding"] = Value::Null;
        let mut tokens = Vec::new();
        if let Some(added) = json["added_tokens"].as_array_mut() {
            for token in added {
                let Some(spelling) = token["content"].as_str().map(str::to_owned) else { continue };
                let Some(id) = token["id"].as_u64().and_then(|id| u32::try_from(id).ok()) else {
                    return Err(Error::checkpoint(&path, "added_tokens", "ids", &token["id"]));
                };
                if is_control(&spelling, token["special"] == true) {
                    token["content"] = Value::from(format!("{OPEN}{spelling}{CLOSE}"));
                    // A normaliser would change the other spelling in the text but not in this list.
                    token["normalized"] = Value::from(false);
                    tokens.push((spelling, id));
                }
            }
        }
        let tokenizer =
            tokenizers::Tokenizer::from_bytes(json.to_string()).map_err(|error| misread(&error))?;
        let published = (tokens.iter())
            .filter_map(|(spelling, id)| {
                let other = format!("{OPEN}{spelling}{CLOSE}");
                Some((tokenizer.token_to_id(&other)?, *id))
            })
            .collect();
        tokens.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then(a.cmp(b)));
        Ok(Self { tokenizer, path, tokens, published })
    }

    /// Give the id of a control token by its spelling.
    pub(super) fn id(&self, spelling: &str) -> Option<u32> {
        self.tokens.iter().find(|(one, _)| one == spelling).map(|(_, id)| *id)
    }

    /// Mark the spellings of control tokens in a text that somebody said, for [`Self::encode`].
    pub(super) fn neutralise(&self, text: &str) -> String {
        let mut neutral: String =
            text.chars().filter(|one| ![OPEN, CLOSE, BREAK].contains(one)).collect();
        for (spelling, _) in &self.tokens {
            if neutral.contains(spelling) {
                let mut broken = spelling.clone();
                let first = spelling.chars().next().map_or(0, char::len_utf8);
                broken.insert(first, BREAK);
                neutral = neutral.replace(spelling, &broken);
            }
        }
        neutral
    }

    /// Turn a rendered prompt into ids and into the text it stands for.
    pub(super) fn encode(
        &self,
        prompt: &str,
        add_special_tokens: bool,
    ) -> Result<(Vec<u32>, String)> {
        let mut marked = String::with_capacity(prompt.len());
        let mut rest = prompt;
        while let Some(character) = rest.chars().next() {
            let control = self.tokens.iter().find(|(one, _)| rest.starts_with(one.as_str()));
            if let Some((spelling, _)) = control {
                marked.extend([OPEN]);
                marked.push_str(spelling);
                marked.extend([CLOSE]);
                rest = &rest[spelling.len()..];
            } else {
                if character != BREAK {
                    marked.push(character);
                }
                rest = &rest[character.len_utf8()..];
            }
        }
        let encoding = self
            .tokenizer
            .encode(marked, add_special_tokens)
            .map_err(|error| Error::checkpoint(&self.path, "(text)", "text to encode", error))?;
        let published = |id: &u32| *self.published.get(id).unwrap_or(id);
        let ids = encoding.get_ids().iter().map(published).collect();
        Ok((ids, prompt.replace(BREAK, "")))
    }
}

/// Whether an added token steers the model: it is called special, or is spelled like a tag, as some published
/// tokenizers leave `<|im_end|>` or `<think>`.
fn is_control(spelling: &str, special: bool) -> bool {
    let tag = spelling.len() > 2 && spelling.starts_with('<') && spelling.ends_with('>');
    !spelling.is_empty() && (special || tag)
}
