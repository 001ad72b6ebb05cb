//! Texts to vectors: MiniLM on this machine, or a service that speaks the OpenAI interface; and the
//! table of gene embeddings on disk.

mod build;
mod journal;
mod metadata;
mod minilm;
mod openai;
mod table;

use indicatif::ProgressBar;

use crate::{Error, Result};

pub use build::{BuiltTable, TableBuilder};
pub use metadata::{EmbeddingMetadata, MissingText};
pub use minilm::{MINILM_MODEL, MiniLm, find_minilm, minilm_folder};
pub use openai::{OPENAI_BASE_URL, OPENAI_MODEL, OpenAiCompatible, Price};
pub use table::{EmbeddingTable, text_sha256};

/// Something that turns texts into vectors.
pub trait TextEmbedder {
    /// The provider, as `--provider` has it.
    fn name(&self) -> &'static str;

    /// The model, as the provider names it.
    fn model(&self) -> &str;

    /// sha256 of the weights, where they are on this machine.
    fn weights_sha256(&self) -> Option<&str>;

    /// Length of a vector; `None` where only an answer will tell.
    fn dimensions(&self) -> Option<usize>;

    /// The length that the provider is asked for; `None` for the model's own.
    fn requested_dimensions(&self) -> Option<usize>;

    /// How many texts to hand over at once; after each such batch the vectors are kept safe.
    fn batch_size(&self) -> usize;

    /// Embed texts: one vector for each, in their order. `progress` advances by one for each text.
    ///
    /// # Errors
    /// Weights or answers that are not what the model should give, and a network that stays down.
    fn embed(&self, texts: &[String], progress: &ProgressBar) -> Result<Vec<Vec<f32>>>;
}

/// Check that there is one vector for each text, each finite and of the promised length.
fn check_vectors(embedder: &dyn TextEmbedder, texts: usize, vectors: &[Vec<f32>]) -> Result<()> {
    let refuse = |expected: String, found: String| {
        Error::input(
            format!("{} {}", embedder.name(), embedder.model()),
            expected,
            found,
            "check the model and --dimensions",
        )
    };
    if vectors.len() != texts {
        return Err(refuse(format!("{texts} vectors"), vectors.len().to_string()));
    }
    let length = embedder.dimensions().or(vectors.first().map(Vec::len)).unwrap_or(0);
    for vector in vectors {
        if vector.len() != length || length == 0 {
            return Err(refuse(format!("vectors of {length} numbers"), vector.len().to_string()));
        }
        if let Some(value) = vector.iter().find(|value| !value.is_finite()) {
            return Err(refuse("finite numbers".to_owned(), value.to_string()));
        }
    }
    Ok(())
}
