//! The embeddings interface of OpenAI, which many services and local servers speak.

use std::fmt;

use indicatif::ProgressBar;
use reqwest::Url;
use reqwest::blocking::{Client, Response};
use serde::{Deserialize, Serialize};

use super::TextEmbedder;
use super::retry::{Patience, asked_wait, passes};
use crate::{Error, Result};

/// OpenAI's own address.
pub const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";
/// The model of the scReader paper.
pub const OPENAI_MODEL: &str = "text-embedding-ada-002";
/// Texts of one request.
const TEXTS_AT_ONCE: usize = 128;
/// Characters of a token of English text, by OpenAI's rule of thumb.
const CHARACTERS_A_TOKEN: usize = 4;
/// How much of a server's own words an error shows.
const LONGEST_REASON: usize = 300;
/// Names, vector lengths and prices (US dollars for a million tokens) of OpenAI's models, as its
/// price list had them in May 2026.
const KNOWN_MODELS: [(&str, usize, f64); 3] = [
    ("text-embedding-ada-002", 1536, 0.10),
    ("text-embedding-3-small", 1536, 0.02),
    ("text-embedding-3-large", 3072, 0.13),
];

/// A secret that shows itself in no output.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// Take the key from an environment variable; `None` where it is not set or empty.
    pub fn from_environment(variable: &str) -> Option<Self> {
        let key = std::env::var(variable).ok()?.trim().to_owned();
        (!key.is_empty()).then_some(Self(key))
    }

    /// Strike the key from a text that others wrote.
    fn strike_from(&self, text: &str) -> String {
        text.replace(&self.0, "[key]")
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[key]")
    }
}

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

/// Estimate the tokens of texts, at 4 characters a token; off by a third at times.
pub fn estimate_tokens<'a>(texts: impl IntoIterator<Item = &'a String>) -> usize {
    texts.into_iter().map(|text| text.chars().count().div_ceil(CHARACTERS_A_TOKEN)).sum()
}

/// A service at a base URL, asked at `{base}/embeddings`.
pub struct OpenAiCompatible {
    client: Client,
    url: Url,
    key: Option<ApiKey>,
    model: String,
    dimensions: Option<usize>,
    patience: Patience,
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

#[derive(Deserialize, Default)]
struct Refusal {
    #[serde(default)]
    error: RefusalReason,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RefusalReason {
    message: String,
    code: serde_json::Value,
}

/// Why an attempt failed, and whether another may do better.
struct Failure {
    reason: String,
    again: Option<Option<std::time::Duration>>,
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
        let bad = |found: String| {
            Error::input("--base-url", "a URL such as https://host/v1", found, "correct it")
        };
        let mut url =
            Url::parse(base_url).map_err(|error| bad(format!("{base_url:?} ({error})")))?;
        let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        match url.scheme() {
            "https" => {}
            "http" if local || key.is_none() => {}
            "http" => return Err(bad("http, on which others could read the key".to_owned())),
            other => return Err(bad(format!("the scheme {other}"))),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("a URL with a user or password".to_owned()));
        }
        let path = format!("{}/embeddings", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let client = Client::builder()
            .timeout(patience.timeout)
            // A redirect could lead texts and key to a host that nobody named.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| bad(error.without_url().to_string()))?;
        Ok(Self { client, url, key, model: model.into(), dimensions, patience })
    }

    /// Ask until there is an answer, the patience ends, or the refusal is final.
    fn ask(&self, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        let mut attempt = 1;
        loop {
            let failure = match self.attempt(texts) {
                Ok(vectors) => return Ok(vectors),
                Err(failure) => failure,
            };
            match failure.again {
                Some(asked) if attempt < self.patience.attempts => {
                    std::thread::sleep(self.patience.wait(attempt, asked));
                    attempt += 1;
                }
                _ => return Err(self.network(failure.reason, attempt)),
            }
        }
    }

    fn attempt(&self, texts: &[String]) -> std::result::Result<Vec<Vec<f32>>, Failure> {
        let question = Question {
            model: &self.model,
            input: texts,
            encoding_format: "float",
            dimensions: self.dimensions,
        };
        let mut request = self.client.post(self.url.clone()).json(&question);
        if let Some(ApiKey(key)) = &self.key {
            request = request.bearer_auth(key);
        }
        let unheard = |error: reqwest::Error| {
            // A request that cannot even be made stays so.
            let again = (!error.is_builder()).then_some(None);
            Failure { reason: with_causes(&error.without_url()), again }
        };
        let response = request.send().map_err(unheard)?;
        if !response.status().is_success() {
            return Err(refusal(response));
        }
        let body = response.bytes().map_err(unheard)?;
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|error| final_failure(format!("an answer of another form ({error})")))?;
        in_order(answer, texts.len())
    }

    fn network(&self, reason: String, attempts: u32) -> Error {
        let reason = match &self.key {
            Some(key) => key.strike_from(&reason),
            None => reason,
        };
        let mut url = self.url.clone();
        url.set_query(None);
        Error::Network {
            url: url.to_string(),
            reason: format!("{reason} (attempt {attempts} of {})", self.patience.attempts),
            remedy: "finished texts are kept: the same command goes on where this one stopped; \
                     offline, use --provider minilm"
                .to_owned(),
        }
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

fn final_failure(reason: String) -> Failure {
    Failure { reason, again: None }
}

/// Read a refusal: its status, the server's own words, and whether to ask again.
fn refusal(response: Response) -> Failure {
    let status = response.status();
    let asked = asked_wait(response.headers());
    let body = response.text().unwrap_or_default();
    let refusal: Refusal = serde_json::from_str(&body).unwrap_or_default();
    let words = match refusal.error.message.is_empty() {
        true => body.as_str(),
        false => refusal.error.message.as_str(),
    };
    let words: String = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let words: String = words.chars().take(LONGEST_REASON).collect();
    // An account without credit answers 429 too, and waiting does not fill it.
    let empty_account = refusal.error.code == "insufficient_quota";
    let again = (passes(status) && !empty_account).then_some(asked);
    Failure { reason: format!("HTTP {status} {words}").trim_end().to_owned(), again }
}

/// The vectors in the order of the texts, each present once.
fn in_order(answer: Answer, texts: usize) -> std::result::Result<Vec<Vec<f32>>, Failure> {
    if answer.data.len() != texts {
        return Err(final_failure(format!("{} vectors for {texts} texts", answer.data.len())));
    }
    let mut vectors = vec![Vec::new(); texts];
    for Item { index, embedding } in answer.data {
        match vectors.get_mut(index) {
            Some(slot) if slot.is_empty() && !embedding.is_empty() => *slot = embedding,
            _ => return Err(final_failure(format!("no single vector for text {index}"))),
        }
    }
    Ok(vectors)
}

/// An error with its causes, which reqwest keeps apart.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
