//! `screader embed`

use clap::Args;

use crate::Result;

/// Embed gene descriptions as vectors.
#[derive(Debug, Args)]
pub(super) struct EmbedArgs {}

impl EmbedArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        Ok(())
    }
}
