//! Answers that are JSON of a given schema, token by token.

use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};

use super::language_model::LanguageModel;
use super::vocabulary::{Word, words};
use super::write::Constraint;
use crate::tokenizer::Tokenizer;
use crate::{Error, Result};

/// The vocabulary of a model as bytes, against which schemas are held.
pub struct SchemaRules {
    factory: ParserFactory,
}

/// One answer under a schema.
///
/// What the schema of an object lists comes in its order, with a blank after commas and colons and no other
/// white space, since a weak model would write it without end.
pub struct SchemaConstraint {
    matcher: Matcher,
}

impl SchemaRules {
    /// Prepare the vocabulary that `model` and `tokenizer` share.
    ///
    /// # Errors
    /// A tokenizer that spells bytes in none of the usual ways.
    pub fn new(model: &LanguageModel, tokenizer: &Tokenizer) -> Result<Self> {
        let vocab_size = model.config().vocab_size;
        let bytes = |word| match word {
            // Bytes that no grammar asks for.
            Word::Control(name) => [&[TokTrie::SPECIAL_TOKEN_MARKER], name.as_bytes()].concat(),
            Word::Text(bytes) => bytes,
            Word::Nothing => Vec::new(),
        };
        let words: Vec<Vec<u8>> = words(tokenizer, vocab_size)?.into_iter().map(bytes).collect();
        let end = model.ends().first().copied().unwrap_or(0);
        let mut trie = TokTrie::from(&TokRxInfo::new(vocab_size as u32, end), &words);
        if !model.ends().is_empty() {
            trie = trie.with_eos_tokens(model.ends());
        }
        let environment: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory = ParserFactory::new(&environment, InferenceCapabilities::default(), &[])
            .map_err(refuse)?;
        factory.quiet();
        Ok(Self { factory })
    }

    /// Begin an answer under `schema`.
    ///
    /// # Errors
    /// A schema that is none, or that asks for what cannot be enforced.
    pub fn constraint(&self, schema: &Value) -> Result<SchemaConstraint> {
        let mut schema = schema.clone();
        let Value::Object(settings) = &mut schema else {
            return Err(Error::checkpoint("JSON schema", "(whole)", "an object", schema));
        };
        settings.insert(
            "x-guidance".into(),
            json!({"whitespace_flexible": false, "item_separator": ", ", "key_separator": ": "}),
        );
        let grammar = TopLevelGrammar::from_json_schema(schema);
        let parser = self.factory.create_parser(grammar).map_err(refuse)?;
        Ok(SchemaConstraint { matcher: Matcher::new(Ok(parser)) })
    }
}

impl Constraint for SchemaConstraint {
    fn restrict(&mut self, logits: &mut [f32]) -> Result<()> {
        let allowed = self.matcher.compute_mask_or_eos().map_err(refuse)?;
        for (id, logit) in logits.iter_mut().enumerate() {
            if !allowed.is_allowed(id as u32) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    fn accept(&mut self, id: u32) -> Result<()> {
        self.matcher.consume_token(id).map_err(refuse)
    }

    fn is_complete(&mut self) -> bool {
        self.matcher.is_stopped()
    }
}

fn refuse(error: impl std::fmt::Display) -> Error {
    let found = error.to_string();
    let line = found.lines().next().unwrap_or_default();
    Error::checkpoint("JSON schema", "(whole)", "a schema that can be enforced", line)
}
