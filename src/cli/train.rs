//! `screader train`: labelled cells in, an annotator and annotated cells out.

use std::path::{Path, PathBuf};

use burn::tensor::backend::{AutodiffBackend, Backend};
use clap::Args;
use screader_models::annotator::Annotator;
use screader_models::trainable::{Trainable, TrainableConfig};

use super::settings::{CellsArgs, SettingArgs, no_backbone, no_gene_table};
use crate::backbone::Backbone;
use crate::cells::Cells;
use crate::config::Config;
use crate::demo;
use crate::device::{Device, beside, on_device};
use crate::embed::EmbeddingTable;
use crate::genes::Species;
use crate::infer::TrainedAnnotator;
use crate::infer::annotate::{Options, Outputs, annotate};
use crate::io::{self, ReadOptions};
use crate::train::calibrate::Calibration;
use crate::train::checkpoint::{Card, Checkpoint, DataCard, Source};
use crate::train::evaluate::evaluate;
use crate::train::fit::Run;
use crate::train::labelled::Labelled;
use crate::train::result::{self, Comparison};
use crate::train::room::make_room;
use crate::train::schedule::{total_steps, warmup_steps};
use crate::train::settle::settle;
use crate::train::task::Task;
use crate::{Error, Result};

/// Train an annotator on labelled cells.
///
/// Without --data it trains on a bundled demo of simulated cells. With --data it needs the column of obs
/// that holds the cell types, a gene embedding table (`screader embed`) and a backbone.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  screader train --species mouse
  screader train --data cells.h5ad --label cell_type --genes mouse.safetensors --backbone checkpoints/TinyLlama-1.1B
  screader train --data cells.h5ad --label cell_type --genes mouse.safetensors --backbone random --set train.steps=3000
  screader train --data cells.h5ad --label cell_type --genes mouse.safetensors --backbone checkpoints/llama-2-7b --device cuda:0,cuda:1
  screader train --out runs/islets --resume")]
pub(super) struct TrainArgs {
    /// Species of the demo; with --data, what the gene table must be of.
    #[arg(long, value_enum)]
    species: Option<Species>,
    #[command(flatten)]
    cells: CellsArgs,
    /// Folder of a frozen LLaMA; or a control: "random" for a tiny one with random weights, "none" for the
    /// mean of the projected genes.
    #[arg(long, value_name = "DIR")]
    backbone: Option<PathBuf>,
    /// Folder of the run.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on where an interrupted run stopped.
    #[arg(long)]
    resume: bool,
    /// Replace a run that is already in --out.
    #[arg(long, conflicts_with = "resume")]
    overwrite: bool,
    #[command(flatten)]
    settings: SettingArgs,
}

/// What was typed, validated and read.
struct Plan {
    config: Config,
    source: Source,
    labelled: Labelled,
    /// The demo's cells, which are in no file yet.
    demo: Option<Cells>,
    table: EmbeddingTable,
    backbone: Backbone,
    folder: PathBuf,
    resume: Option<Checkpoint>,
    /// At least one, all of one kind.
    devices: Vec<Device>,
}

