//! `screader genes`

use clap::Args;

use crate::Result;

/// Build and inspect gene description tables.
#[derive(Debug, Args)]
pub(super) struct GenesArgs {}

impl GenesArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        Ok(())
    }
}
