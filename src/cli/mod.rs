//! What can be typed: one verb, one file. Each file holds the verb's arguments and `run`.

mod ablate;
mod annotate;
mod bench;
mod cluster;
mod config;
mod convert;
mod doctor;
mod embed;
mod evaluate;
mod fetch;
mod genes;
mod infer;
mod report;
mod settings;
mod train;

use clap::{Parser, Subcommand};

use crate::Result;

/// Annotate single cells with gene descriptions and a frozen LLaMA.
#[derive(Debug, Parser)]
#[command(name = "screader", version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Train(train::TrainArgs),
    Infer(infer::InferArgs),
    Report(report::ReportArgs),
    Evaluate(evaluate::EvaluateArgs),
    Annotate(Box<annotate::AnnotateArgs>),
    Ablate(Box<ablate::AblateArgs>),
    Bench(Box<bench::BenchArgs>),
    Cluster(Box<cluster::ClusterArgs>),
    Embed(embed::EmbedArgs),
    Genes(genes::GenesArgs),
    Fetch(fetch::FetchArgs),
    Convert(convert::ConvertArgs),
    Config(config::ConfigArgs),
    Doctor(doctor::DoctorArgs),
}

impl Cli {
    /// Run the verb that was typed.
    pub fn run(self) -> Result<()> {
        match self.verb {
            Verb::Train(args) => args.run(),
            Verb::Infer(args) => args.run(),
            Verb::Report(args) => args.run(),
            Verb::Evaluate(args) => args.run(),
            Verb::Annotate(args) => args.run(),
            Verb::Ablate(args) => args.run(),
            Verb::Bench(args) => args.run(),
            Verb::Cluster(args) => args.run(),
            Verb::Embed(args) => args.run(),
            Verb::Genes(args) => args.run(),
            Verb::Fetch(args) => args.run(),
            Verb::Convert(args) => args.run(),
            Verb::Config(args) => args.run(),
            Verb::Doctor(args) => args.run(),
        }
    }
}
