//! Questions and answers of the chat interface.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::llm::concessions::Optional;
use crate::llm::reasoning::{Said, note_cut, settle};
use crate::llm::{ChatAnswer, ChatRequest, Tool, ToolCall, ToolRound, Turn, Usage};

/// Where the interface answers.
pub(super) const PATH: &str = "/chat/completions";
/// The words of a refusal that mean the schema.
pub(super) const SCHEMA_WORDS: &[&str] =
    &["response_format", "json_schema", "schema", "grammar", "structured output"];
/// Parts that some models and servers do not know.
pub(super) const OPTIONAL: [Optional; 7] = [
    Optional { key: "response_format", words: SCHEMA_WORDS, instead: None },
    Optional { key: "max_tokens", words: &["max_tokens"], instead: Some("max_completion_tokens") },
    Optional {
        key: "max_completion_tokens",
        words: &["max_completion_tokens"],
        instead: Some("max_tokens"),
    },
    Optional { key: "temperature", words: &["temperature"], instead: None },
    Optional { key: "top_p", words: &["top_p"], instead: None },
    Optional { key: "seed", words: &["seed"], instead: None },
    Optional { key: "stop", words: &["'stop'", "\"stop\"", "`stop`"], instead: None },
];

#[derive(Deserialize)]
struct Answer {
    model: Option<String>,
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Choice {
    message: Reply,
    finish_reason: Option<String>,
}

/// What compatible servers write differs: reasoning has three names.
#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    content: Value,
    refusal: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    thinking: Option<String>,
    tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    id: String,
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    arguments: Value,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Tokens {
    prompt_tokens: u64,
    completion_tokens: u64,
}

/// The question as the interface wants it.
pub(super) fn question(
    request: &ChatRequest,
    tools: &[Tool],
    rounds: &[ToolRound],
    of_openai: bool,
) -> Map<String, Value> {
    let mut question = Map::new();
    let mut put = |key: &str, value: Value| question.insert(key.to_owned(), value);
    put("model", json!(request.model));
    put("messages", Value::Array(messages(request, rounds)));
    put("temperature", json!(request.temperature));
    put("top_p", json!(request.top_p));
    if let Some(seed) = request.seed {
        put("seed", json!(seed));
    }
    if let Some(most) = request.max_tokens {
        // OpenAI's reasoning models know the new name alone, most other servers the old one alone.
        put(if of_openai { "max_completion_tokens" } else { "max_tokens" }, json!(most));
    }
    if !request.stop.is_empty() {
        put("stop", json!(request.stop));
    }
    if let Some(schema) = &request.schema {
        let named = json!({"name": "answer", "schema": schema, "strict": is_strict(schema)});
        put("response_format", json!({"type": "json_schema", "json_schema": named}));
    }
    if !tools.is_empty() {
        put("tools", tools.iter().map(Tool::as_function).collect());
    }
    question
}

/// Whether a schema is of the kind that OpenAI enforces to the letter: every object names all its
/// fields as required and allows no others.
pub(super) fn is_strict(schema: &Value) -> bool {
    let inside = match schema {
        Value::Object(map) => map.values().all(is_strict),
        Value::Array(all) => all.iter().all(is_strict),
        _ => true,
    };
    let Some(fields) = schema.get("properties").and_then(Value::as_object) else { return inside };
    let required = schema.get("required").and_then(Value::as_array);
    let required = required.is_some_and(|required| {
        fields.keys().all(|field| required.iter().any(|name| name == field))
    });
    inside && required && schema.get("additionalProperties") == Some(&Value::Bool(false))
}

fn messages(request: &ChatRequest, rounds: &[ToolRound]) -> Vec<Value> {
    let mut messages: Vec<Value> = request.messages.iter().map(|message| json!(message)).collect();
    for (number, round) in rounds.iter().enumerate() {
        let id = |at: usize, call: &ToolCall| match call.id.is_empty() {
            true => format!("call_{number}_{at}"),
            false => call.id.clone(),
        };
        let calls = round.calls.iter().enumerate().map(|(at, call)| {
            let function = json!({"name": call.name, "arguments": call.arguments});
            json!({"id": id(at, call), "type": "function", "function": function})
        });
        let calls: Vec<Value> = calls.collect();
        messages.push(json!({"role": "assistant", "content": round.text, "tool_calls": calls}));
        let results = round.calls.iter().zip(&round.results).enumerate();
        messages.extend(results.map(|(at, (call, result))| {
            json!({"role": "tool", "tool_call_id": id(at, call), "content": result})
        }));
    }
    messages
}

/// Read an answer; the error says what of it is not as it should be.
pub(super) fn read(
    request: &ChatRequest,
    answer: Value,
    mut notes: Vec<String>,
) -> Result<Turn, String> {
    let answer: Answer = serde_json::from_value(answer).map_err(|error| error.to_string())?;
    let choice = answer.choices.into_iter().next().ok_or("no choices in it")?;
    let Reply { content, refusal, reasoning_content, reasoning, thinking, tool_calls } =
        choice.message;
    let calls: Vec<ToolCall> =
        tool_calls.unwrap_or_default().into_iter().map(Call::into_tool_call).collect();
    match choice.finish_reason.as_deref() {
        Some("length") => note_cut(&mut notes),
        Some("content_filter") => notes.push("the service's filter cut the answer".to_owned()),
        _ => {}
    }
    let mut content = text_of(&content);
    if let Some(refusal) = refusal.filter(|refusal| !refusal.is_empty() && content.is_empty()) {
        notes.push("the model refused to answer".to_owned());
        content = refusal;
    }
    let thoughts = [reasoning_content, reasoning, thinking].into_iter().flatten().next();
    let said = if calls.is_empty() {
        settle(&content, thoughts, &mut notes).ok_or("no text in it")?
    } else {
        Said { text: content, reasoning: thoughts }
    };
    let tokens = answer.usage.unwrap_or_default();
    let answer = ChatAnswer {
        text: said.text,
        reasoning: said.reasoning,
        model: answer.model.unwrap_or_else(|| request.model.clone()),
        usage: Usage {
            prompt_tokens: tokens.prompt_tokens,
            completion_tokens: tokens.completion_tokens,
        },
        sources: Vec::new(),
        notes,
    };
    Ok(Turn { answer, calls })
}

impl Call {
    fn into_tool_call(self) -> ToolCall {
        // Text by the interface; some servers send the object itself.
        let arguments = match self.function.arguments {
            Value::String(text) => text,
            other => other.to_string(),
        };
        ToolCall { id: self.id, name: self.function.name, arguments }
    }
}

/// Content is a text, or parts of which some are text.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().concat()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strictness_is_asked_for_only_where_it_can_be_had() {
        let inner = json!({"type": "object", "properties": {"a": {"type": "string"}},
            "required": ["a"], "additionalProperties": false});
        assert!(is_strict(&inner));
        assert!(is_strict(&json!({"type": "array", "items": inner})));
        let mut open = inner.clone();
        open["additionalProperties"] = json!(true);
        assert!(!is_strict(&open));
        let mut optional = inner.clone();
        optional["required"] = json!([]);
        assert!(!is_strict(&json!({"type": "array", "items": optional})));
    }
}
