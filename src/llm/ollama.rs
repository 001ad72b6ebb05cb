//! Ollama's own interface, at `{base}/api/chat`.
//!
//! Its traps: sampling parameters count only inside `options`; a context that is not asked for is
//! short, and a longer question loses its beginning without a word; gpt-oss answers in `thinking`
//! while `content` is empty, and leaks its channels; a schema together with tools silences the tools.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::concessions::{Concessions, Optional};
use super::reasoning::{Said, note_cut, settle};
use super::{ChatAnswer, ChatModel, ChatRequest, Tool, ToolCall, ToolRound, Turn, Usage};
use crate::service::{ApiKey, GivenUp, JsonService, Patience, estimate_tokens};
use crate::{Error, Result};

/// Where Ollama listens by default.
pub const OLLAMA_BASE_URL: &str = "http://localhost:11434";
/// Where the interface answers.
const PATH: &str = "/api/chat";
/// What a user can do about a failure.
const REMEDY: &str = "is Ollama running (`ollama serve`) and the address right? answers so far are \
                      kept where --record is given; offline, use --provider markers";
/// The smallest context that is asked for, Ollama's own default, in tokens.
const SMALLEST_CONTEXT: usize = 4096;
/// Tokens left for an answer of no stated length.
const ANSWER_TOKENS: usize = 2048;
/// Parts that some models do not know.
const OPTIONAL: [Optional; 2] = [
    Optional { key: "think", words: &["think"], instead: None },
    Optional {
        key: "format",
        words: &["invalid format", "unsupported format", "schema", "grammar"],
        instead: None,
    },
];

/// How much a model may think before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Think {
    /// Not at all; gpt-oss does all the same.
    Off,
    /// As it likes.
    On,
    /// Little; gpt-oss alone knows levels.
    Low,
    /// More.
    Medium,
    /// Much.
    High,
}

impl Think {
    fn value(self) -> Value {
        match self {
            Self::Off => json!(false),
            Self::On => json!(true),
            Self::Low => json!("low"),
            Self::Medium => json!("medium"),
            Self::High => json!("high"),
        }
    }
}

/// Settings that are Ollama's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OllamaSettings {
    /// The context in tokens; `None` takes the power of two that holds question and answer.
    pub num_ctx: Option<u32>,
    /// Reasoning; `None` leaves it to the model.
    pub think: Option<Think>,
}

/// A server of Ollama.
pub struct Ollama {
    service: JsonService,
    address: String,
    settings: OllamaSettings,
    concessions: Concessions,
}

#[derive(Deserialize)]
struct Answer {
    model: Option<String>,
    message: Reply,
    done_reason: Option<String>,
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
}

#[derive(Deserialize)]
struct Reply {
    content: Option<String>,
    thinking: Option<String>,
    tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
struct Call {
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    arguments: Value,
}

impl Ollama {
    /// Address a server, as [`OLLAMA_BASE_URL`]; a key is for one behind a gate. Nothing is sent yet.
    ///
    /// # Errors
    /// A base URL that is none, or that would send the key in the clear to another machine.
    pub fn new(
        base_url: &str,
        key: Option<ApiKey>,
        settings: OllamaSettings,
        patience: Patience,
    ) -> Result<Self> {
        let service = JsonService::new("--base-url", base_url, key, patience, REMEDY)?;
        let address = service.address();
        Ok(Self { service, address, settings, concessions: Concessions::default() })
    }

    fn question(
        &self,
        request: &ChatRequest,
        tools: &[Tool],
        rounds: &[ToolRound],
    ) -> Map<String, Value> {
        let mut options = Map::new();
        options.insert("temperature".to_owned(), json!(request.temperature));
        options.insert("top_p".to_owned(), json!(request.top_p));
        options.insert("num_ctx".to_owned(), json!(self.context(request, rounds)));
        if let Some(seed) = request.seed {
            options.insert("seed".to_owned(), json!(seed));
        }
        if let Some(most) = request.max_tokens {
            options.insert("num_predict".to_owned(), json!(most));
        }
        if !request.stop.is_empty() {
            options.insert("stop".to_owned(), json!(request.stop));
        }
        let mut question = Map::new();
        question.insert("model".to_owned(), json!(request.model));
        question.insert("messages".to_owned(), Value::Array(messages(request, rounds)));
        question.insert("stream".to_owned(), json!(false));
        question.insert("options".to_owned(), Value::Object(options));
        if let Some(think) = self.settings.think {
            question.insert("think".to_owned(), think.value());
        }
        if !tools.is_empty() {
            question.insert("tools".to_owned(), tools.iter().map(Tool::as_function).collect());
        } else if let Some(schema) = &request.schema {
            question.insert("format".to_owned(), schema.clone());
        }
        question
    }

    /// Tokens of context: a question longer than it loses its beginning, so that it must be enough. A
    /// power of two, since each change of it loads the model anew.
    fn context(&self, request: &ChatRequest, rounds: &[ToolRound]) -> usize {
        if let Some(own) = self.settings.num_ctx {
            return own as usize;
        }
        let asked = estimate_tokens(request.messages.iter().map(|message| &message.content));
        let found = estimate_tokens(rounds.iter().flat_map(|round| &round.results));
        let answer = request.max_tokens.map_or(ANSWER_TOKENS, |most| most as usize);
        // Gene symbols take more tokens than English words of their length.
        (2 * (asked + found) + answer).next_power_of_two().max(SMALLEST_CONTEXT)
    }

