//! `screader infer`: a trained annotator and unlabelled cells in, annotated cells out.

use std::path::PathBuf;

use burn::tensor::backend::Backend;
use clap::Args;
use screader_models::llama::Precision;

use super::settings::MachineArgs;
use crate::device::on_device;
use crate::infer::annotate::{Options, Outputs, Summary, annotate};
use crate::infer::{Format, Places, TrainedAnnotator};
use crate::{Error, Result};

/// Annotate cells with a trained checkpoint.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  screader infer --checkpoint screader-runs/islets --data query.h5ad --out annotated.h5ad
  screader infer --checkpoint screader-runs/islets --data query.h5ad --predictions labels.csv
  screader infer --checkpoint screader-runs/islets --data human.h5ad --orthologs homologs.tsv --out human.annotated.h5ad")]
pub(super) struct InferArgs {
    /// Run folder of `screader train`, or one of its checkpoints.
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    /// Cells to annotate: h5ad, 10x HDF5 or folder, loom, csv.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Annotated copy of the input, as h5ad.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Table of predictions: .csv, .tsv, .json, .jsonl or .parquet; may be repeated.
    #[arg(long, value_name = "FILE")]
    predictions: Vec<PathBuf>,
    /// Matrix to read: X, raw/X or the name of a layer; without it screader chooses and says.
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    /// The cells are of the other species (human or mouse): find their genes through this table.
    #[arg(long, value_name = "FILE")]
    orthologs: Option<PathBuf>,
    /// Gene embedding table, if it is no longer in the run folder.
    #[arg(long, value_name = "FILE")]
    genes: Option<PathBuf>,
    /// Backbone folder, if it is no longer where training found it.
    #[arg(long, value_name = "DIR")]
    backbone: Option<PathBuf>,
    /// Type that the backbone multiplies in, if this device has not that of training: auto, f32, bf16, f16.
    #[arg(long, value_parser = precision)]
    precision: Option<Precision>,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    machine: MachineArgs,
}

/// Parse a precision by its name in the settings.
fn precision(text: &str) -> std::result::Result<Precision, String> {
    let known = [Precision::Auto, Precision::F32, Precision::Bf16, Precision::F16];
    let found = known.into_iter().find(|precision| precision.to_string() == text);
    found.ok_or_else(|| "expected auto, f32, bf16 or f16".to_owned())
}

impl InferArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        if self.out.is_none() && self.predictions.is_empty() {
            return Err(Error::input(
                "infer",
                "something to write: --out FILE.h5ad or --predictions FILE.csv",
                "neither",
                "name one",
            ));
        }
        for path in &self.predictions {
            Format::of(path)?;
        }
        let device = self.machine.device()?;
        let summary = on_device!(device, B, device => self.annotate::<B>(&device))?;
        self.report(&summary);
        Ok(())
    }

    fn annotate<B: Backend>(&self, device: &B::Device) -> Result<Summary> {
        let places = Places {
            genes: self.genes.clone(),
            backbone: self.backbone.clone(),
            precision: self.precision,
        };
        let annotator = TrainedAnnotator::<B>::open(&self.checkpoint, &places, device)?;
        let outputs = Outputs { h5ad: self.out.clone(), tables: self.predictions.clone() };
        let options = Options { layer: self.layer.clone(), orthologs: self.orthologs.clone() };
        annotate(&annotator, &self.data, &outputs, &options)
    }

    fn report(&self, summary: &Summary) {
        if self.json {
            let labels: serde_json::Map<String, serde_json::Value> = summary
                .labels
                .iter()
                .map(|(name, cells)| (name.clone(), (*cells).into()))
                .collect();
            let matrix = format!("{} ({})", summary.matrix.0, summary.matrix.1);
            println!(
                "{}",
                serde_json::json!({
                    "cells": summary.cells,
                    "labels": labels,
                    "matrix": matrix,
                    "genes": summary.coverage,
                })
            );
            return;
        }
        eprintln!("matrix  {} ({})", summary.matrix.0, summary.matrix.1);
        eprintln!("genes   {}", summary.coverage.summary());
        let width = summary.labels.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, cells) in &summary.labels {
            println!("{name:width$}  {cells:>8}");
        }
        for path in self.out.iter().chain(&self.predictions) {
            eprintln!("wrote   {}", path.display());
        }
    }
}