impl TrainArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        let plan = self.plan()?;
        let task = Task::prepare(&plan.labelled, plan.table.genes.len(), &plan.config)?;
        plan.announce(&task);
        on_device!(plan.devices[0], B, device => plan.train::<burn::backend::Autodiff<B>>(task, &device))
    }

    fn plan(self) -> Result<Plan> {
        let devices = self.settings.devices()?;
        let folder = self.folder();
        self.refuse_overwriting(&folder)?;
        let resume = self.interrupted(&folder)?;
        let config = match &resume {
            Some(checkpoint) => checkpoint.config.clone(),
            None => self.cells.config(&self.settings)?,
        };
        let source = match (&self.cells.data, &resume) {
            (Some(path), _) => Source::File { path: path.clone() },
            (None, Some(checkpoint)) => checkpoint.card.data.source.clone(),
            (None, None) => Source::Demo { species: self.demo_species() },
        };
        let backbone = self.backbone(&source, &config, resume.as_ref())?;
        let (cells, table) = match &source {
            Source::Demo { species } => {
                (demo::simulate(*species, config.train.seed)?, demo::embeddings(*species)?)
            }
            Source::File { path } => {
                let table = self.gene_table(&folder, resume.is_some())?;
                (io::read(path, &ReadOptions::default())?, table)
            }
        };
        let labelled = Labelled::read(&cells, &source.to_string(), &table, &config)?;
        let demo = matches!(source, Source::Demo { .. }).then_some(cells);
        Ok(Plan { config, source, labelled, demo, table, backbone, folder, resume, devices })
    }

    fn folder(&self) -> PathBuf {
        let demo = format!("demo-{}", self.demo_species());
        self.cells.folder(self.out.as_deref(), "screader-runs", &demo)
    }

    fn demo_species(&self) -> Species {
        self.species.unwrap_or(Species::Mouse)
    }

    fn refuse_overwriting(&self, folder: &Path) -> Result<()> {
        let demo = self.cells.data.is_none() && self.out.is_none();
        if self.resume || self.overwrite || demo || !folder.join("metrics.jsonl").exists() {
            return Ok(());
        }
        Err(Error::input(
            folder.display(),
            "a folder without a run",
            "a run",
            "go on with --resume, replace it with --overwrite, or choose another --out",
        ))
    }

    fn interrupted(&self, folder: &Path) -> Result<Option<Checkpoint>> {
        if !self.resume {
            return Ok(None);
        }
        let last = folder.join("last");
        if !Checkpoint::exists(&last) {
            eprintln!("{}: no checkpoint yet, starting from the first step", folder.display());
            return Ok(None);
        }
        Checkpoint::load(&last).map(Some)
    }

    fn backbone(
        &self,
        source: &Source,
        config: &Config,
        resume: Option<&Checkpoint>,
    ) -> Result<Backbone> {
        match (&self.backbone, resume) {
            (Some(path), Some(checkpoint)) => checkpoint.card.backbone.moved_to(path),
            (None, Some(checkpoint)) => checkpoint.card.backbone.unchanged(),
            (Some(path), None) => Backbone::named(path, config.train.seed),
            (None, None) if matches!(source, Source::Demo { .. }) => {
                Ok(Backbone::random(config.train.seed))
            }
            (None, None) => Err(no_backbone()),
        }
    }

    fn gene_table(&self, folder: &Path, resume: bool) -> Result<EmbeddingTable> {
        let path = match (&self.cells.genes, resume) {
            (Some(path), _) => path.clone(),
            (None, true) => folder.join("genes.safetensors"),
            (None, false) => return Err(no_gene_table()),
        };
        let table = EmbeddingTable::read(&path)?;
        match self.species {
            Some(species) if table.metadata.species != species.to_string() => Err(Error::input(
                path.display(),
                format!("a table of {species} genes"),
                format!("{} genes", table.metadata.species),
                "pass the table of that species, or another --species",
            )),
            _ => Ok(table),
        }
    }
}

impl Plan {
    fn announce(&self, task: &Task) {
        let (split, labelled) = (&task.split, &self.labelled);
        let (cells, types) = (labelled.n_cells(), labelled.classes.len());
        eprintln!("cells     {}: {cells} labelled, {types} types", self.source);
        if labelled.unlabelled > 0 {
            eprintln!("          {} cells without a label are left out", labelled.unlabelled);
        }
        eprintln!("matrix    {} ({})", labelled.matrix_name, labelled.state);
        eprintln!(
            "split     {} train, {} validation, {} test",
            split.train.len(),
            split.validation.len(),
            split.test.len()
        );
        eprintln!("genes     {}", labelled.coverage.summary());
        eprintln!("backbone  {}", self.backbone.describe());
        for (class, cells) in task.class_counts(&split.train).into_iter().enumerate() {
            if cells == 0 {
                eprintln!(
                    "warning: no training cell is {}; it cannot be learned",
                    task.classes[class]
                );
            }
        }
        let steps = total_steps(&self.config.train, split.train.len());
        let warmup = warmup_steps(&self.config.train, steps);
        if warmup * 5 > steps {
            eprintln!(
                "warning: {warmup} of {steps} steps are warm-up; this is almost no training: \
                 raise train.steps or lower train.warmup"
            );
        }
    }

