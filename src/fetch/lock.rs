//! What was fetched before: revision, size and hash of every file of a model.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::whole_file::{begin, put};
use crate::{Error, Result};

/// `lock.toml`: models by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// What was fetched, by the name of the model.
    #[serde(default)]
    pub model: BTreeMap<String, LockedModel>,
}

/// One model as it was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedModel {
    /// Owner and name on the hub.
    pub repo: String,
    /// The commit on the hub.
    pub revision: String,
    /// Its files by name.
    pub files: BTreeMap<String, LockedFile>,
}

/// One file as it was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedFile {
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

impl Lock {
    /// Read a lock; there is none before the first fetch.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Input`] if it is no lock.
    pub fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = std::fs::read_to_string(path).map_err(Error::io(path, "read"))?;
        toml::from_str(&text).map_err(|error| {
            let remedy = "restore it, or remove it to trust anew";
            Error::input(path.display(), "a lock of screader fetch", error.message(), remedy)
        })
    }

    /// Write the lock, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = toml::to_string(self).map_err(|error| {
            Error::input(path.display(), "a lock as TOML", error, "report this")
        })?;
        let mut file = begin(path)?;
        let head = "# What `screader fetch` got; later fetches are held to it.\n\n";
        file.write_all(head.as_bytes()).map_err(Error::io(path, "write"))?;
        file.write_all(text.as_bytes()).map_err(Error::io(path, "write"))?;
        put(file, path)
    }
}
