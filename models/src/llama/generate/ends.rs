//! Which tokens end a text.

use std::path::Path;

use serde_json::Value;

use crate::{Error, Result};

/// Give the ids that end a text: `eos_token_id` of `generation_config.json`, else of `config.json`; one, a
/// list, or none.
///
/// # Errors
/// A file that is not JSON, or a value that is no id under `vocab_size`.
pub(super) fn end_ids(folder: &Path, vocab_size: usize) -> Result<Vec<u32>> {
    for name in ["generation_config.json", "config.json"] {
        let path = folder.join(name);
        if !path.is_file() {
            continue;
        }
        let text = std::fs::read(&path).map_err(Error::io(&path))?;
        let settings: Value = serde_json::from_slice(&text)
            .map_err(|error| Error::checkpoint(&path, "(whole file)", "JSON", error))?;
        let ids = match &settings["eos_token_id"] {
            Value::Null => continue,
            Value::Array(ids) => ids.as_slice(),
            one => std::slice::from_ref(one),
        };
        let id = |value: &Value| {
            let id = value.as_u64().filter(|&id| id < vocab_size as u64);
            let expected = || format!("ids under vocab_size = {vocab_size}");
            id.map(|id| id as u32)
                .ok_or_else(|| Error::checkpoint(&path, "eos_token_id", expected(), value))
        };
        return ids.iter().map(id).collect();
    }
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(files: &[(&str, &str)]) -> Result<Vec<u32>> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        end_ids(folder.path(), 48)
    }

    #[test]
    fn an_id_a_list_or_nothing() {
        let config = ("config.json", r#"{"eos_token_id": 2}"#);
        assert_eq!(ends(&[config]).unwrap(), [2]);
        let list = ("generation_config.json", r#"{"eos_token_id": [7, 9]}"#);
        assert_eq!(ends(&[config, list]).unwrap(), [7, 9]);
        // A generation file that is silent leaves the word to the other.
        assert_eq!(ends(&[config, ("generation_config.json", "{}")]).unwrap(), [2]);
        assert!(ends(&[("config.json", r#"{"eos_token_id": null}"#)]).unwrap().is_empty());
        assert!(ends(&[]).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_id_is_named() {
        for bad in ["48", "-1", "\"</s>\"", "[2, 480]"] {
            let text = format!("{{\"eos_token_id\": {bad}}}");
            let line = ends(&[("config.json", &text)]).unwrap_err().to_string();
            assert!(line.contains("eos_token_id") && line.contains("vocab_size = 48"), "{line}");
        }
        assert!(ends(&[("generation_config.json", "{")]).unwrap_err().to_string().contains("JSON"));
    }
}
