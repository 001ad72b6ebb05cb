//! `screader fetch`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::embed::MinilmArgs;
use crate::Result;
use crate::embed::minilm_folder;
use crate::fetch::{
    Downloader, HubAddress, HubModel, NCBI_GENE_DATA, fetch_backbone, fetch_gene_files,
    fetch_model, known_backbones,
};
use crate::genes::Species;

/// Download gene records, backbones and MiniLM.
#[derive(Debug, Args)]
pub(super) struct FetchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// NCBI's gene_info, gene_summary and gene_history of a species.
    Genes(GenesArgs),
    /// A backbone by its known name or as owner/name on the Hugging Face hub; without a name the
    /// known ones are listed. HF_TOKEN opens gated ones, HF_ENDPOINT names a mirror.
    Backbone(BackboneArgs),
    /// all-MiniLM-L6-v2 (90 MB, Apache-2.0) from the Hugging Face hub, to where `screader embed` looks
    /// for it. HF_ENDPOINT names a mirror.
    Minilm(FetchMinilmArgs),
}

#[derive(Debug, Args)]
struct GenesArgs {
    /// The species.
    #[arg(long, value_enum)]
    species: Species,
    /// The folder to download into.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A mirror of NCBI's gene/DATA folder.
    #[arg(long, value_name = "URL", default_value = NCBI_GENE_DATA)]
    mirror: String,
    /// Download again what is there already.
    #[arg(long)]
    update: bool,
}

#[derive(Debug, Args)]
struct BackboneArgs {
    /// Name of the backbone.
    name: Option<String>,
    /// The folder that holds a folder for each backbone, and the lock.
    #[arg(long, value_name = "DIR", default_value = "checkpoints")]
    out: PathBuf,
    /// Take the newest revision, whatever the lock says.
    #[arg(long)]
    update: bool,
}

#[derive(Debug, Args)]
struct FetchMinilmArgs {
    /// Take the newest revision, whatever the lock says; the weights stay the same.
    #[arg(long)]
    update: bool,
    #[command(flatten)]
    minilm: MinilmArgs,
}

impl FetchArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        match self.what {
            What::Genes(args) => args.run(),
            What::Backbone(args) => args.run(),
            What::Minilm(args) => args.run(),
        }
    }
}

impl GenesArgs {
    fn run(self) -> Result<()> {
        let downloader = Downloader::new()?;
        let paths =
            fetch_gene_files(&downloader, &self.mirror, self.species, &self.out, self.update)?;
        for path in paths {
            println!("{}", path.display());
        }
        Ok(())
    }
}

impl BackboneArgs {
    fn run(self) -> Result<()> {
        let Some(name) = self.name else {
            for one in known_backbones()? {
                let gate = if one.gated { ", gated" } else { "" };
                let gigabytes = one.bytes as f64 / 1e9;
                let (name, width) = (one.name.as_str(), one.hidden_size);
                println!("{name:<15} hidden {width:>4} {gigabytes:>5.1} GB  {}{gate}", one.licence);
            }
            return Ok(());
        };
        let hub = HubAddress::from_environment();
        let fetched = fetch_backbone(&Downloader::new()?, &hub, &name, &self.out, self.update)?;
        println!("{}", fetched.folder.display());
        Ok(())
    }
}

impl FetchMinilmArgs {
    fn run(self) -> Result<()> {
        let model = HubModel::minilm(&minilm_folder(self.minilm.model_dir.as_deref())?);
        let hub = HubAddress::from_environment();
        let fetched = fetch_model(&Downloader::new()?, &hub, &model, self.update)?;
        println!("{}", fetched.folder.display());
        Ok(())
    }
}
