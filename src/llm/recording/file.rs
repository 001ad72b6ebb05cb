//! The file of a recording: JSON lines.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::llm::{ChatAnswer, ChatRequest};
use crate::{Error, Result};

/// The first line, with its end.
const HEAD: &str = "{\"screader_recording\":1}\n";

/// A question and its answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The model's identity.
    pub(super) identity: String,
    /// What was asked.
    pub(super) request: ChatRequest,
    /// What came back.
    pub(super) answer: ChatAnswer,
}

impl Entry {
    /// The sha256 that it is found by.
    pub(super) fn key(&self) -> String {
        super::key(&self.identity, &self.request)
    }
}

/// A recording that is written to.
#[derive(Debug)]
pub(super) struct RecordingFile {
    path: PathBuf,
    file: File,
}

impl RecordingFile {
    /// Begin a recording at a path where there is none.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let file = file.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Error::input(
                path.display(),
                "a new recording",
                "a file that is there",
                "choose another name; --replay reproduces the run",
            ),
            _ => Error::io(path, "create")(error),
        })?;
        let mut this = Self { path: path.to_path_buf(), file };
        this.keep_others_out()?;
        this.write(HEAD)?;
        Ok(this)
    }

    /// Open a recording to go on with it, or begin it. A last line cut short by a kill is dropped.
    pub(super) fn open_or_create(path: &Path) -> Result<(Self, Vec<Entry>)> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(Error::io(path, "open"))?;
        let mut this = Self { path: path.to_path_buf(), file };
        this.keep_others_out()?;
        let mut text = String::new();
        this.file.read_to_string(&mut text).map_err(Error::io(path, "read"))?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let cut = &text[whole..];
        if whole == 0 && HEAD.starts_with(cut) {
            this.file.set_len(0).map_err(Error::io(path, "write"))?;
            this.file.rewind().map_err(Error::io(path, "write"))?;
            this.write(HEAD)?;
            return Ok((this, Vec::new()));
        }
        let entries = parse(path, &text[..whole])?;
        this.file.set_len(whole as u64).map_err(Error::io(path, "write"))?;
        this.file.seek(SeekFrom::End(0)).map_err(Error::io(path, "read"))?;
        Ok((this, entries))
    }

    /// Append a question with its answer, and wait until the disk has it.
    pub(super) fn append(&mut self, entry: &Entry) -> Result<()> {
        let line = serde_json::to_string(entry);
        let line = line.map_err(|error| Error::io(&self.path, "write")(error.into()))?;
        self.write(&format!("{line}\n"))
    }

    fn write(&mut self, text: &str) -> Result<()> {
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(Error::io(&self.path, "write"))
    }

    fn keep_others_out(&self) -> Result<()> {
        self.file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::input(
                self.path.display(),
                "a recording that no other process writes",
                "another screader at work",
                "let it finish, or choose another file",
            ),
            TryLockError::Error(source) => Error::io(&self.path, "lock")(source),
        })
    }
}

/// Read a recording whole.
pub(super) fn read(path: &Path) -> Result<Vec<Entry>> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path, "read"))?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Entry>> {
    let Some(lines) = text.strip_prefix(HEAD) else {
        let found = "another file";
        return Err(Error::input(path.display(), "a recording of screader", found, "name another"));
    };
    let entry = |(at, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| {
            let place = format!("{}: line {}", path.display(), at + 2);
            Error::input(place, "a question and its answer", error, "remove the line")
        })
    };
    lines.lines().enumerate().map(entry).collect()
}
