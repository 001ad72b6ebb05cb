//! Errors of loading and running networks.

use std::path::PathBuf;

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
