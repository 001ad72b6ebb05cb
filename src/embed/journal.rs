//! A file of finished vectors beside the table, so that a kill loses no text that was paid for.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::TextEmbedder;
use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"scrjrnl1";
/// Magic, embedder's hash, dimension.
const HEADER: usize = 8 + 32 + 4;
/// Hash of the text before a vector, and hash of both (cut) after it.
const KEY: usize = 32;
const CHECK: usize = 8;

/// The vectors finished so far, by sha256 of their text.
///
/// A record is the text's hash, the vector (f32, little endian) and a check of both; a record cut
/// short by a kill or a power failure is dropped.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    embedder: [u8; 32],
    dimension: Option<usize>,
    vectors: HashMap<[u8; KEY], Vec<f32>>,
}

impl Journal {
    /// Where the journal of a table lies: `table.safetensors.journal`.
    pub(super) fn beside(table: &Path) -> PathBuf {
        let mut name = table.as_os_str().to_owned();
        name.push(".journal");
        PathBuf::from(name)
    }

    /// Open or begin the journal at `path`, and keep other processes out of it.
    ///
    /// # Errors
    /// A journal of another model, one that another process writes, or one that cannot be opened.
    pub(super) fn open(path: &Path, embedder: &dyn TextEmbedder) -> Result<Self> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path).map_err(Error::io(path, "open"))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::input(
                path.display(),
                "a journal that no other process writes",
                "another `screader embed` at work",
                "let it finish, or choose another --out",
            ),
            TryLockError::Error(source) => Error::io(path, "lock")(source),
        })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(Error::io(path, "read"))?;
        let mut journal = Self {
            path: path.to_path_buf(),
            file,
            embedder: identity(embedder),
            dimension: None,
            vectors: HashMap::new(),
        };
        let whole = journal.replay(&bytes)?;
        journal.file.set_len(whole as u64).map_err(Error::io(path, "write"))?;
        journal.file.seek(SeekFrom::End(0)).map_err(Error::io(path, "read"))?;
        Ok(journal)
    }

    /// Take in what the file holds; the result is how many of its bytes are whole.
    fn replay(&mut self, bytes: &[u8]) -> Result<usize> {
        let Some((header, records)) = bytes.split_at_checked(HEADER) else {
            // A header cut short has no record behind it.
            return if MAGIC.starts_with(&bytes[..bytes.len().min(8)]) {
                Ok(0)
            } else {
                Err(self.refuse("another file"))
            };
        };
        if !header.starts_with(MAGIC) {
            return Err(self.refuse("another file"));
        }
        if header[8..40] != self.embedder {
            return Err(self.refuse("vectors of another model"));
        }
        let dimension = u32::from_le_bytes([header[40], header[41], header[42], header[43]]);
        let dimension = dimension as usize;
        self.dimension = Some(dimension);
        let mut whole = HEADER;
        for record in records.chunks_exact(KEY + 4 * dimension + CHECK) {
            let (content, check) = record.split_at(KEY + 4 * dimension);
            if Sha256::digest(content)[..CHECK] != *check {
                break;
            }
            let mut key = [0; KEY];
            key.copy_from_slice(&content[..KEY]);
            let values = content[KEY..].chunks_exact(4);
            let values =
                values.map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
            self.vectors.insert(key, values.collect());
            whole += record.len();
        }
        Ok(whole)
    }

    /// The vector of a text, if it is here.
    pub(super) fn get(&self, text: &str) -> Option<&Vec<f32>> {
        self.vectors.get::<[u8; KEY]>(&Sha256::digest(text.as_bytes()).into())
    }

    /// Append vectors of one length and wait until the disk has them.
    pub(super) fn append(&mut self, texts: &[String], vectors: &[Vec<f32>]) -> Result<()> {
        let Some(dimension) = vectors.first().map(Vec::len) else { return Ok(()) };
        let mut bytes = Vec::new();
        match self.dimension {
            None => {
                bytes.extend_from_slice(MAGIC);
                bytes.extend_from_slice(&self.embedder);
                bytes.extend_from_slice(&(dimension as u32).to_le_bytes());
                self.dimension = Some(dimension);
            }
            Some(own) if own == dimension => {}
            Some(own) => {
                return Err(Error::input(
                    self.path.display(),
                    format!("vectors of {own} numbers as before"),
                    format!("{dimension}"),
                    "remove the journal to begin anew",
                ));
            }
        }
        for (text, vector) in texts.iter().zip(vectors) {
            let start = bytes.len();
            bytes.extend_from_slice(&Sha256::digest(text.as_bytes()));
            bytes.extend(vector.iter().flat_map(|value| value.to_le_bytes()));
            let check = Sha256::digest(&bytes[start..]);
            bytes.extend_from_slice(&check[..CHECK]);
        }
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        written.map_err(Error::io(&self.path, "write"))
    }

    /// Remove the journal: its vectors are in the table now.
    pub(super) fn remove(self) -> Result<()> {
        std::fs::remove_file(&self.path).map_err(Error::io(&self.path, "remove"))
    }

    fn refuse(&self, found: &str) -> Error {
        Error::input(
            self.path.display(),
            "the journal of this provider, model and dimension",
            found,
            "remove it if its vectors are not needed, or choose another --out",
        )
    }
}

/// Hash what decides the vector of a text besides the text.
fn identity(embedder: &dyn TextEmbedder) -> [u8; 32] {
    let mut hash = Sha256::new();
    let dimension = embedder.requested_dimensions().map_or_else(String::new, |n| n.to_string());
    let weights = embedder.weights_sha256().unwrap_or_default();
    for part in [embedder.name(), embedder.model(), dimension.as_str(), weights] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().into()
}