    fn send(
        &self,
        request: &ChatRequest,
        tools: &[Tool],
        rounds: &[ToolRound],
    ) -> Result<Option<Turn>> {
        let mut question = self.question(request, tools, rounds);
        let sent = self
            .concessions
            .ask(&OPTIONAL, &mut question, |question| self.service.post(PATH, question));
        let (body, notes) = match sent {
            Ok(answered) => answered,
            Err(given_up) if !tools.is_empty() && given_up.failure.is_about(&["tool"]) => {
                return Ok(None);
            }
            Err(given_up) => return Err(self.refusal(&request.model, given_up)),
        };
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|error| self.service.misshapen(PATH, error))?;
        self.read(request, answer, notes).map(Some)
    }

    fn read(&self, request: &ChatRequest, answer: Answer, mut notes: Vec<String>) -> Result<Turn> {
        let calls = answer.message.tool_calls.unwrap_or_default().into_iter();
        let calls: Vec<ToolCall> = calls.map(Call::into_tool_call).collect();
        if answer.done_reason.as_deref() == Some("length") {
            note_cut(&mut notes);
        }
        let (content, thoughts) =
            (answer.message.content.unwrap_or_default(), answer.message.thinking);
        let said = if calls.is_empty() {
            let said = settle(&content, thoughts, &mut notes);
            said.ok_or_else(|| self.service.misshapen(PATH, "no text in it"))?
        } else {
            Said { text: content, reasoning: thoughts }
        };
        let answer = ChatAnswer {
            text: said.text,
            reasoning: said.reasoning,
            model: answer.model.unwrap_or_else(|| request.model.clone()),
            usage: Usage {
                prompt_tokens: answer.prompt_eval_count.unwrap_or(0),
                completion_tokens: answer.eval_count.unwrap_or(0),
            },
            sources: Vec::new(),
            notes,
        };
        Ok(Turn { answer, calls })
    }

    fn refusal(&self, model: &str, given_up: GivenUp) -> Error {
        let missing = given_up.failure.status.is_some_and(|status| status.as_u16() == 404)
            && given_up.failure.is_about(&["model"]);
        if missing {
            return Error::input(
                "--model",
                format!("a model that Ollama at {} has", self.address),
                format!("{model:?}, which it lacks"),
                format!("ollama pull {model}"),
            );
        }
        self.service.error(PATH, given_up)
    }
}

impl ChatModel for Ollama {
    fn destination(&self) -> Option<&str> {
        Some(&self.address)
    }

    fn identity(&self) -> String {
        let OllamaSettings { num_ctx, think } = self.settings;
        let think = think.map_or(Value::Null, Think::value);
        format!("ollama {} {}", self.address, json!({"num_ctx": num_ctx, "think": think}))
    }

    fn ask(&self, request: &ChatRequest) -> Result<ChatAnswer> {
        refuse_web(request, "ollama")?;
        match self.send(request, &[], &[])? {
            Some(turn) => Ok(turn.answer),
            None => Err(self.service.misshapen(PATH, "no answer in it")),
        }
    }

    fn turn(
        &self,
        request: &ChatRequest,
        tools: &[Tool],
        rounds: &[ToolRound],
    ) -> Result<Option<Turn>> {
        self.send(request, tools, rounds)
    }
}

impl Call {
    fn into_tool_call(self) -> ToolCall {
        let Function { name, arguments } = self.function;
        ToolCall { id: String::new(), name, arguments: arguments.to_string() }
    }
}

/// Refuse a question that may search the web where nothing would search it.
///
/// # Errors
/// [`Error::Input`] where the question asks for the web.
pub(super) fn refuse_web(request: &ChatRequest, provider: &str) -> Result<()> {
    if !request.web {
        return Ok(());
    }
    Err(Error::input(
        "--web",
        "something to search with",
        format!("provider {provider}, which has no search of its own"),
        "name a search endpoint, as --search-url http://localhost:8080 for SearXNG",
    ))
}

fn messages(request: &ChatRequest, rounds: &[ToolRound]) -> Vec<Value> {
    let mut messages: Vec<Value> = request.messages.iter().map(|message| json!(message)).collect();
    for round in rounds {
        let calls = round.calls.iter().map(|call| {
            // Ollama wants arguments as an object.
            let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or(json!({}));
            json!({"function": {"name": call.name, "arguments": arguments}})
        });
        let mut said = json!({
            "role": "assistant", "content": round.text, "tool_calls": calls.collect::<Vec<_>>(),
        });
        if let Some(reasoning) = &round.reasoning {
            said["thinking"] = json!(reasoning);
        }
        messages.push(said);
        messages.extend(round.calls.iter().zip(&round.results).map(
            |(call, result)| json!({"role": "tool", "tool_name": call.name, "content": result}),
        ));
    }
    messages
}
