//! `screader doctor`

use clap::Args;

use crate::Result;

/// Show devices, memory and which backbone fits.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {}

impl DoctorArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        Ok(())
    }
}
