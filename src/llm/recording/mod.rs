//! Answers kept in a file: to save money, to go on after a kill, and to reproduce a run offline.
//!
//! A recording is a file of JSON lines: a head, then a line for each question with its answer, as they
//! came. An answer is found by the sha256 of the whole question and of the model's
//! [identity](ChatModel::identity). Equal questions have their answers in the order of the file: the
//! second time a run asks the same, it gets the second answer. No key is in it, since none is part of
//! a question and providers strike theirs from what a server says.

mod difference;
mod file;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use sha2::{Digest, Sha256};

use self::difference::what_differs;
use self::file::{Entry, RecordingFile};
use super::{ChatAnswer, ChatModel, ChatRequest, Tool, ToolRound, Turn};
use crate::{Error, Result};

/// What is done with questions that the file answers, and with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Every question is asked and written down.
    Record,
    /// What the file answers is not asked again; the rest is asked and written down.
    Cache,
    /// Nothing is asked.
    Replay,
}

/// A file of questions and answers, shared by all models of a run.
#[derive(Debug)]
pub struct Recording {
    mode: Mode,
    name: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: Option<RecordingFile>,
    entries: Vec<Entry>,
    /// Entries of each key, in order, and how many of them were given out.
    by_key: HashMap<String, (Vec<usize>, usize)>,
}

impl Recording {
    /// Begin a recording: every question of the run is asked and written down with its answer.
    ///
    /// # Errors
    /// A file that is there already, or cannot be made.
    pub fn record(path: &Path) -> Result<Self> {
        Ok(Self::new(Mode::Record, path, Some(RecordingFile::create(path)?), Vec::new()))
    }

    /// Open a cache, or begin it: only what it does not answer is asked, and written down.
    ///
    /// # Errors
    /// Another file, one that another process writes, or one that cannot be opened.
    pub fn cache(path: &Path) -> Result<Self> {
        let (file, entries) = RecordingFile::open_or_create(path)?;
        Ok(Self::new(Mode::Cache, path, Some(file), entries))
    }

    /// Answer from a recording or a cache alone; nothing is asked.
    ///
    /// # Errors
    /// Another file, one that is damaged, or one that cannot be read.
    pub fn replay(path: &Path) -> Result<Self> {
        Ok(Self::new(Mode::Replay, path, None, file::read(path)?))
    }

    /// Put a model behind this recording.
    pub fn of<M: ChatModel>(&self, model: M) -> Recorded<'_, M> {
        Recorded { model, recording: self }
    }

    fn new(mode: Mode, path: &Path, file: Option<RecordingFile>, entries: Vec<Entry>) -> Self {
        let mut by_key: HashMap<String, (Vec<usize>, usize)> = HashMap::new();
        for (at, entry) in entries.iter().enumerate() {
            by_key.entry(entry.key()).or_default().0.push(at);
        }
        let state = Mutex::new(State { file, entries, by_key });
        Self { mode, name: path.display().to_string(), state }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next answer that the file has for a question.
    fn next(&self, key: &str) -> Option<ChatAnswer> {
        if self.mode == Mode::Record {
            return None;
        }
        let mut state = self.lock();
        let (at, given) = state.by_key.get_mut(key)?;
        let at = *at.get(*given)?;
        *given += 1;
        Some(state.entries[at].answer.clone())
    }

    fn write(
        &self,
        key: String,
        identity: String,
        request: &ChatRequest,
        answer: &ChatAnswer,
    ) -> Result<()> {
        let entry = Entry { identity, request: request.clone(), answer: answer.clone() };
        let mut state = self.lock();
        if let Some(file) = &mut state.file {
            file.append(&entry)?;
        }
        let at = state.entries.len();
        state.entries.push(entry);
        let (all, given) = state.by_key.entry(key).or_default();
        all.push(at);
        // It was given to whoever asked.
        *given = all.len();
        Ok(())
    }

    /// Say why a replay has no answer.
    fn unknown(&self, key: &str, identity: &str, request: &ChatRequest) -> Error {
        let state = self.lock();
        let (expected, found) = match state.by_key.get(key) {
            Some((recorded, _)) => (
                format!("a question asked {} times, as recorded", recorded.len()),
                "it asked once more".to_owned(),
            ),
            None => (
                "a question that was recorded".to_owned(),
                what_differs(&state.entries, identity, request),
            ),
        };
        Error::input(
            &self.name,
            expected,
            found,
            "use the options of the recorded run, or record anew",
        )
    }
}

/// A model whose answers are kept, or given back.
pub struct Recorded<'a, M> {
    model: M,
    recording: &'a Recording,
}

impl<M: ChatModel> ChatModel for Recorded<'_, M> {
    fn destination(&self) -> Option<&str> {
        self.model.destination()
    }

    fn destinations(&self) -> Vec<String> {
        self.model.destinations()
    }

    fn identity(&self) -> String {
        self.model.identity()
    }

    fn ask(&self, request: &ChatRequest) -> Result<ChatAnswer> {
        let identity = self.model.identity();
        let key = key(&identity, request);
        if let Some(answer) = self.recording.next(&key) {
            return Ok(answer);
        }
        if self.recording.mode == Mode::Replay {
            return Err(self.recording.unknown(&key, &identity, request));
        }
        let answer = self.model.ask(request)?;
        self.recording.write(key, identity, request, &answer)?;
        Ok(answer)
    }

    /// Refuse: turns with tools are not recorded. Search belongs inside a recording, which then keeps
    /// what came of all its turns.
    fn turn(&self, _: &ChatRequest, _: &[Tool], _: &[ToolRound]) -> Result<Option<Turn>> {
        Err(Error::input(
            &self.recording.name,
            "whole questions",
            "a turn with tools",
            "search inside",
        ))
    }
}

/// The sha256, in hexadecimal, by which an answer is found.
fn key(identity: &str, request: &ChatRequest) -> String {
    let mut hash = Sha256::new();
    hash.update((identity.len() as u64).to_le_bytes());
    hash.update(identity.as_bytes());
    hash.update(canonical(request).as_bytes());
    format!("{:x}", hash.finalize())
}

/// A question as one text, the same for equal questions.
pub(super) fn canonical(request: &impl Serialize) -> String {
    // To a value first: its maps are sorted, whatever order the schema was written in. What cannot be
    // JSON (no number that is not finite passes the command line) becomes null.
    serde_json::to_value(request).unwrap_or_default().to_string()
}
