//! `screader fetch`

use clap::Args;

use crate::Result;

/// Download gene records and backbones.
#[derive(Debug, Args)]
pub(super) struct FetchArgs {}

impl FetchArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        Ok(())
    }
}
