//! What sets a question apart from those that were recorded.

use serde_json::Value;

use super::file::Entry;
use crate::llm::ChatRequest;

/// Characters of a text that are shown around the place where two part.
const SHOWN: usize = 40;

/// Describe how a question differs from the recorded one that is nearest to it.
pub(super) fn what_differs(entries: &[Entry], identity: &str, request: &ChatRequest) -> String {
    let nearest = entries
        .iter()
        .map(|entry| differences(entry, identity, request))
        .min_by_key(|differences| (differences.fields.len(), usize::MAX - differences.common));
    let Some(Differences { fields, .. }) = nearest else {
        return "an empty recording".to_owned();
    };
    format!("one that differs from the nearest in {}", fields.join("; in "))
}

struct Differences {
    fields: Vec<String>,
    /// Bytes of the messages that agree, up to where they part.
    common: usize,
}

fn differences(entry: &Entry, identity: &str, request: &ChatRequest) -> Differences {
    let mut fields = Vec::new();
    if entry.identity != identity {
        fields.push(format!("the provider ({identity}, recorded {})", entry.identity));
    }
    let asked = serde_json::to_value(request).unwrap_or_default();
    let recorded = serde_json::to_value(&entry.request).unwrap_or_default();
    let none = serde_json::Map::new();
    for (name, value) in asked.as_object().unwrap_or(&none) {
        let other = &recorded[name];
        if name != "messages" && value != other {
            fields.push(format!("{name} ({}, recorded {})", brief(value), brief(other)));
        }
    }
    let mut common = 0;
    let (own, other) = (&request.messages, &entry.request.messages);
    if own.len() != other.len() {
        fields.push(format!("the number of messages ({}, recorded {})", own.len(), other.len()));
    }
    for (at, (own, other)) in own.iter().zip(other).enumerate() {
        let same = own.content.bytes().zip(other.content.bytes()).take_while(|(a, b)| a == b);
        let same = same.count();
        common += same;
        if own != other {
            let (own, other) = (around(&own.content, same), around(&other.content, same));
            fields.push(format!("message {} ({own:?}, recorded {other:?})", at + 1));
            break;
        }
    }
    Differences { fields, common }
}

fn brief(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 2 * SHOWN { text } else { around(&text, 0) }
}

/// A text around a byte offset.
fn around(text: &str, offset: usize) -> String {
    let offset = text.floor_char_boundary(offset);
    let start = text[..offset].char_indices().rev().nth(SHOWN / 2).map_or(0, |(at, _)| at);
    let mut shown: String = text[start..].chars().take(2 * SHOWN).collect();
    if start > 0 {
        shown.insert(0, '…');
    }
    shown
}
