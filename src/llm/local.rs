//! A LLaMA on this machine, run by this process: nothing leaves it.

use std::path::Path;

use screader_models::chat::{Chat, ChatTurn};
use screader_models::llama::{
    Constraint, Finish, GenerateSettings, LanguageModel, Sampling, SchemaConstraint, SchemaRules,
    fingerprint,
};
use screader_models::tokenizer::Tokenizer;
use serde_json::Value;

use super::cost::ANSWER_TOKENS;
use super::ollama::refuse_web;
use super::reasoning::{Said, note_cut, settle};
use super::{ChatAnswer, ChatModel, ChatRequest, Role, Usage};
use crate::device::{Device, on_device};
use crate::{Error, Result};

/// A language model in a Hugging Face folder, as `screader fetch backbone` gets them.
///
/// Questions are written by the model's chat template, or in the plain form of
/// [`Chat`](screader_models::chat::Chat) where it has none. A schema is stated in the last question, and
/// enforced token by token where its vocabulary and the schema allow; where not, a note says so. The same
/// question with the same seed has the same answer (without one the seed is 0), unless the template writes
/// the date. The longest answer is 1,000 tokens unless the question says otherwise.
pub struct LocalModel {
    model: LanguageModel,
    tokenizer: Tokenizer,
    chat: Chat,
    rules: std::result::Result<SchemaRules, String>,
    name: String,
    sha256: String,
}

impl LocalModel {
    /// Load the model of `folder` to `device`.
    ///
    /// # Errors
    /// A folder that is none, lacks weights, an output head or a tokenizer, or whose template is no Jinja.
    pub fn open(folder: &Path, device: Device) -> Result<Self> {
        Self::open_with(folder, device, &|_, _| {})
    }

    /// Load as [`Self::open`] does, calling `on_layer(done, total)` after each layer.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(
        folder: &Path,
        device: Device,
        on_layer: &dyn Fn(usize, usize),
    ) -> Result<Self> {
        if !folder.join("config.json").is_file() {
            return Err(Error::input(
                folder.display(),
                "the folder of a language model, with config.json",
                if folder.exists() { "no config.json" } else { "no such folder" },
                "fetch one with `screader fetch backbone`",
            ));
        }
        let chat = Chat::load(folder)?;
        let tokenizer = Tokenizer::load(folder)?;
        let mut model = on_device!(device, B, handle => {
            LanguageModel::load_on::<B>(folder, &handle, on_layer).map_err(Error::from)
        })?;
        if let Some(end) = chat.end() {
            model.add_end(end);
        }
        let rules = SchemaRules::new(&model, &tokenizer).map_err(|error| error.to_string());
        let name = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
        let name = name.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_else(|| "local".to_owned());
        Ok(Self { model, tokenizer, chat, rules, name, sha256: fingerprint(folder)? })
    }

    /// Give the name of the folder, which is the model's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ask as [`ChatModel::ask`] does, calling `on_text` with the answer piece by piece as it is written,
    /// thoughts included.
    ///
    /// # Errors
    /// As [`ChatModel::ask`].
    pub fn ask_aloud(
        &self,
        request: &ChatRequest,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<ChatAnswer> {
        refuse_web(request, "local")?;
        let mut notes = Vec::new();
        let mut constraint = self.constraint(request.schema.as_ref(), &mut notes);
        let contents = contents(request);
        let turns: Vec<ChatTurn> = (request.messages.iter().zip(&contents))
            .map(|(message, content)| ChatTurn { role: role(message.role), content })
            .collect();
        let prompt = self.chat.prompt(&turns)?;
        if !self.chat.has_template() {
            notes.push("the model has no chat template: asked in a plain form".to_owned());
        }
        if prompt.system_in_question {
            let note = "the model's template takes no rules: they stand before the question";
            notes.push(note.to_owned());
        }
        let mut stop = request.stop.clone();
        stop.extend(self.chat.stops().iter().map(|one| (*one).to_owned()));
        let settings = GenerateSettings {
            sampling: Sampling {
                temperature: request.temperature,
                top_k: None,
                top_p: request.top_p,
                seed: request.seed.unwrap_or(0),
            },
            max_tokens: request.max_tokens.map_or(ANSWER_TOKENS as usize, |most| most as usize),
            stop,
        };
        let told = self.model.generate(
            &self.tokenizer,
            &prompt.ids,
            &settings,
            constraint.as_mut().map(|one| one as &mut dyn Constraint),
            on_text,
        )?;
        match told.finish {
            Finish::MaxTokens => note_cut(&mut notes),
            Finish::FullContext => notes.push(format!(
                "the answer was cut: question and answer fill the model's context of {} tokens",
                self.model.config().max_position_embeddings
            )),
            Finish::EndOfText | Finish::Stop => {}
        }
        // Where a schema is kept to there is no room for thoughts, and what looks like one is a text of its own.
        let said = match &constraint {
            Some(_) if !told.text.is_empty() => Some(Said { text: told.text, reasoning: None }),
            _ => settle(&told.text, None, &mut notes),
        };
        let said = said.unwrap_or_else(|| {
            notes.push("the answer is empty".to_owned());
            Said { text: String::new(), reasoning: None }
        });
        Ok(ChatAnswer {
            text: said.text,
            reasoning: said.reasoning,
            model: self.name.clone(),
            usage: Usage {
                prompt_tokens: prompt.ids.len() as u64,
                completion_tokens: told.ids.len() as u64,
            },
            sources: Vec::new(),
            notes,
        })
    }

    /// What enforces a schema; where nothing can, a note.
    fn constraint(
        &self,
        schema: Option<&Value>,
        notes: &mut Vec<String>,
    ) -> Option<SchemaConstraint> {
        let schema = schema?;
        let rules = self.rules.as_ref().map_err(Clone::clone);
        let made = rules.and_then(|rules| rules.constraint(schema).map_err(|e| e.to_string()));
        match made {
            Ok(constraint) => Some(constraint),
            Err(reason) => {
                notes.push(format!("the schema was stated but is not enforced ({reason})"));
                None
            }
        }
    }
}

impl ChatModel for LocalModel {
    fn destination(&self) -> Option<&str> {
        None
    }

    fn identity(&self) -> String {
        format!("local sha256 {}", self.sha256)
    }

    fn ask(&self, request: &ChatRequest) -> Result<ChatAnswer> {
        self.ask_aloud(request, &mut |_| {})
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// What is said in each turn; the last question states the schema.
fn contents(request: &ChatRequest) -> Vec<String> {
    let mut contents: Vec<String> =
        request.messages.iter().map(|message| message.content.clone()).collect();
    let last = request.messages.iter().rposition(|message| message.role == Role::User);
    if let (Some(schema), Some(last)) = (&request.schema, last) {
        contents[last].push_str(&format!(
            "\n\nAnswer with one JSON object that follows this JSON schema, and nothing else:\n{schema}"
        ));
    }
    contents
}
