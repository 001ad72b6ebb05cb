//! Questions to language models: remote ones, ones on this machine, and recordings of either.
//!
//! Everything is a [`ChatModel`], and what is added to one is a [`ChatModel`] again. The order from
//! inside to outside: provider, budget, web search, recording. A recording outside the budget costs
//! nothing to replay; web search outside the budget has each of its rounds counted.

mod message;

pub use message::{ChatAnswer, ChatRequest, Message, Role, Source, Usage};

use crate::Result;

/// Something that answers questions.
pub trait ChatModel: Sync {
    /// Where questions go: `https://api.openai.com/v1`, or `None` where nothing leaves this process.
    fn destination(&self) -> Option<&str>;

    /// Every address that a question or a part of it may go to, for the line that says what left.
    fn destinations(&self) -> Vec<String> {
        self.destination().map(str::to_owned).into_iter().collect()
    }

    /// Ask once and wait for the answer.
    ///
    /// # Errors
    /// A provider that cannot be reached, refuses, or answers in another form.
    fn ask(&self, request: &ChatRequest) -> Result<ChatAnswer>;
}

impl<M: ChatModel + ?Sized> ChatModel for &M {
    fn destination(&self) -> Option<&str> {
        (**self).destination()
    }

    fn destinations(&self) -> Vec<String> {
        (**self).destinations()
    }

    fn ask(&self, request: &ChatRequest) -> Result<ChatAnswer> {
        (**self).ask(request)
    }
}

impl<M: ChatModel + ?Sized> ChatModel for Box<M> {
    fn destination(&self) -> Option<&str> {
        (**self).destination()
    }

    fn destinations(&self) -> Vec<String> {
        (**self).destinations()
    }

    fn ask(&self, request: &ChatRequest) -> Result<ChatAnswer> {
        (**self).ask(request)
    }
}
