//! `screader convert`: checkpoints of other programs as Hugging Face folders.

use std::path::PathBuf;

use clap::Args;
use screader_models::llama2c::convert_llama2c;

use crate::Result;

/// Convert a llama2.c checkpoint to a backbone folder.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  screader convert --weights stories260K.bin --tokenizer tok512.bin --out checkpoints/stories260K")]
pub(super) struct ConvertArgs {
    /// llama2.c weights, as stories260K.bin.
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// llama2.c tokenizer, as tok512.bin.
    #[arg(long, value_name = "FILE")]
    tokenizer: PathBuf,
    /// Folder to write, which must not exist.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl ConvertArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        convert_llama2c(&self.weights, &self.tokenizer, &self.out)?;
        println!("{}", self.out.display());
        Ok(())
    }
}
