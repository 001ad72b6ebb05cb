//! The tokenizer of a backbone, from its `tokenizer.json`.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// A tokenizer of the Hugging Face format.
pub struct Tokenizer {
    tokenizer: tokenizers::Tokenizer,
    path: PathBuf,
}

impl Tokenizer {
    /// Load `tokenizer.json` of a checkpoint folder.
    ///
    /// Truncation and padding that the file asks for are switched off: callers pad batches themselves.
    ///
    /// # Errors
    /// A file that is missing or is not a tokenizer.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
        let mut tokenizer = tokenizers::Tokenizer::from_bytes(&bytes)
            .map_err(|error| Error::checkpoint(&path, "(whole file)", "a tokenizer", error))?;
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|error| Error::checkpoint(&path, "truncation", "none", error))?;
        Ok(Self { tokenizer, path })
    }

    /// Turn text into token ids, with the tokens that open and close a text if asked.
    ///
    /// # Errors
    /// Text that the tokenizer cannot take.
    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>> {
        self.tokenizer
            .encode(text, add_special_tokens)
            .map(|encoding| encoding.get_ids().to_vec())
            .map_err(|error| Error::checkpoint(&self.path, "(text)", "text to encode", error))
    }

    /// Turn token ids into text, without the special ones.
    ///
    /// # Errors
    /// Ids that the tokenizer cannot decode.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.tokenizer
            .decode(ids, true)
            .map_err(|error| Error::checkpoint(&self.path, "(ids)", "ids to decode", error))
    }

    pub(crate) fn inner(&self) -> &tokenizers::Tokenizer {
        &self.tokenizer
    }

    pub(crate) fn refuse(&self, key: &str, expected: &str, found: &str) -> Error {
        Error::checkpoint(&self.path, key, expected, found)
    }

    /// Count the tokens of the vocabulary, added ones included.
    pub fn vocab_size(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }
}
