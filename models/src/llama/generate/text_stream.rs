//! Tokens as text while they come.

use crate::Result;
use crate::tokenizer::Tokenizer;

/// Tokens of the prompt that the first piece is read after, so that its leading space is known.
const BEFORE: usize = 6;

/// Turns tokens into pieces of text, each complete characters.
///
/// A token alone has no text: it may be part of a character, and whether it begins with a space shows after
/// others. So a few tokens are decoded with and without the new one, and the difference is its piece.
pub(super) struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    ids: Vec<u32>,
    /// First of the ids that are decoded again.
    start: usize,
    /// First of the ids whose text was not given.
    given: usize,
}

impl<'a> TextStream<'a> {
    /// Begin after `prompt`.
    pub(super) fn after(prompt: &[u32], tokenizer: &'a Tokenizer) -> Self {
        let ids = prompt[prompt.len().saturating_sub(BEFORE)..].to_vec();
        Self { tokenizer, given: ids.len(), start: 0, ids }
    }

    /// Take a token: gives the text that it completes, often its own, sometimes none.
    pub(super) fn push(&mut self, id: u32) -> Result<String> {
        self.ids.push(id);
        self.difference(false)
    }

    /// Give the text of tokens that were waiting for others, with � for parts of a character.
    pub(super) fn finish(&mut self) -> Result<String> {
        self.difference(true)
    }

    fn difference(&mut self, at_end: bool) -> Result<String> {
        let before = self.tokenizer.decode(&self.ids[self.start..self.given])?;
        let all = self.tokenizer.decode(&self.ids[self.start..])?;
        let waits = all.ends_with(char::REPLACEMENT_CHARACTER) && !at_end;
        match all.get(before.len()..) {
            Some(piece) if !piece.is_empty() && !waits => {
                let piece = piece.to_owned();
                (self.start, self.given) = (self.given, self.ids.len());
                Ok(piece)
            }
            _ => Ok(String::new()),
        }
    }
}
