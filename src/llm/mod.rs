//! Questions to language models: remote ones, ones on this machine, and recordings of either.
//!
//! Everything is a [`ChatModel`], and what is added to one is a [`ChatModel`] again. The order from
//! inside to outside: provider, budget, web search, recording. A recording outside the budget costs
//! nothing to replay; web search outside the budget has each of its rounds counted.

mod concessions;
mod cost;
mod foreign;
mod local;
mod message;
mod ollama;
mod openai;
mod pool;
mod reasoning;
mod recording;
mod tools;
pub mod web;

pub use cost::{ChatPrice, Cost, PRICES_OF, Paid, Purse, estimate, estimate_usage};
pub use foreign::{foreign_block, foreign_text};
pub use local::LocalModel;
pub use message::{ChatAnswer, ChatRequest, Message, Role, Source, Usage};
pub use ollama::{OLLAMA_BASE_URL, Ollama, OllamaSettings, Think};
pub use openai::OpenAiChat;
pub use pool::ask_all;
pub use recording::{Recorded, Recording};
pub use tools::{Tool, ToolCall, ToolRound, Turn};

use crate::Result;

/// Something that answers questions.
pub trait ChatModel: Sync {
    /// Where questions go: `https://api.openai.com/v1`, or `None` where nothing leaves this process.
    fn destination(&self) -> Option<&str>;

    /// Ask once and wait for the answer.
    ///
    /// # Errors
    /// A provider that cannot be reached, refuses, or answers in another form.
    fn ask(&self, request: &ChatRequest) -> Result<ChatAnswer>;

    /// Every address that a question or a part of it may go to, for the line that says what left.
    fn destinations(&self) -> Vec<String> {
        self.destination().map(str::to_owned).into_iter().collect()
    }

    /// Name what shapes an answer besides the question: where it goes, and settings of the
    /// provider's own. A recording finds an answer by it and the question.
    fn identity(&self) -> String {
        self.destination().unwrap_or("this process").to_owned()
    }

    /// Take one turn of a conversation in which the model may call `tools`, after `rounds` of calls
    /// and their results; `None` where it cannot call tools, as by default.
    ///
    /// # Errors
    /// As [`ChatModel::ask`].
    fn turn(
        &self,
        _request: &ChatRequest,
        _tools: &[Tool],
        _rounds: &[ToolRound],
    ) -> Result<Option<Turn>> {
        Ok(None)
    }
}

/// A model behind a pointer is a model.
macro_rules! through_pointer {
    ($pointer:ty) => {
        impl<M: ChatModel + ?Sized> ChatModel for $pointer {
            fn destination(&self) -> Option<&str> {
                (**self).destination()
            }

            fn ask(&self, request: &ChatRequest) -> Result<ChatAnswer> {
                (**self).ask(request)
            }

            fn destinations(&self) -> Vec<String> {
                (**self).destinations()
            }

            fn identity(&self) -> String {
                (**self).identity()
            }

            fn turn(
                &self,
                request: &ChatRequest,
                tools: &[Tool],
                rounds: &[ToolRound],
            ) -> Result<Option<Turn>> {
                (**self).turn(request, tools, rounds)
            }
        }
    };
}

through_pointer!(&M);
through_pointer!(Box<M>);
