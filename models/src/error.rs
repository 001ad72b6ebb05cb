//! Errors of loading and running networks.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// The result of every fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A checkpoint that cannot be used, as one line that names the file and the key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of a checkpoint folder cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's own word.
        source: std::io::Error,
    },
    /// A checkpoint holds something else than its architecture asks for.
    #[error("{}: {key}: expected {expected}, found {found}", path.display())]
    Checkpoint {
        /// The file or folder.
        path: PathBuf,
        /// The tensor or the setting at fault.
        key: String,
        /// What would have been accepted.
        expected: String,
        /// What is there instead.
        found: String,
    },
}

impl Error {
    /// Report a checkpoint that holds something else than its architecture asks for.
    pub fn checkpoint(
        path: impl AsRef<Path>,
        key: impl Display,
        expected: impl Display,
        found: impl Display,
    ) -> Self {
        Self::Checkpoint {
            path: path.as_ref().to_path_buf(),
            key: key.to_string(),
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }

    /// Report a refusal of the operating system; meant for `map_err(Error::io(path))`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, source }
    }
}
