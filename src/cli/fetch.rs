//! `screader fetch`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::embed::MinilmArgs;
use crate::Result;
use crate::embed::minilm_folder;
use crate::fetch::{
    CELL_ONTOLOGY, Downloader, HubAddress, HubModel, NCBI_GENE_DATA, NamedFile, PANGLAODB_MARKERS,
    fetch_backbone, fetch_gene_files, fetch_model, known_backbones,
};
use crate::genes::Species;

/// Download gene records, backbones, MiniLM, the Cell Ontology and marker tables.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  screader fetch genes --species mouse --out ncbi
  screader fetch backbone smollm2-135m
  screader fetch ontology --out tables
  screader fetch markers --out tables")]
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
    /// The Cell Ontology (cl-basic.obo, CC BY 4.0), for --ontology.
    Ontology(FileArgs),
    /// PanglaoDB's markers of cell types of mouse and human, for --marker-table.
    Markers(FileArgs),
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

#[derive(Debug, Args)]
struct FileArgs {
    /// The folder to download into.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A mirror's address of the file.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Download again what is there already.
    #[arg(long)]
    update: bool,
}

impl FetchArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        match self.what {
            What::Genes(args) => args.run(),
            What::Backbone(args) => args.run(),
            What::Minilm(args) => args.run(),
            What::Ontology(args) => args.run(&CELL_ONTOLOGY),
            What::Markers(args) => args.run(&PANGLAODB_MARKERS),
        }
    }
}

impl FileArgs {
    fn run(self, file: &NamedFile) -> Result<()> {
        let url = self.url.as_deref().unwrap_or(file.url);
        let path = file.fetch(&Downloader::new()?, url, &self.out, self.update)?;
        println!("{}", path.display());
        Ok(())
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
