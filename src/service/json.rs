//! JSON over HTTP, blocking.

use std::io::Read;

use reqwest::Url;
use reqwest::blocking::{Client, RequestBuilder, Response};
use serde::Serialize;

use super::address::{base_address, names_this_machine};
use super::failure::{Failure, GivenUp, persist, with_causes};
use super::{ApiKey, Patience};
use crate::{Error, Result};

/// The longest answer that is read, in bytes: a server must not fill the memory.
const LONGEST_ANSWER: u64 = 256 << 20;

/// A service at a base address that answers in JSON.
#[derive(Debug)]
pub(crate) struct JsonService {
    client: Client,
    base: Url,
    key: Option<ApiKey>,
    patience: Patience,
    remedy: &'static str,
}

impl JsonService {
    /// Address `base_url`, which the flag `place` gave. Nothing is sent yet.
    ///
    /// # Errors
    /// As [`base_address`].
    pub(crate) fn new(
        place: &str,
        base_url: &str,
        key: Option<ApiKey>,
        patience: Patience,
        remedy: &'static str,
    ) -> Result<Self> {
        let base = base_address(place, base_url, key.is_some())?;
        let mut builder = Client::builder()
            .timeout(patience.timeout)
            .user_agent(concat!("screader/", env!("CARGO_PKG_VERSION")))
            // A redirect could lead texts and key to a host that nobody named.
            .redirect(reqwest::redirect::Policy::none());
        if names_this_machine(&base) {
            // A proxy is another machine.
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| {
            Error::input(place, "a client", error.without_url(), "check the TLS certificates")
        })?;
        Ok(Self { client, base, key, patience, remedy })
    }

    /// The base address, without a query.
    pub(crate) fn address(&self) -> String {
        let mut url = self.base.clone();
        url.set_query(None);
        url.to_string().trim_end_matches('/').to_owned()
    }

    /// Send JSON to `path` (as `/embeddings`) and get the body of the answer, after as many attempts
    /// as it takes.
    pub(crate) fn post(
        &self,
        path: &str,
        question: &impl Serialize,
    ) -> std::result::Result<Vec<u8>, GivenUp> {
        self.send(&|| self.client.post(self.url(path)).json(question))
    }

    /// Send what is JSON already, as [`JsonService::post`].
    pub(crate) fn post_bytes(
        &self,
        path: &str,
        question: &[u8],
    ) -> std::result::Result<Vec<u8>, GivenUp> {
        let json = reqwest::header::HeaderValue::from_static("application/json");
        let post = || self.client.post(self.url(path)).body(question.to_vec());
        self.send(&|| post().header(reqwest::header::CONTENT_TYPE, &json))
    }

    /// Get `path` with a query.
    pub(crate) fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> std::result::Result<Vec<u8>, GivenUp> {
        self.send(&|| self.client.get(self.url(path)).query(query))
    }

    /// Tell a failure at `path` as an error, the key struck from it.
    pub(crate) fn error(&self, path: &str, given_up: GivenUp) -> Error {
        let GivenUp { failure, attempts } = given_up;
        let reason = self.without_key(&failure.reason);
        Error::Network {
            url: format!("{}{path}", self.address()),
            reason: format!("{reason} (attempt {attempts} of {})", self.patience.attempts),
            remedy: self.remedy.to_owned(),
        }
    }

    /// Strike the key from a text that others wrote.
    pub(crate) fn without_key(&self, text: &str) -> String {
        self.key.as_ref().map_or_else(|| text.to_owned(), |key| key.strike_from(text))
    }

    /// Tell that an answer has another form than it should.
    pub(crate) fn misshapen(&self, path: &str, what: impl std::fmt::Display) -> Error {
        let failure = Failure::last(format!("an answer of another form ({what})"));
        self.error(path, GivenUp { failure, attempts: 1 })
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url
    }

    fn send(&self, request: &dyn Fn() -> RequestBuilder) -> std::result::Result<Vec<u8>, GivenUp> {
        persist(&self.patience, || {
            let mut request = request();
            if let Some(key) = &self.key {
                request = request.bearer_auth(key.reveal());
            }
            let response = request.send().map_err(unheard)?;
            let status = response.status();
            let headers = response.headers().clone();
            let body = read(response)?;
            if !status.is_success() {
                return Err(Failure::refusal(status, &headers, &String::from_utf8_lossy(&body)));
            }
            Ok(body)
        })
    }
}

fn unheard(error: reqwest::Error) -> Failure {
    let unmade = error.is_builder();
    let reason = with_causes(&error.without_url());
    // A request that cannot even be made stays so.
    if unmade { Failure::last(reason) } else { Failure::passing(reason) }
}

fn read(response: Response) -> std::result::Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let read = response.take(LONGEST_ANSWER + 1).read_to_end(&mut body);
    read.map_err(|error| Failure::passing(with_causes(&error)))?;
    if body.len() as u64 > LONGEST_ANSWER {
        return Err(Failure::last(format!("an answer of over {} MiB", LONGEST_ANSWER >> 20)));
    }
    Ok(body)
}
