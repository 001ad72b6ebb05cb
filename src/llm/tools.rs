//! What a model may call while it answers, and what it called.

use serde_json::{Value, json};

use super::ChatAnswer;

/// A function that a model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Its name, as `search_web`.
    pub name: &'static str,
    /// What it does and when to call it, for the model.
    pub description: &'static str,
    /// JSON schema of its arguments.
    pub parameters: Value,
}

impl Tool {
    /// The tool as OpenAI's chat interface and Ollama's describe functions.
    pub(super) fn as_function(&self) -> Value {
        json!({"type": "function", "function": {
            "name": self.name, "description": self.description, "parameters": self.parameters,
        }})
    }
}

/// A call that the model asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The provider's name of this call; empty where it gives none.
    pub id: String,
    /// The tool's name; not checked.
    pub name: String,
    /// The arguments as JSON text, as the model wrote it; not checked.
    pub arguments: String,
}

/// Calls that the model asked for together, and what came of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolRound {
    /// What the model said beside them.
    pub text: String,
    /// What it thought, which some models want to be reminded of.
    pub reasoning: Option<String>,
    /// The calls.
    pub calls: Vec<ToolCall>,
    /// A result for each call.
    pub results: Vec<String>,
}

/// A turn of the model: an answer, or calls that it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// What it said; its `usage` is of this turn alone.
    pub answer: ChatAnswer,
    /// The calls; none where the answer stands.
    pub calls: Vec<ToolCall>,
}
