//! The embeddings interface of OpenAI, which many services and local servers speak.

use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use super::TextEmbedder;
use crate::Result;
use crate::service::{ApiKey, JsonService, Patience};

/// OpenAI's own address.
pub const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";
/// The model of the scReader paper.
pub const OPENAI_MODEL: &str = "text-embedding-ada-002";
/// Texts of one request.
const TEXTS_AT_ONCE: usize = 128;
/// Where the interface answers.
const PATH: &str = "/embeddings";
/// What a user can do about a failure.
const REMEDY: &str = "finished texts are kept: the same command goes on where this one stopped; \
                      offline, use --provider minilm";
/// Names, vector lengths and prices (US dollars for a million tokens) of OpenAI's models, as its
/// price list had them in May 2026.
const KNOWN_MODELS: [(&str, usize, f64); 3] = [
    ("text-embedding-ada-002", 1536, 0.10),
    ("text-embedding-3-small", 1536, 0.02),
    ("text-embedding-3-large", 3072, 0.13),
];

/// What a provider takes for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// US dollars.
    pub dollars_per_million_tokens: f64,
    /// Whether it is the built-in one, of May 2026, rather than the user's.
    pub built_in: bool,
}

impl Price {
    /// The built-in price of a model, where there is one.
    pub fn of_model(model: &str) -> Option<Self> {
        known(model)
            .map(|(_, _, dollars)| Self { dollars_per_million_tokens: dollars, built_in: true })
    }
}

/// A service at a base URL, asked at `{base}/embeddings`.
pub struct OpenAiCompatible {
    service: JsonService,
    model: String,
    dimensions: Option<usize>,
}

#[derive(Serialize)]
struct Question<'a> {
    model: &'a str,
    input: &'a [String],
    encoding_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<usize>,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    index: usize,
    embedding: Vec<f32>,
}

impl OpenAiCompatible {
    /// Address `base_url`, as `https://api.openai.com/v1`; `dimensions` asks for vectors shorter
    /// than the model's own. Nothing is sent before [`TextEmbedder::embed`].
    ///
    /// # Errors
    /// A base URL that is none, or that would send the key in the clear to another machine.
    pub fn new(
        base_url: &str,
        key: Option<ApiKey>,
        model: impl Into<String>,
        dimensions: Option<usize>,
        patience: Patience,
    ) -> Result<Self> {
        let service = JsonService::new("--base-url", base_url, key, patience, REMEDY)?;
        Ok(Self { service, model: model.into(), dimensions })
    }

    fn ask(&self, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        let question = Question {
            model: &self.model,
            input: texts,
            encoding_format: "float",
            dimensions: self.dimensions,
        };
        let body = self.service.post(PATH, &question);
        let body = body.map_err(|given_up| self.service.error(PATH, given_up))?;
        let misshapen = |what: String| self.service.misshapen(PATH, what);
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|error| misshapen(error.to_string()))?;
        in_order(answer, texts.len()).map_err(misshapen)
    }
}

impl TextEmbedder for OpenAiCompatible {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn weights_sha256(&self) -> Option<&str> {
        None
    }

    fn dimensions(&self) -> Option<usize> {
        self.dimensions.or(known(&self.model).map(|(_, dimensions, _)| dimensions))
    }

    fn requested_dimensions(&self) -> Option<usize> {
        self.dimensions
    }

    fn batch_size(&self) -> usize {
        TEXTS_AT_ONCE
    }

    fn embed(&self, texts: &[String], progress: &ProgressBar) -> Result<Vec<Vec<f32>>> {
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in texts.chunks(TEXTS_AT_ONCE) {
            vectors.extend(self.ask(batch)?);
            progress.inc(batch.len() as u64);
        }
        Ok(vectors)
    }
}

fn known(model: &str) -> Option<(&'static str, usize, f64)> {
    KNOWN_MODELS.into_iter().find(|(name, _, _)| *name == model)
}

/// The vectors in the order of the texts, each present once.
fn in_order(answer: Answer, texts: usize) -> std::result::Result<Vec<Vec<f32>>, String> {
    if answer.data.len() != texts {
        return Err(format!("{} vectors for {texts} texts", answer.data.len()));
    }
    let mut vectors = vec![Vec::new(); texts];
    for Item { index, embedding } in answer.data {
        match vectors.get_mut(index) {
            Some(slot) if slot.is_empty() && !embedding.is_empty() => *slot = embedding,
            _ => return Err(format!("no single vector for text {index}")),
        }
    }
    Ok(vectors)
}
