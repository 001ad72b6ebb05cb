//! Token embeddings, read row by row from the mapped checkpoint: an instruction needs few of them.

use std::path::PathBuf;

use super::checkpoint::Checkpoint;
use super::config::LlamaConfig;
use super::random::RandomWeights;
use super::weights::Source;
use crate::{Error, Result};

/// The table of token embeddings.
pub(crate) enum TokenEmbeddings {
    /// Rows of a mapped file.
    Mapped { checkpoint: Checkpoint, name: String, folder: PathBuf },
    /// Rows drawn on demand: row `id` is the stream of `seed + id`, so that none needs be kept.
    Seeded(u64),
}

impl TokenEmbeddings {
    pub(crate) fn of(source: Source, folder: PathBuf, seed: u64) -> Self {
        match source {
            Source::Folder { checkpoint, prefix } => {
                Self::Mapped { checkpoint, name: format!("{prefix}embed_tokens.weight"), folder }
            }
            Source::Seed(_) | Source::Device => Self::Seeded(seed),
        }
    }

    /// Give the rows of `ids`, row-major `[tokens, hidden_size]`.
    pub(crate) fn rows(&self, ids: &[u32], config: &LlamaConfig) -> Result<Vec<f32>> {
        let shape = [config.vocab_size, config.hidden_size];
        let mut rows = Vec::with_capacity(ids.len() * config.hidden_size);
        for &id in ids {
            if id as usize >= config.vocab_size {
                let place = match self {
                    Self::Mapped { folder, .. } => folder.clone(),
                    Self::Seeded(_) => PathBuf::from("(random LLaMA)"),
                };
                let expected = format!("an id under vocab_size = {}", config.vocab_size);
                return Err(Error::checkpoint(place, "token id", expected, id));
            }
            match self {
                Self::Mapped { checkpoint, name, .. } => {
                    rows.extend(checkpoint.read_row(name, shape, id as usize)?);
                }
                Self::Seeded(seed) => {
                    // Apart from the decoder's stream, which starts at the seed itself.
                    let mut random = RandomWeights::new((!seed).wrapping_sub(u64::from(id)));
                    let deviation = 1.0 / (config.hidden_size as f32).sqrt();
                    rows.extend(random.draw(config.hidden_size, deviation));
                }
            }
        }
        Ok(rows)
    }
}
