//! Why an attempt failed, and asking again while that may help.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use super::Patience;
use super::patience::{asked_wait, passes};

/// How much of a server's own words an error shows.
const LONGEST_REASON: usize = 300;

/// Why an attempt failed, and whether another may do better.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// The server's answer, where there was one.
    pub(crate) status: Option<StatusCode>,
    /// What happened, with the server's own words.
    pub(crate) reason: String,
    /// Whether to ask again, and the wait that the server asks for.
    again: Option<Option<Duration>>,
}

/// The failure after which nobody asked again, and how often it was tried.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", failure.reason)]
pub(crate) struct GivenUp {
    pub(crate) failure: Failure,
    pub(crate) attempts: u32,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Reason {
    message: String,
    code: Value,
    r#type: Value,
}

impl Failure {
    /// Report what another attempt cannot change.
    pub(crate) fn last(reason: impl Into<String>) -> Self {
        Self { status: None, reason: reason.into(), again: None }
    }

    /// Report that no answer came.
    pub(crate) fn passing(reason: impl Into<String>) -> Self {
        Self { status: None, reason: reason.into(), again: Some(None) }
    }

    /// Read a refusal: its status, the server's own words, and whether to ask again.
    pub(crate) fn refusal(status: StatusCode, headers: &HeaderMap, body: &str) -> Self {
        let stated = stated_reason(body);
        let words = if stated.message.is_empty() { body } else { stated.message.as_str() };
        let plain = |character: char| if character.is_control() { ' ' } else { character };
        let words: String = words.chars().map(plain).collect();
        let words: String = words.split_whitespace().collect::<Vec<_>>().join(" ");
        let words: String = words.chars().take(LONGEST_REASON).collect();
        // An account without credit answers 429 too, and waiting does not fill it.
        let quota = "insufficient_quota";
        let empty_account = stated.code == quota || stated.r#type == quota;
        let again = (passes(status) && !empty_account).then(|| asked_wait(headers));
        let reason = format!("HTTP {status} {words}").trim_end().to_owned();
        Self { status: Some(status), reason, again }
    }

    /// Whether the server refused the question, and not for its load, in words that hold one of
    /// `subjects` (lower case).
    pub(crate) fn is_about(&self, subjects: &[&str]) -> bool {
        // Small servers answer 500 to a part that they do not know.
        let refused = self.status.is_some_and(|status| {
            self.again.is_none() || status == StatusCode::INTERNAL_SERVER_ERROR
        });
        let words = self.reason.to_lowercase();
        refused && subjects.iter().any(|subject| words.contains(subject))
    }
}

/// The reason as OpenAI states it (`error.message`), or Ollama (`error`).
fn stated_reason(body: &str) -> Reason {
    #[derive(Deserialize)]
    struct Refusal {
        error: Value,
    }
    let Ok(Refusal { error }) = serde_json::from_str(body) else { return Reason::default() };
    match error {
        Value::String(message) => Reason { message, ..Reason::default() },
        error => serde_json::from_value(error).unwrap_or_default(),
    }
}

/// Attempt until there is an answer, the patience ends, or the failure is final.
pub(crate) fn persist<T>(
    patience: &Patience,
    mut attempt: impl FnMut() -> Result<T, Failure>,
) -> Result<T, GivenUp> {
    let mut attempts = 1;
    loop {
        let failure = match attempt() {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        match failure.again {
            Some(asked) if attempts < patience.attempts => {
                std::thread::sleep(patience.wait(attempts, asked));
                attempts += 1;
            }
            _ => return Err(GivenUp { failure, attempts }),
        }
    }
}

/// An error with its causes, which reqwest keeps apart.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_the_server_says_and_no_terminal_codes() {
        let headers = HeaderMap::new();
        let refusal = |status, body| Failure::refusal(status, &headers, body);
        let openai = r#"{"error": {"message": "no\u001b[31m such\nmodel", "code": null}}"#;
        assert_eq!(
            refusal(StatusCode::NOT_FOUND, openai).reason,
            "HTTP 404 Not Found no [31m such model"
        );
        let ollama = refusal(StatusCode::NOT_FOUND, r#"{"error": "model 'x' not found"}"#);
        assert_eq!(ollama.reason, "HTTP 404 Not Found model 'x' not found");
        assert!(ollama.is_about(&["not found"]) && !ollama.is_about(&["schema"]));
        let long = "word ".repeat(1000);
        assert!(refusal(StatusCode::BAD_REQUEST, &long).reason.len() < 400);
    }

    #[test]
    fn only_what_may_pass_is_asked_again() {
        let headers = HeaderMap::new();
        let again = |status, body| Failure::refusal(status, &headers, body).again.is_some();
        assert!(again(StatusCode::TOO_MANY_REQUESTS, ""));
        assert!(again(StatusCode::BAD_GATEWAY, "<html>"));
        assert!(!again(StatusCode::UNAUTHORIZED, ""));
        for body in [
            r#"{"error": {"code": "insufficient_quota"}}"#,
            r#"{"error": {"message": "no credit", "type": "insufficient_quota"}}"#,
        ] {
            assert!(!again(StatusCode::TOO_MANY_REQUESTS, body), "{body}");
        }
    }
}
