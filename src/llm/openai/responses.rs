//! Questions and answers of the Responses interface, whose tool `web_search` runs at OpenAI.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::chat::{SCHEMA_WORDS, is_strict};
use crate::llm::concessions::Optional;
use crate::llm::reasoning::{note_cut, settle};
use crate::llm::web::Hit;
use crate::llm::{ChatAnswer, ChatRequest, Source, Usage};

/// Where the interface answers.
pub(super) const PATH: &str = "/responses";
/// Parts that some models do not know.
pub(super) const OPTIONAL: [Optional; 3] = [
    Optional { key: "text", words: SCHEMA_WORDS, instead: None },
    Optional { key: "temperature", words: &["temperature"], instead: None },
    Optional { key: "top_p", words: &["top_p"], instead: None },
];

/// The question as the interface wants it. It takes no seed and no stop.
pub(super) fn question(request: &ChatRequest) -> Map<String, Value> {
    let mut question = Map::new();
    let mut put = |key: &str, value: Value| question.insert(key.to_owned(), value);
    put("model", json!(request.model));
    put("input", json!(request.messages));
    put("tools", json!([{"type": "web_search"}]));
    // Nothing is to stay at the provider.
    put("store", json!(false));
    put("temperature", json!(request.temperature));
    put("top_p", json!(request.top_p));
    if let Some(most) = request.max_tokens {
        put("max_output_tokens", json!(most));
    }
    if let Some(schema) = &request.schema {
        let format = json!({
            "type": "json_schema", "name": "answer", "schema": schema, "strict": is_strict(schema),
        });
        put("text", json!({"format": format}));
    }
    question
}

/// Read an answer; the error says what of it is not as it should be.
pub(super) fn read(
    request: &ChatRequest,
    answer: Value,
    mut notes: Vec<String>,
) -> Result<ChatAnswer, String> {
    let output = answer["output"].as_array().ok_or("no output in it")?;
    let parts = |kind: &'static str, field: &'static str| {
        let items = output.iter().filter(move |item| item["type"] == kind);
        items.flat_map(move |item| item[field].as_array().into_iter().flatten())
    };
    let texts = |parts: &mut dyn Iterator<Item = &Value>| {
        parts.filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
    };
    let thoughts = texts(&mut parts("reasoning", "summary"));
    let mut content = texts(&mut parts("message", "content"));
    let refusal = parts("message", "content").find_map(|part| part["refusal"].as_str());
    if let Some(refusal) = refusal
        && content.is_empty()
    {
        notes.push("the model refused to answer".to_owned());
        refusal.clone_into(&mut content);
    }
    if answer["status"] == "incomplete" {
        note_cut(&mut notes);
    }
    if request.seed.is_some() || !request.stop.is_empty() {
        notes.push("OpenAI's own search takes no seed and no stop: asked without".to_owned());
    }
    if !output.iter().any(|item| item["type"] == "web_search_call") {
        notes.push("the model did not search".to_owned());
    }
    let said = settle(&content, Some(thoughts), &mut notes).ok_or("no text in it")?;
    let tokens = |key: &str| answer["usage"][key].as_u64().unwrap_or(0);
    Ok(ChatAnswer {
        text: said.text,
        reasoning: said.reasoning,
        model: answer["model"].as_str().unwrap_or(&request.model).to_owned(),
        usage: Usage {
            prompt_tokens: tokens("input_tokens"),
            completion_tokens: tokens("output_tokens"),
        },
        sources: cited(parts("message", "content")),
        notes,
    })
}

/// The pages that an answer cites, each once, in their order.
fn cited<'a>(parts: impl Iterator<Item = &'a Value>) -> Vec<Source> {
    let mut seen = HashSet::new();
    let annotations = parts.flat_map(|part| part["annotations"].as_array().into_iter().flatten());
    annotations
        .filter(|note| note["type"] == "url_citation")
        .filter_map(|note| {
            Hit::new(note["title"].as_str().unwrap_or_default(), note["url"].as_str()?, "")
        })
        .map(|Hit { title, url, .. }| Source { title, url })
        .filter(|source| seen.insert(source.url.clone()))
        .collect()
}
