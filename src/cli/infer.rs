//! `screader infer`

use clap::Args;

use crate::Result;

/// Annotate cells with a trained checkpoint.
#[derive(Debug, Args)]
pub(super) struct InferArgs {}

impl InferArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        Ok(())
    }
}
