//! `screader genes`

mod build;
mod coverage;
mod name_list;

use clap::{Args, Subcommand};

use crate::Result;

/// Build and inspect gene description tables.
#[derive(Debug, Args)]
pub(super) struct GenesArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Build(Box<build::BuildArgs>),
    Coverage(coverage::CoverageArgs),
}

impl GenesArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        match self.verb {
            Verb::Build(args) => args.run(),
            Verb::Coverage(args) => args.run(),
        }
    }
}
