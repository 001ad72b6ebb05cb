//! Parts of a question that a server refuses, left out and said.
//!
//! Servers that speak one interface differ in what of it they know: reasoning models of OpenAI take no
//! temperature, small servers no schema. A question that is refused for such a part is asked again
//! without it; the answer carries a note, and later questions leave the part out from the start.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

use crate::service::GivenUp;

/// A part that can be left out, and the words by which a refusal names it.
pub(super) struct Optional {
    /// The key in the question.
    pub(super) key: &'static str,
    /// Lower-case words of refusals that mean it.
    pub(super) words: &'static [&'static str],
    /// The key to ask with in its place.
    pub(super) instead: Option<&'static str>,
}

/// What was refused so far, by model and key, with the note on it.
#[derive(Default)]
pub(super) struct Concessions {
    known: Mutex<BTreeMap<(String, &'static str), String>>,
}

impl Concessions {
    /// Send `question`, leaving out what is refused; the result is the answer with notes.
    pub(super) fn ask<T>(
        &self,
        optional: &[Optional],
        question: &mut Map<String, Value>,
        mut send: impl FnMut(&Map<String, Value>) -> Result<T, GivenUp>,
    ) -> Result<(T, Vec<String>), GivenUp> {
        let model = question.get("model").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut notes = Vec::new();
        let mut tried: Vec<&str> = Vec::new();
        for part in optional {
            let note = self.lock().get(&(model.clone(), part.key)).cloned();
            if let Some(note) = note
                && leave_out(question, part)
            {
                tried.push(part.key);
                notes.push(note);
            }
        }
        loop {
            let given_up = match send(question) {
                Ok(answer) => return Ok((answer, notes)),
                Err(given_up) => given_up,
            };
            let refused = optional.iter().find(|part| {
                // Once each, so that two parts that stand in for each other come to an end.
                let untried = !tried.contains(&part.key);
                untried && question.contains_key(part.key) && given_up.failure.is_about(part.words)
            });
            let Some(part) = refused else { return Err(given_up) };
            tried.push(part.key);
            leave_out(question, part);
            let reason = &given_up.failure.reason;
            let note = match part.instead {
                Some(other) => {
                    format!("the server refused `{}` ({reason}): asked with `{other}`", part.key)
                }
                None if is_schema(part.key) => format!(
                    "the server refused structured output ({reason}): the schema was stated in plain text"
                ),
                None => format!("the server refused `{}` ({reason}): asked without it", part.key),
            };
            self.lock().insert((model.clone(), part.key), note.clone());
            notes.push(note);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, &'static str), String>> {
        // Whole entries are inserted, so that a thread that died left nothing half done.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_schema(key: &str) -> bool {
    matches!(key, "response_format" | "format" | "text")
}

/// Leave a part out; whether it was there.
fn leave_out(question: &mut Map<String, Value>, part: &Optional) -> bool {
    let Some(value) = question.remove(part.key) else { return false };
    if let Some(other) = part.instead {
        question.insert(other.to_owned(), value);
    } else if is_schema(part.key) {
        state_schema(question, &value);
    }
    true
}

/// Say in the last message of the user what the schema would have enforced.
fn state_schema(question: &mut Map<String, Value>, format: &Value) {
    let schema = format.pointer("/json_schema/schema").or(format.pointer("/format/schema"));
    let schema = schema.unwrap_or(format);
    let turns = ["messages", "input"].into_iter().find(|key| question.contains_key(*key));
    let Some(Value::Array(turns)) = turns.and_then(|key| question.get_mut(key)) else { return };
    let last = turns.iter_mut().rev().find(|turn| turn["role"] == "user");
    if let Some(Value::String(content)) = last.and_then(|turn| turn.get_mut("content")) {
        content.push_str(&format!(
            "\n\nAnswer with one JSON object that follows this JSON schema, and nothing else:\n{schema}"
        ));
    }
}
