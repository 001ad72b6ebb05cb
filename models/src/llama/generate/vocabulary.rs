//! The bytes of text that each token stands for.

use std::collections::HashMap;

use serde_json::Value;

use crate::Result;
use crate::tokenizer::Tokenizer;

/// What one token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// Bytes of text, maybe part of a character.
    Text(Vec<u8>),
    /// A control token, by its spelling.
    Control(String),
    /// Nothing: rows of the output head without a token.
    Nothing,
}

/// How a tokenizer spells bytes.
enum Bytes {
    /// A printable character for each of the 256 bytes (GPT-2's).
    Characters(HashMap<char, u8>),
    /// Text as it is but for blanks, which are `blank`, and bytes like `<0x0A>` (SentencePiece's).
    Fallback { blank: char },
}

/// Give what each token under `vocab_size` stands for.
///
/// # Errors
/// A tokenizer that spells bytes in neither of the two usual ways.
pub(super) fn words(tokenizer: &Tokenizer, vocab_size: usize) -> Result<Vec<Word>> {
    let decoder = serde_json::to_value(tokenizer.inner().get_decoder()).unwrap_or_default();
    let Some(bytes) = bytes_of(&decoder) else {
        let kind = decoder["type"].as_str().unwrap_or("none");
        let expected = "ByteLevel, or a sequence with ByteFallback";
        return Err(tokenizer.refuse("decoder", expected, kind));
    };
    let added = tokenizer.inner().get_added_tokens_decoder();
    let word = |id: u32| match (added.get(&id), tokenizer.inner().id_to_token(id)) {
        (Some(token), _) if token.special => Word::Control(token.content.clone()),
        (Some(token), _) => Word::Text(token.content.clone().into_bytes()),
        (None, Some(spelling)) => Word::Text(bytes.read(&spelling)),
        (None, None) => Word::Nothing,
    };
    Ok((0..vocab_size as u32).map(word).collect())
}

fn bytes_of(decoder: &Value) -> Option<Bytes> {
    let steps: Vec<&Value> = match decoder["decoders"].as_array() {
        Some(steps) => steps.iter().collect(),
        None => vec![decoder],
    };
    let find = |kind: &str| steps.iter().find(|step| step["type"] == kind);
    if find("ByteLevel").is_some() {
        return Some(Bytes::Characters(byte_characters()));
    }
    find("ByteFallback")?;
    let replaced = find("Replace").and_then(|step| step["pattern"]["String"].as_str());
    let spelled = replaced.or(find("Metaspace").and_then(|step| step["replacement"].as_str()));
    Some(Bytes::Fallback { blank: spelled.and_then(|text| text.chars().next()).unwrap_or(' ') })
}

/// The characters that stand for bytes: printable ones of Latin-1 for themselves, the others from U+0100 on.
fn byte_characters() -> HashMap<char, u8> {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let others = (0..=255_u8).filter(|byte| !printable(byte)).zip('\u{100}'..);
    let own = (0..=255_u8).filter(printable).map(|byte| (char::from(byte), byte));
    own.chain(others.map(|(byte, character)| (character, byte))).collect()
}

impl Bytes {
    fn read(&self, spelling: &str) -> Vec<u8> {
        match self {
            Self::Characters(bytes) => {
                // A vocabulary may hold texts that the tokenizer never makes; they stay as they are.
                let read: Option<Vec<u8>> =
                    spelling.chars().map(|one| bytes.get(&one).copied()).collect();
                read.unwrap_or_else(|| spelling.as_bytes().to_vec())
            }
            Self::Fallback { blank } => {
                let hexadecimal = spelling.strip_prefix("<0x").and_then(|s| s.strip_suffix('>'));
                match hexadecimal.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                    Some(byte) => vec![byte],
                    None => spelling.replace(*blank, " ").into_bytes(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bytes_are_read_in_both_spellings() {
        let level = bytes_of(&json!({"type": "ByteLevel"})).unwrap();
        assert_eq!(level.read("ĠT"), b" T");
        assert_eq!(level.read("Î³"), "γ".as_bytes());
        assert_eq!(level.read("Ċ"), b"\n");
        assert_eq!(byte_characters().len(), 256);
        let fallback = bytes_of(&json!({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"},
        ]}))
        .unwrap();
        assert_eq!(fallback.read("▁T"), b" T");
        assert_eq!(fallback.read("<0xCE>"), [0xCE]);
        assert_eq!(fallback.read("γ"), "γ".as_bytes());
        assert!(bytes_of(&json!({"type": "WordPiece"})).is_none());
    }
}
