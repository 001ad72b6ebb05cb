//! Chat templates in Jinja, as transformers renders them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Local};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{AutoEscape, Environment, Error as JinjaError, ErrorKind};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::NeutralTurn;
use crate::{Error, Result};

const NAME: &str = "chat_template";

/// Steps after which a template is given up: it comes with a model, and may never end.
const FUEL: u64 = 2_000_000;

/// A parsed template.
pub(super) struct Template {
    environment: Environment<'static>,
    path: PathBuf,
}

impl Template {
    /// Parse the text of a template; `path` is named in errors.
    pub(super) fn parse(path: &Path, text: String) -> Result<Self> {
        let mut environment = Environment::new();
        // White space around blocks as transformers sets it.
        let mut syntax = SyntaxConfig::builder();
        syntax.trim_blocks(true).lstrip_blocks(true);
        let syntax = syntax.build().map_err(|error| refuse(path, &error))?;
        environment.set_syntax(syntax);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.set_fuel(Some(FUEL));
        environment.add_filter("tojson", to_json);
        environment.add_function("raise_exception", raise);
        environment
            .add_template_owned(NAME, without_generation_blocks(&text))
            .map_err(|error| refuse(path, &error))?;
        let template = Self { environment, path: path.to_path_buf() };
        Ok(template.at(Local::now()))
    }

    /// Give `strftime_now` this time.
    pub(super) fn at(mut self, now: DateTime<Local>) -> Self {
        self.environment.add_function("strftime_now", move |format: String| {
            if StrftimeItems::new(&format).any(|item| matches!(item, Item::Error)) {
                let detail = format!("strftime_now: no such format: {format:?}");
                return Err(JinjaError::new(ErrorKind::InvalidOperation, detail));
            }
            Ok(now.format(&format).to_string())
        });
        self
    }

    /// Write a conversation whose next turn is the model's; `named` are special tokens.
    pub(super) fn render(
        &self,
        turns: &[NeutralTurn],
        named: &BTreeMap<String, String>,
    ) -> Result<String> {
        let mut context: BTreeMap<&str, Value> = named
            .iter()
            .map(|(name, token)| (name.as_str(), Value::from(token.as_str())))
            .collect();
        let message = |turn: &NeutralTurn| {
            Value::from_pairs([("role", turn.role), ("content", turn.content.as_str())])
        };
        context.insert("messages", turns.iter().map(message).collect());
        context.insert("add_generation_prompt", Value::from(true));
        // Templates ask whether these are none.
        context.insert("tools", Value::from(()));
        context.insert("documents", Value::from(()));
        (self.environment.get_template(NAME).and_then(|template| template.render(context)))
            .map_err(|error| refuse(&self.path, &error))
    }
}

/// Say what is wrong with a template in one line.
fn refuse(path: &Path, error: &JinjaError) -> Error {
    let mut found = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    if let Some(line) = error.line() {
        found.push_str(&format!(" (line {line})"));
    }
    let found = found.split_whitespace().collect::<Vec<_>>().join(" ");
    Error::checkpoint(path, NAME, "a template that takes this conversation", found)
}

fn raise(message: String) -> std::result::Result<Value, JinjaError> {
    Err(JinjaError::new(ErrorKind::InvalidOperation, message))
}

/// `{% generation %}` marks what a trainer counts; it shows as nothing, white space control included.
fn without_generation_blocks(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{%") {
        plain.push_str(before);
        plain.push_str("{%");
        let Some((tag, end)) = after.split_once("%}") else {
            rest = after;
            break;
        };
        match tag.trim_matches(|one: char| one.is_whitespace() || "+-".contains(one)) {
            "generation" => plain.push_str(&tag.replace("generation", "if true")),
            "endgeneration" => plain.push_str(&tag.replace("endgeneration", "endif")),
            _ => plain.push_str(tag),
        }
        plain.push_str("%}");
        rest = end;
    }
    plain + rest
}

/// JSON as Python's `json.dumps` writes it, which is what models were trained on: a space after commas and
/// colons, and no escapes for HTML.
fn to_json(value: Value, options: Kwargs) -> std::result::Result<String, JinjaError> {
    let indent: Option<usize> = options.get("indent")?;
    // What is not ASCII stays as it is here, which is transformers' own default too.
    let _: Option<Value> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    let spaces = vec![b' '; indent.unwrap_or(0).min(16)];
    let written = match indent {
        Some(_) => write_json(&value, PrettyFormatter::with_indent(&spaces)),
        None => write_json(&value, Spaced),
    };
    written.map_err(|error| JinjaError::new(ErrorKind::BadSerialization, error.to_string()))
}

fn write_json<F: Formatter>(value: &Value, formatter: F) -> serde_json::Result<String> {
    let mut bytes = Vec::new();
    serde::Serialize::serialize(value, &mut Serializer::with_formatter(&mut bytes, formatter))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: std::io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: std::io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: std::io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
    ) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}
