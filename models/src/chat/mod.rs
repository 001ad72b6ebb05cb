//! A conversation as the prompt that a model was trained on.
//!
//! The model's own template (`chat_template.jinja`, or `chat_template` of `tokenizer_config.json`) writes its
//! control tokens around what is said. What is said is text of others: a name of a gene may be spelled like
//! a control token and must not become one, so texts are marked before the template sees them and only what
//! the template wrote itself is read as control. See [`Chat`].

mod control;
mod files;
mod plain;
mod template;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Local};

use crate::{Error, Result};

use control::ControlEncoder;
use files::ChatFiles;
use template::Template;

/// One turn of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChatTurn<'a> {
    /// Who speaks: `system`, `user` or `assistant`.
    pub role: &'a str,
    /// What is said.
    pub content: &'a str,
}

/// A conversation, ready to be read by the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatPrompt {
    /// Its tokens.
    pub ids: Vec<u32>,
    /// The same as text, control tokens spelled out.
    pub text: String,
    /// Whether the template refused a system turn, whose text then stands before the first question.
    pub system_in_question: bool,
}

/// Writes conversations as a model expects them.
///
/// A model without a template gets a plain form, each part followed by an empty line: the text of the system
/// turn, then `User: …` and `Assistant: …` in turn, and at last `Assistant:`, which the model goes on from
/// until it writes [`Chat::stops`].
pub struct Chat {
    template: Option<Template>,
    control: ControlEncoder,
    named: BTreeMap<String, String>,
    folder: PathBuf,
}

impl Chat {
    /// Read the template, the named special tokens and the tokenizer of a model's folder.
    ///
    /// # Errors
    /// A file that is missing or not what it is called; a template that is not Jinja.
    pub fn load(folder: &Path) -> Result<Self> {
        let ChatFiles { template, named } = ChatFiles::read(folder)?;
        let template = template.map(|(path, text)| Template::parse(&path, text)).transpose()?;
        let control = ControlEncoder::load(folder)?;
        Ok(Self { template, control, named, folder: folder.to_path_buf() })
    }

    /// Say that it is `now` to templates that write the date; without it, they write that of loading.
    pub fn at(mut self, now: DateTime<Local>) -> Self {
        self.template = self.template.map(|template| template.at(now));
        self
    }

    /// Tell whether the model has a template.
    pub fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// Give the texts that end an answer, beside the model's own tokens.
    pub fn stops(&self) -> &'static [&'static str] {
        if self.has_template() { &[] } else { &plain::STOPS }
    }

    /// Give the id of the token that ends a turn by the tokenizer's word, `eos_token`.
    pub fn end(&self) -> Option<u32> {
        self.named.get("eos_token").and_then(|token| self.control.id(token))
    }

    /// Write a conversation whose next turn is the model's.
    ///
    /// # Errors
    /// What the template raises, as for roles that do not alternate; text that cannot be encoded.
    pub fn prompt(&self, turns: &[ChatTurn]) -> Result<ChatPrompt> {
        let Some(template) = &self.template else {
            let (ids, text) = self.control.encode(&plain::render(&self.neutral(turns)), true)?;
            return Ok(ChatPrompt { ids, text, system_in_question: false });
        };
        let neutral = self.neutral(turns);
        let first = template.render(&neutral, &self.named);
        let folded = first.is_err().then(|| without_system(&neutral)).flatten();
        let (rendered, system_in_question) = match (first, folded) {
            (Err(error), Some(folded)) => match template.render(&folded, &self.named) {
                Ok(rendered) => (rendered, true),
                Err(_) => return Err(error),
            },
            (first, _) => (first?, false),
        };
        // The template writes the token that opens a text where there is one.
        let (ids, text) = self.control.encode(&rendered, false)?;
        if ids.is_empty() {
            let place = self.folder.join("tokenizer_config.json");
            return Err(Error::checkpoint(place, "chat_template", "a prompt", "an empty text"));
        }
        Ok(ChatPrompt { ids, text, system_in_question })
    }

    fn neutral<'a>(&self, turns: &[ChatTurn<'a>]) -> Vec<NeutralTurn<'a>> {
        let neutral = |turn: &ChatTurn<'a>| NeutralTurn {
            role: turn.role,
            content: self.control.neutralise(turn.content),
        };
        turns.iter().map(neutral).collect()
    }
}

/// A turn in whose text no control token is spelled out.
#[derive(Debug, Clone)]
struct NeutralTurn<'a> {
    role: &'a str,
    content: String,
}

/// Put the text of a first system turn before the first question; `None` where there is none to put.
fn without_system<'a>(turns: &[NeutralTurn<'a>]) -> Option<Vec<NeutralTurn<'a>>> {
    let (system, rest) = turns.split_first().filter(|(first, _)| first.role == "system")?;
    let mut rest = rest.to_vec();
    let question = rest.first_mut().filter(|turn| turn.role == "user")?;
    question.content = format!("{}\n\n{}", system.content, question.content);
    Some(rest)
}
