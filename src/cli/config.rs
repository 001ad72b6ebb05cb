//! `screader config`: every setting with its default and meaning.

use clap::Args;

use crate::Result;
use crate::config::DEFAULTS;

/// Print every setting with its default and meaning, as TOML.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  screader config > my.toml
  screader train --config my.toml --data cells.h5ad --label cell_type …")]
pub(super) struct ConfigArgs {}

impl ConfigArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        print!("{DEFAULTS}");
        Ok(())
    }
}
