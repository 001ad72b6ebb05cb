//! What the files beside a tokenizer say of conversations.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::{Error, Result};

/// A template with the file it is from, and special tokens by name, as `bos_token`.
pub(super) struct ChatFiles {
    pub(super) template: Option<(PathBuf, String)>,
    pub(super) named: BTreeMap<String, String>,
}

impl ChatFiles {
    /// Read them from a folder; none of the files need be there.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("tokenizer_config.json");
        let settings = object(&path)?;
        let mut named = named_tokens(&object(&folder.join("special_tokens_map.json"))?);
        named.extend(named_tokens(&settings));
        let file = folder.join("chat_template.jinja");
        let template = if file.is_file() {
            let text = std::fs::read_to_string(&file).map_err(Error::io(&file))?;
            Some((file, text))
        } else {
            let text = settings.get("chat_template").filter(|value| !value.is_null());
            text.map(|value| default_template(value, &path)).transpose()?.map(|text| (path, text))
        };
        Ok(Self { template, named })
    }
}

fn object(path: &Path) -> Result<Map<String, Value>> {
    if !path.is_file() {
        return Ok(Map::new());
    }
    let text = std::fs::read(path).map_err(Error::io(path))?;
    serde_json::from_slice(&text)
        .map_err(|error| Error::checkpoint(path, "(whole file)", "a JSON object", error))
}

/// Special tokens are strings, or objects that hold one as `content`.
fn named_tokens(settings: &Map<String, Value>) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().or(value["content"].as_str()).map(str::to_owned);
    (settings.iter().filter(|(key, _)| key.ends_with("_token")))
        .filter_map(|(key, value)| Some((key.clone(), text(value)?)))
        .collect()
}

/// One template, or the one named `default` of several.
fn default_template(value: &Value, path: &Path) -> Result<String> {
    let refuse = |found: String| {
        let expected = "a template, or a list of named ones with a `default`";
        Err(Error::checkpoint(path, "chat_template", expected, found))
    };
    let list = match value {
        Value::String(text) => return Ok(text.clone()),
        Value::Array(list) => list,
        _ => return refuse("something else".into()),
    };
    let named: Vec<(&str, &str)> = (list.iter())
        .filter_map(|one| Some((one["name"].as_str()?, one["template"].as_str()?)))
        .collect();
    match named.as_slice() {
        [(_, text)] => Ok((*text).to_owned()),
        _ => match named.iter().find(|(name, _)| *name == "default") {
            Some((_, text)) => Ok((*text).to_owned()),
            None => {
                let names: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
                refuse(format!("a list of {names:?}"))
            }
        },
    }
}
