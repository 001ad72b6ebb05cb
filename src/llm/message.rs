//! What is asked of a language model, and what comes back.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The rules of the conversation.
    System,
    /// Who asks.
    User,
    /// The model; an example answer where it is part of a question.
    Assistant,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

impl Message {
    /// State the rules.
    pub fn system(content: impl Into<String>) -> Self {
        Self { role: Role::System, content: content.into() }
    }

    /// Ask.
    pub fn user(content: impl Into<String>) -> Self {
        Self { role: Role::User, content: content.into() }
    }

    /// Show an answer.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self { role: Role::Assistant, content: content.into() }
    }
}

/// One question to a language model; everything that shapes the answer is in it, since it is what a
/// recording is found by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    /// The model, as the provider names it.
    pub model: String,
    /// The conversation so far, the question last.
    pub messages: Vec<Message>,
    /// JSON schema that the answer should follow.
    pub schema: Option<Value>,
    /// Randomness of the answer; 0 is greedy.
    pub temperature: f64,
    /// The share of probability that tokens are drawn from, in (0, 1].
    pub top_p: f64,
    /// Seed of the draws, where the provider takes one.
    pub seed: Option<u64>,
    /// The longest answer, in tokens.
    pub max_tokens: Option<u32>,
    /// Texts at which the answer ends.
    pub stop: Vec<String>,
    /// Whether the web may be searched for this question.
    pub web: bool,
}

/// Tokens read and written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the question.
    pub prompt_tokens: u64,
    /// Tokens of the answer, reasoning included.
    pub completion_tokens: u64,
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            prompt_tokens: self.prompt_tokens.saturating_add(other.prompt_tokens),
            completion_tokens: self.completion_tokens.saturating_add(other.completion_tokens),
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(usages: I) -> Self {
        usages.fold(Self::default(), Add::add)
    }
}

/// A page that an answer rests on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Source {
    /// Its title.
    pub title: String,
    /// Its address.
    pub url: String,
}

/// An answer, as the provider gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatAnswer {
    /// The answer itself.
    pub text: String,
    /// What the model thought before it, where the provider tells.
    pub reasoning: Option<String>,
    /// The model that answered, as the provider names it.
    pub model: String,
    /// Tokens read and written, those of searches and second attempts included.
    pub usage: Usage,
    /// Pages found on the web and shown to the model, or cited by it.
    pub sources: Vec<Source>,
    /// What went otherwise than asked, as `the server refused structured output`; for the user to see.
    #[serde(default)]
    pub notes: Vec<String>,
}
