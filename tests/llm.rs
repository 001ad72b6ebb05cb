//! Language models: providers against servers on this machine, recordings, searches.

#![allow(clippy::unwrap_used)] // a test may panic

mod http_server;
#[path = "llm/local.rs"]
mod local;
#[path = "llm/ollama.rs"]
mod ollama;
#[path = "llm/openai.rs"]
mod openai;
#[path = "llm/recordings.rs"]
mod recordings;
#[path = "llm/searches.rs"]
mod searches;
#[path = "../models/tests/generate/talker.rs"]
mod talker;

use std::time::Duration;

use screader::llm::{ChatRequest, Message};
use screader::service::{ApiKey, Patience};
use serde_json::{Value, json};

const KEY: &str = "sk-this-key-must-never-be-seen";

fn key() -> Option<ApiKey> {
    ApiKey::new(KEY)
}

fn patience(attempts: u32) -> Patience {
    Patience {
        attempts,
        first_wait: Duration::from_millis(4),
        timeout: Duration::from_millis(2000),
    }
}

fn request(question: &str) -> ChatRequest {
    ChatRequest {
        model: "some-model".into(),
        messages: vec![Message::system("You name cells."), Message::user(question)],
        schema: None,
        temperature: 0.0,
        top_p: 1.0,
        seed: Some(7),
        max_tokens: Some(64),
        stop: Vec::new(),
        web: false,
    }
}

fn schema() -> Value {
    json!({
        "type": "object", "properties": {"cell_type": {"type": "string"}},
        "required": ["cell_type"], "additionalProperties": false,
    })
}

fn body(request: &http_server::Request) -> Value {
    serde_json::from_str(&request.body).unwrap()
}
