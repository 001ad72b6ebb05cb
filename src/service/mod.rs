//! How services on the net are asked: addresses that keep a key safe, JSON there and back, attempts
//! that are bounded, and failures told without secrets. Shared by embeddings and language models.

mod address;
mod failure;
mod json;
mod key;
mod patience;

pub use address::is_this_machine;
pub use key::ApiKey;
pub use patience::Patience;

pub(crate) use failure::{Failure, GivenUp};
pub(crate) use json::JsonService;

/// Characters of a token of English text, by OpenAI's rule of thumb.
const CHARACTERS_A_TOKEN: usize = 4;

/// Estimate the tokens of texts, at 4 characters a token; off by a third at times.
pub fn estimate_tokens<'a>(texts: impl IntoIterator<Item = &'a String>) -> usize {
    texts.into_iter().map(|text| text.chars().count().div_ceil(CHARACTERS_A_TOKEN)).sum()
}
