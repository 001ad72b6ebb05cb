//! Missing summaries written by a chat model, each paid for once.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::clean::clean;
use super::text_file::read_text;
use crate::{Error, Result};

/// Writes a text for a prompt.
pub trait Completer {
    /// Answer the prompt.
    ///
    /// # Errors
    /// [`Error::Network`] if no answer came, [`Error::Io`] if it could not be kept.
    fn complete(&mut self, prompt: &str) -> Result<String>;

    /// The name of the model that answers, for the record.
    fn model(&self) -> &str;
}

/// The answers of a completer, kept in a file as they come, so that none is asked for twice.
///
/// The file has one JSON object a line: `key` (SHA-256 of model and prompt), `model`, `prompt`,
/// `answer`. A last line cut short by a kill is dropped.
pub struct CachedCompleter<C> {
    inner: C,
    path: PathBuf,
    file: File,
    answers: HashMap<String, String>,
    asked: usize,
    progress: ProgressBar,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    key: String,
    model: String,
    prompt: String,
    answer: String,
}

impl<C: Completer> CachedCompleter<C> {
    /// Open the cache at `path`, or begin one.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read or written, [`Error::Input`] if it is something else.
    pub fn open(path: &Path, inner: C) -> Result<Self> {
        let mut answers = HashMap::new();
        let text = if path.exists() { read_text(path)? } else { String::new() };
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        for (at, line) in text[..whole].lines().enumerate() {
            let answer: Answer = serde_json::from_str(line).map_err(|error| {
                let place = format!("{}: line {}", path.display(), at + 1);
                Error::input(place, "an answer kept as JSON", error, "name another cache file")
            })?;
            answers.insert(answer.key, answer.answer);
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(Error::io(path, "open"))?;
        if whole < text.len() {
            file.set_len(whole as u64).map_err(Error::io(path, "write"))?;
        }
        Ok(Self {
            inner,
            path: path.to_path_buf(),
            file,
            answers,
            asked: 0,
            progress: ProgressBar::hidden(),
        })
    }

    /// Whether the answer to this prompt is kept already.
    pub fn has(&self, prompt: &str) -> bool {
        self.answers.contains_key(&key(self.inner.model(), prompt))
    }

    /// Show how many of the questions that are not answered yet have been.
    pub fn show_progress(&mut self, questions: usize) {
        self.progress = ProgressBar::new(questions as u64);
        if let Ok(style) =
            ProgressStyle::with_template("summaries {wide_bar} {pos}/{len} ETA {eta}")
        {
            self.progress.set_style(style);
        }
    }

    /// How many prompts were put to the model since the cache was opened.
    pub fn asked(&self) -> usize {
        self.asked
    }
}

impl<C: Completer> Completer for CachedCompleter<C> {
    fn complete(&mut self, prompt: &str) -> Result<String> {
        let key = key(self.inner.model(), prompt);
        if let Some(answer) = self.answers.get(&key) {
            return Ok(answer.clone());
        }
        let answer = self.inner.complete(prompt)?;
        self.asked += 1;
        self.progress.inc(1);
        let kept = Answer {
            key: key.clone(),
            model: self.inner.model().to_string(),
            prompt: prompt.to_string(),
            answer: answer.clone(),
        };
        let mut line = serde_json::to_string(&kept).map_err(|error| {
            Error::input(self.path.display(), "an answer as JSON", error, "report this")
        })?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(Error::io(&self.path, "write"))?;
        self.file.flush().map_err(Error::io(&self.path, "write"))?;
        self.answers.insert(key, answer.clone());
        Ok(answer)
    }

    fn model(&self) -> &str {
        self.inner.model()
    }
}

fn key(model: &str, prompt: &str) -> String {
    format!("{:x}", Sha256::digest(format!("{model}\n{prompt}")))
}

/// A model behind an OpenAI-compatible `chat/completions`.
pub struct ChatCompleter {
    client: reqwest::blocking::Client,
    url: String,
    model: String,
    key: Option<String>,
    attempts: u32,
    first_pause: Duration,
}

/// Longest wait for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

impl ChatCompleter {
    /// Address `base_url` (as `https://api.openai.com/v1`) and the model there; `key` is sent as
    /// bearer token if there is one.
    ///
    /// # Errors
    /// [`Error::Network`] if no client can be made.
    pub fn new(base_url: &str, model: &str, key: Option<String>) -> Result<Self> {
        let url = format!("{}/chat/completions", base_url.trim_end_matches('/'));
        let client = reqwest::blocking::Client::builder()
            .timeout(ANSWER_TIMEOUT)
            .build()
            .map_err(|error| network(&url, error))?;
        let first_pause = Duration::from_secs(2);
        Ok(Self { client, url, model: model.to_string(), key, attempts: 6, first_pause })
    }

    /// Try this often, and wait this long before the second attempt (then twice as long each).
    pub fn patience(mut self, attempts: u32, first_pause: Duration) -> Self {
        self.attempts = attempts.max(1);
        self.first_pause = first_pause;
        self
    }

    /// Ask once; the flag says whether asking again may help.
    fn ask(&self, prompt: &str) -> std::result::Result<String, (bool, Error)> {
        let body = json!({
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
        });
        let mut request = self.client.post(&self.url).json(&body);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let response = request.send().map_err(|error| (true, network(&self.url, error)))?;
        let status = response.status();
        if !status.is_success() {
            let again = status.as_u16() == 429 || status.is_server_error();
            return Err((again, network(&self.url, format!("HTTP status {status}"))));
        }
        let answer: Value = response.json().map_err(|error| (true, network(&self.url, error)))?;
        let text = answer.pointer("/choices/0/message/content").and_then(Value::as_str);
        let text = text.ok_or_else(|| {
            (false, network(&self.url, "an answer without choices[0].message.content"))
        })?;
        Ok(clean(text))
    }
}

impl Completer for ChatCompleter {
    fn complete(&mut self, prompt: &str) -> Result<String> {
        let mut pause = self.first_pause;
        let mut attempt = 1;
        loop {
            match self.ask(prompt) {
                Ok(answer) => return Ok(answer),
                Err((again, error)) if !again || attempt >= self.attempts => return Err(error),
                Err(_) => {
                    // Jitter, so that several runs do not come back at the same instant.
                    std::thread::sleep(pause.mul_f64(rand::random_range(0.75..1.25)));
                    pause = (pause * 2).min(Duration::from_secs(60));
                    attempt += 1;
                }
            }
        }
    }

    fn model(&self) -> &str {
        &self.model
    }
}

fn network(url: &str, reason: impl std::fmt::Display) -> Error {
    Error::Network {
        url: url.to_string(),
        reason: reason.to_string(),
        remedy: "check the address, the model and the key in the environment; answers so far are \
                 kept, run the command again to go on"
            .into(),
    }
}
