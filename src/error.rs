//! One error type for the whole toolkit: what was expected, what was found, where, and what to do.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// The result of every fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong, as one line a user can act on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input (a file, a column, a setting) is not what was asked for. Exit code 2.
    #[error("{place}: expected {expected}, found {found}; {remedy}")]
    Input {
        /// The path, key or flag at fault, as `file.h5ad: obs/cell_type`.
        place: String,
        /// What would have been accepted.
        expected: String,
        /// What is there instead.
        found: String,
        /// What the user can do about it.
        remedy: String,
    },
    /// The operating system refused a file or folder. Exit code 2 if it does not exist, else 1.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The verb that failed: `open`, `write`, `rename`.
        action: &'static str,
        /// The system's own word.
        source: std::io::Error,
    },
    /// A network request failed after its retries. Exit code 1.
    #[error("{url}: {reason}; {remedy}")]
    Network {
        /// The address, without keys or query.
        url: String,
        /// What happened.
        reason: String,
        /// What the user can do about it, offline included.
        remedy: String,
    },
    /// Training met a number that is not finite. Exit code 1.
    #[error(
        "step {step}: the {what} is not finite, nor was the step before (cells {cells}); lower train.learning_rate or look at these cells"
    )]
    NotFinite {
        /// The optimiser step, from 1.
        step: usize,
        /// `loss` or `gradient`.
        what: &'static str,
        /// Row numbers of the batch, abbreviated.
        cells: String,
    },
    /// A network or its weights could not be loaded; the line names the key. Exit code 2.
    #[error(transparent)]
    Model(#[from] screader_models::Error),
}

impl Error {
    /// Report input that is not what was asked for.
    pub fn input(
        place: impl Display,
        expected: impl Display,
        found: impl Display,
        remedy: impl Display,
    ) -> Self {
        Self::Input {
            place: place.to_string(),
            expected: expected.to_string(),
            found: found.to_string(),
            remedy: remedy.to_string(),
        }
    }

    /// Report a refusal of the operating system; meant for `map_err(Error::io(path, "open"))`.
    pub fn io(path: impl AsRef<Path>, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, action, source }
    }

    /// The exit code of the command: 2 for bad usage or input, 1 for everything else.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Input { .. } | Self::Model(_) => 2,
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => 2,
            Self::Io { .. } | Self::Network { .. } | Self::NotFinite { .. } => 1,
        }
    }
}
