//! Texts to vectors: MiniLM on this machine, or a service that speaks the OpenAI interface; and the
//! table of gene embeddings on disk.

mod metadata;
mod minilm;
mod table;

use indicatif::ProgressBar;

use crate::Result;

pub use metadata::{EmbeddingMetadata, MissingText};
pub use minilm::{MINILM_MODEL, MiniLm, find_minilm};
pub use table::{EmbeddingTable, text_sha256};

/// Something that turns texts into vectors.
pub trait TextEmbedder {
    /// The provider, as `--provider` has it.
    fn name(&self) -> &'static str;

    /// The model, as the provider names it.
    fn model(&self) -> &str;

    /// sha256 of the weights, where they are on this machine.
    fn weights_sha256(&self) -> Option<&str>;

    /// Length of a vector; `None` until the provider has answered once.
    fn dimensions(&self) -> Option<usize>;

    /// How many texts to hand over at once; after each such batch the vectors are kept safe.
    fn batch_size(&self) -> usize;

    /// Embed texts: one vector for each, in their order. `progress` advances by one for each text.
    ///
    /// # Errors
    /// Weights or answers that are not what the model should give, and a network that stays down.
    fn embed(&self, texts: &[String], progress: &ProgressBar) -> Result<Vec<Vec<f32>>>;
}
