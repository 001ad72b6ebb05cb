//! A prompt in, a text out.

use super::language_model::LanguageModel;
use super::sampling::{Sampler, Sampling};
use super::stop::StopWatch;
use super::text_stream::TextStream;
use crate::Result;
use crate::tokenizer::Tokenizer;

/// How a text is written.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateSettings {
    /// How each token is chosen.
    pub sampling: Sampling,
    /// The longest text, in tokens.
    pub max_tokens: usize,
    /// Texts that end it and are no part of it.
    pub stop: Vec<String>,
}

/// Why a text ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it.
    EndOfText,
    /// One of the stops came.
    Stop,
    /// It is as long as was asked for.
    MaxTokens,
    /// The model's context is full.
    FullContext,
}

/// A text and how it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    /// The text, up to a stop.
    pub text: String,
    /// Every token that was chosen, one that ends the text included.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub finish: Finish,
}

/// What a text must keep to, token by token.
pub trait Constraint {
    /// Set the logits of tokens that may not follow to minus infinity; `logits` is `[vocab_size]`.
    ///
    /// # Errors
    /// A rule that cannot be followed.
    fn restrict(&mut self, logits: &mut [f32]) -> Result<()>;

    /// Take note of the token that was chosen.
    ///
    /// # Errors
    /// A token that may not follow.
    fn accept(&mut self, id: u32) -> Result<()>;

    /// Tell whether the text is complete, so that nothing may follow.
    fn is_complete(&mut self) -> bool;
}

impl LanguageModel {
    /// Go on from `prompt` until `max_tokens`, the end of the text or that of the context, calling
    /// `on_token` with each token but one that ends the text; when that gives `false` the text ends there.
    ///
    /// # Errors
    /// A prompt that [`Self::read`] refuses or that leaves no room; settings that mean nothing; logits that
    /// are no numbers; what `on_token` gives.
    pub fn generate_ids(
        &self,
        prompt: &[u32],
        sampling: Sampling,
        max_tokens: usize,
        mut constraint: Option<&mut dyn Constraint>,
        on_token: &mut dyn FnMut(u32) -> Result<bool>,
    ) -> Result<(Vec<u32>, Finish)> {
        sampling.check()?;
        let mut ids = Vec::new();
        if max_tokens == 0 {
            return Ok((ids, Finish::MaxTokens));
        }
        let context = self.config().max_position_embeddings;
        if prompt.len() >= context {
            let expected = format!("a prompt of under {context} tokens");
            let found = format!("{} tokens", prompt.len());
            return Err(self.refuse("max_position_embeddings", &expected, &found));
        }
        let mut sampler = Sampler::new(sampling);
        let mut context = self.read(prompt)?;
        loop {
            let chosen = match constraint.as_deref_mut() {
                None => sampler.choose(context.logits()),
                Some(constraint) => {
                    let mut logits = context.logits().to_vec();
                    constraint.restrict(&mut logits)?;
                    sampler.choose(&logits)
                }
            };
            let Some(id) = chosen else {
                return Err(self.refuse("logits", "a number among them", "none"));
            };
            ids.push(id);
            if self.ends().contains(&id) {
                return Ok((ids, Finish::EndOfText));
            }
            if let Some(constraint) = constraint.as_deref_mut() {
                constraint.accept(id)?;
            }
            if !on_token(id)? {
                return Ok((ids, Finish::Stop));
            }
            if let Some(constraint) = constraint.as_deref_mut()
                && constraint.is_complete()
            {
                return Ok((ids, Finish::EndOfText));
            }
            if ids.len() == max_tokens {
                return Ok((ids, Finish::MaxTokens));
            }
            if context.room() == 0 {
                return Ok((ids, Finish::FullContext));
            }
            context.push(id)?;
        }
    }

    /// Write on from `prompt`, calling `on_text` with each piece of the text as soon as no stop can begin
    /// in it; the pieces are the text.
    ///
    /// # Errors
    /// As [`Self::generate_ids`], and tokens that `tokenizer` cannot decode.
    pub fn generate(
        &self,
        tokenizer: &Tokenizer,
        prompt: &[u32],
        settings: &GenerateSettings,
        constraint: Option<&mut dyn Constraint>,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Generation> {
        let mut text = String::new();
        let mut say = |piece: &str| {
            if !piece.is_empty() {
                text.push_str(piece);
                on_text(piece);
            }
        };
        let mut stream = TextStream::after(prompt, tokenizer);
        let mut watch = StopWatch::new(&settings.stop);
        let (ids, mut finish) = self.generate_ids(
            prompt,
            settings.sampling,
            settings.max_tokens,
            constraint,
            &mut |id| {
                let (certain, stopped) = watch.push(&stream.push(id)?);
                say(&certain);
                Ok(!stopped)
            },
        )?;
        if finish != Finish::Stop {
            let (certain, stopped) = watch.push(&stream.finish()?);
            say(&certain);
            match stopped {
                true => finish = Finish::Stop,
                false => say(&watch.finish()),
            }
        }
        Ok(Generation { text, ids, finish })
    }
}