    /// Train, calibrate, compare with the baselines and annotate the input.
    fn train<A: AutodiffBackend>(mut self, mut task: Task, device: &A::Device) -> Result<()> {
        let (config, backbone) = (&mut self.config, &self.backbone);
        let side_by_side =
            make_room::<A::InnerBackend>(config, &task, backbone, &self.devices, device)?;
        let annotators = self.annotators::<A::InnerBackend>(device)?;
        let annotator = &annotators[0];
        let sizes = self.config.model.trainable(annotator, task.classes.len());
        eprintln!("trained   {} of the numbers; the backbone is frozen", sizes.num_params());
        let (precision, kernels) = (annotator.precision(), annotator.kernels());
        let names: Vec<String> = self.devices.iter().map(Device::to_string).collect();
        let names = names.join(" and ");
        eprintln!("device    {names}, the backbone in {precision} by {kernels}");
        let trainable: Trainable<A> =
            sizes.init(self.config.train.seed, annotator.token_scale()?, device);

        self.begin_folder()?;
        let run = Run::<A> {
            config: &self.config,
            task: &task,
            annotators: &annotators,
            card: self.card(&task, sizes),
            folder: &self.folder,
            quiet: false,
            side_by_side,
        };
        let mut best = run.fit(trainable, device, self.resume.clone())?;
        let trainable = best.trainable::<A::InnerBackend>(device)?;
        settle(&mut best, &mut task, annotator, &trainable)?;
        if let Some(calibration) = &best.card.calibration {
            eprintln!("confidence {calibration}");
            best.save(&self.folder.join("best"))?;
        }
        self.compare(&task, annotator, &best, &trainable)?;
        self.annotate(best, annotators, device)
    }

    /// Put the frozen network on each device; `first` is the handle of the first.
    fn annotators<B: Backend>(&self, first: &B::Device) -> Result<Vec<Annotator<B>>> {
        let mut handles = vec![first.clone()];
        for device in &self.devices[1..] {
            handles.push(beside::<B>(self.devices[0], *device)?);
        }
        let on = |handle| self.backbone.annotator::<B>(&self.table, &self.config, handle);
        handles.iter().map(on).collect()
    }

    fn begin_folder(&self) -> Result<()> {
        std::fs::create_dir_all(&self.folder).map_err(Error::io(&self.folder, "create"))?;
        if self.resume.is_none() {
            // What an earlier run left must not be resumed as this one.
            Checkpoint::remove(&self.folder.join("last"))?;
            Checkpoint::remove(&self.folder.join("best"))?;
        }
        self.table.write(self.folder.join("genes.safetensors"))
    }

    /// Compare the best checkpoint with the baselines on the test cells.
    fn compare<B: Backend>(
        &self,
        task: &Task,
        annotator: &Annotator<B>,
        best: &Checkpoint,
        trainable: &Trainable<B>,
    ) -> Result<()> {
        let cells = &task.split.test;
        if cells.is_empty() {
            return Ok(());
        }
        let micro_batch = self.config.train.micro_batch_size;
        let weight = Calibration::text_weight(best.card.calibration.as_ref());
        let test = evaluate(annotator, trainable, task, cells, micro_batch, weight)?;
        let comparison = Comparison::measure(
            task,
            &self.labelled,
            &self.table,
            &self.config.genept,
            &self.backbone,
            &test.predicted,
        )?;
        result::write(&self.folder, &comparison)?;
        println!("{comparison}");
        Ok(())
    }

    fn card(&self, task: &Task, trainable: TrainableConfig) -> Card {
        let split = &task.split;
        let data = DataCard {
            source: self.source.clone(),
            matrix: format!("{} ({})", self.labelled.matrix_name, self.labelled.state),
            cells: [split.train.len(), split.validation.len(), split.test.len()],
        };
        Card::new(&self.table, &self.backbone, trainable, data)
    }

    /// Annotate the whole input with the new annotator, held-out and unlabelled cells included.
    fn annotate<B: Backend>(
        self,
        best: Checkpoint,
        mut annotators: Vec<Annotator<B>>,
        device: &B::Device,
    ) -> Result<()> {
        let annotator = annotators.swap_remove(0);
        drop(annotators);
        let input = match (&self.source, &self.demo) {
            (Source::File { path }, _) => path.clone(),
            (Source::Demo { .. }, cells) => {
                let path = self.folder.join("demo.h5ad");
                if let Some(cells) = cells {
                    io::write_h5ad(cells, &path)?;
                }
                path
            }
        };
        let output = self.folder.join("annotated.h5ad");
        let annotator = TrainedAnnotator::new(best, self.table, annotator, device)?;
        let outputs = Outputs { h5ad: Some(output.clone()), tables: Vec::new() };
        annotate(&annotator, &input, &outputs, &Options::default())?;
        println!("annotated cells: {}", output.display());
        Ok(())
    }
}
