//! OpenAI, and every service and local server that speaks its interface.

mod chat;
mod responses;
mod transport;

use std::sync::Arc;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use serde_json::{Map, Value};

use super::concessions::{Concessions, Optional};
use super::ollama::refuse_web;
use super::{ChatAnswer, ChatModel, ChatRequest, Tool, ToolRound, Turn};
use crate::embed::OPENAI_BASE_URL;
use crate::service::{ApiKey, Failure, GivenUp, JsonService, Patience};
use crate::{Error, Result};

/// What a user can do about a failure.
const REMEDY: &str = "answers so far are kept where --record is given; offline, use \
                      --provider markers";

/// A service at a base URL, asked at `{base}/chat/completions`, or for questions that may search the
/// web at `{base}/responses`.
pub struct OpenAiChat {
    service: Arc<JsonService>,
    client: Client<OpenAIConfig>,
    address: String,
    own_search: bool,
    concessions: Concessions,
}

impl OpenAiChat {
    /// Address `base_url`, as [`OPENAI_BASE_URL`]; OpenAI's own search is used there alone. Nothing is
    /// sent yet.
    ///
    /// # Errors
    /// A base URL that is none, or that would send the key in the clear to another machine.
    pub fn new(base_url: &str, key: Option<ApiKey>, patience: Patience) -> Result<Self> {
        let service = JsonService::new("--base-url", base_url, key, patience, REMEDY)?;
        let service = Arc::new(service);
        let address = service.address();
        let own_search = address == OPENAI_BASE_URL;
        let client = transport::client(&service);
        Ok(Self { service, client, address, own_search, concessions: Concessions::default() })
    }

    /// Say whether the service searches the web itself, through OpenAI's Responses interface.
    pub fn with_own_search(mut self, own_search: bool) -> Self {
        self.own_search = own_search;
        self
    }

    /// Whether the service searches the web itself.
    pub fn has_own_search(&self) -> bool {
        self.own_search
    }

    /// Send a question by a method of async-openai, without what the service refuses to know.
    fn send(
        &self,
        optional: &[Optional],
        mut question: Map<String, Value>,
        ask: impl AsyncFn(Value) -> std::result::Result<Value, OpenAIError>,
    ) -> std::result::Result<(Value, Vec<String>), GivenUp> {
        self.concessions.ask(optional, &mut question, |question| {
            let answer = futures_executor::block_on(ask(Value::Object(question.clone())));
            answer.map_err(given_up)
        })
    }

    fn chat(
        &self,
        request: &ChatRequest,
        tools: &[Tool],
        rounds: &[ToolRound],
    ) -> Result<Option<Turn>> {
        let of_openai = self.address == OPENAI_BASE_URL;
        let question = chat::question(request, tools, rounds, of_openai);
        let sent = self.send(&chat::OPTIONAL, question, async |question| {
            self.client.chat().create_byot(question).await
        });
        let (answer, notes) = match sent {
            Ok(answered) => answered,
            Err(given_up) => {
                let about_tools = given_up.failure.is_about(&["tool", "function call"]);
                if !tools.is_empty() && about_tools {
                    return Ok(None);
                }
                return Err(self.service.error(chat::PATH, given_up));
            }
        };
        let turn = chat::read(request, answer, notes);
        turn.map(Some).map_err(|what| self.service.misshapen(chat::PATH, what))
    }

    fn search(&self, request: &ChatRequest) -> Result<ChatAnswer> {
        let question = responses::question(request);
        let sent = self.send(&responses::OPTIONAL, question, async |question| {
            self.client.responses().create_byot(question).await
        });
        let (answer, notes) = sent.map_err(|given_up| {
            if given_up.failure.is_about(&["web_search", "tool"]) {
                return Error::input(
                    "--web",
                    format!("a model that {} searches the web for", self.address),
                    self.service.without_key(&given_up.failure.reason),
                    "name a search endpoint, as --search-url http://localhost:8080 for SearXNG",
                );
            }
            self.service.error(responses::PATH, given_up)
        })?;
        let answer = responses::read(request, answer, notes);
        answer.map_err(|what| self.service.misshapen(responses::PATH, what))
    }
}

impl ChatModel for OpenAiChat {
    fn destination(&self) -> Option<&str> {
        Some(&self.address)
    }

    fn identity(&self) -> String {
        format!("openai {}", self.address)
    }

    fn ask(&self, request: &ChatRequest) -> Result<ChatAnswer> {
        if request.web && self.own_search {
            return self.search(request);
        }
        refuse_web(request, "openai at this address")?;
        let turn = self.chat(request, &[], &[])?;
        turn.map(|turn| turn.answer)
            .ok_or_else(|| self.service.misshapen(chat::PATH, "no answer in it"))
    }

    fn turn(
        &self,
        request: &ChatRequest,
        tools: &[Tool],
        rounds: &[ToolRound],
    ) -> Result<Option<Turn>> {
        self.chat(request, tools, rounds)
    }
}

/// The failure that an error of async-openai stands for.
fn given_up(error: OpenAIError) -> GivenUp {
    let reason = match error {
        OpenAIError::Boxed(error) => match error.downcast::<GivenUp>() {
            Ok(given_up) => return *given_up,
            Err(error) => error.to_string(),
        },
        // Without what the server wrote, which may be anything.
        OpenAIError::JSONDeserialize(error, _) => format!("an answer of another form ({error})"),
        error => error.to_string(),
    };
    GivenUp { failure: Failure::last(reason), attempts: 1 }
}
