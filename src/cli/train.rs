//! `screader train`

use clap::Args;

use crate::Result;

/// Train an annotator on labelled cells.
#[derive(Debug, Args)]
pub(super) struct TrainArgs {}

impl TrainArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        Ok(())
    }
}
