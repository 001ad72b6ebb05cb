//! `screader config`

use clap::Args;

use crate::Result;

/// Print every setting with its default and meaning.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {}

impl ConfigArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        Ok(())
    }
}
