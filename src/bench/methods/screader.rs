//! screader in its rank encodings, and itself with one part taken away.

use std::path::Path;
use std::time::Instant;

use burn::tensor::backend::AutodiffBackend;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use screader_models::reader::Combine;

use crate::backbone::Backbone;
use crate::bench::material::{Material, Visible};
use crate::bench::method::{About, Context, Method};
use crate::bench::outcome::{Outcome, Reply, fingerprint};
use crate::bench::summary::Role;
use crate::bench::trial::Trial;
use crate::cells::Dense;
use crate::config::Config;
use crate::device::{Device, on_device};
use crate::embed::EmbeddingTable;
use crate::infer::read_block;
use crate::rank::{Expression, GeneSpread, ReadableCells};
use crate::train::checkpoint::{Card, Checkpoint, DataCard, Source};
use crate::train::fit::Run;
use crate::train::room::make_room;
use crate::train::settle::settle;
use crate::train::splits::Split;
use crate::train::task::{Task, balanced};
use crate::{Error, Result};

/// The encodings beside the one that the settings name, and screader without the genes' own weights; they are
/// run where they are asked for.
pub const ON_REQUEST: [&str; 5] =
    ["screader-concat-pe", "screader-multiply", "screader-add-pe", "screader-none", "text-alone"];

/// What stands between projection and head.
#[derive(Debug, Clone, Copy, PartialEq)]
enum BodyKind {
    Given,
    RandomWeights,
    MeanPool,
}

/// screader, or a control.
struct Screader {
    about: About,
    body: BodyKind,
    shuffled: bool,
    /// The encoding, where not that of the settings.
    combine: Option<Combine>,
    /// Whether the head is given what the body makes of the cell and nothing beside it, as in scReader's paper.
    bare: bool,
    /// Whether genes have no weights of their own, so that text alone tells.
    text_alone: bool,
}

/// screader, its other encodings, its controls, and the paper's own baseline.
pub fn all() -> Vec<impl Method> {
    let one = |name, label, role| Screader {
        about: About { name, label, role },
        body: BodyKind::Given,
        shuffled: false,
        combine: None,
        bare: false,
        text_alone: false,
    };
    let encoding = |name, label, combine| Screader {
        combine: Some(combine),
        ..one(name, label, Role::Screader)
    };
    let control = |name, label, body| Screader { body, ..one(name, label, Role::Control) };
    vec![
        one("screader", "screader", Role::Screader),
        encoding("screader-concat-pe", "screader, rank concatenated", Combine::ConcatPe),
        encoding("screader-multiply", "screader, times expression", Combine::Multiply),
        encoding("screader-add-pe", "screader, rank added", Combine::AddPe),
        encoding("screader-none", "screader, order alone", Combine::None),
        control("random-llama", "random LLaMA", BodyKind::RandomWeights),
        Screader {
            shuffled: true,
            ..control("shuffled-genes", "shuffled gene embeddings", BodyKind::Given)
        },
        control("no-llama", "no LLaMA", BodyKind::MeanPool),
        Screader { text_alone: true, ..control("text-alone", "gene text alone", BodyKind::Given) },
        Screader {
            combine: Some(Combine::Multiply),
            bare: true,
            body: BodyKind::MeanPool,
            ..one("mean-pool-mlp", "mean-pool MLP (paper's baseline)", Role::Baseline)
        },
    ]
}

impl Method for Screader {
    fn about(&self) -> About {
        self.about
    }

    fn depends_on(&self, material: &Material) -> String {
        let config = self.config(&material.config, 0);
        format!(
            "{}\n{:?} {}\n{}",
            config.to_toml(),
            self.body,
            self.shuffled,
            material.backbone.describe()
        )
    }

    fn answer(&self, trial: &Trial<'_>, context: &Context<'_>) -> Result<Reply> {
        let config = self.config(&context.material.config, trial.seed);
        let shuffled = self.shuffled.then(|| shuffled(trial.table, trial.seed));
        let table = shuffled.as_ref().unwrap_or(trial.table);
        let backbone = self.backbone(&context.material.backbone, trial.seed)?;
        let (task, asked) = task(trial, &config)?;
        let device = context.device;
        let fit = Fit { config, task, asked, table, backbone: &backbone, device };
        let outcome = on_device!(context.device, B, device => {
            fit.run::<burn::backend::Autodiff<B>>(context.folder, &device)
        })?;
        Ok(Reply::Answered(outcome))
    }
}

impl Screader {
    /// The settings of this variant under a trial's seed.
    fn config(&self, given: &Config, seed: u64) -> Config {
        let mut config = given.clone();
        config.train.seed = seed;
        if let Some(combine) = self.combine {
            config.model.combine = combine;
        }
        if self.text_alone {
            config.model.gene_weights = false;
        }
        if self.bare {
            (config.model.pool_size, config.train.backbone_share) = (0, 1.0);
            config.model.gene_weights = false;
        }
        config
    }

    fn backbone(&self, given: &Backbone, seed: u64) -> Result<Backbone> {
        match self.body {
            BodyKind::Given => Ok(given.clone()),
            BodyKind::RandomWeights => given.with_random_weights(seed),
            BodyKind::MeanPool => Ok(Backbone::None { hidden_size: given.hidden_size()? }),
        }
    }
}

/// Give every gene the embedding of another one.
fn shuffled(table: &EmbeddingTable, seed: u64) -> EmbeddingTable {
    let dim = table.embeddings.n_cols;
    let mut order: Vec<usize> = (0..table.embeddings.n_rows).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let rows = order.iter().flat_map(|&row| &table.embeddings.values[row * dim..(row + 1) * dim]);
    let values = rows.copied().collect();
    EmbeddingTable { embeddings: Dense { values, ..table.embeddings.clone() }, ..table.clone() }
}

/// The trial as a task of its learnable cells, and its test cells; each by what is in sight of it.
fn task(trial: &Trial<'_>, config: &Config) -> Result<(Task, ReadableCells)> {
    let learnable = trial.learnable();
    let place = |rows: &[usize]| -> Vec<usize> {
        rows.iter().filter_map(|row| learnable.binary_search(row).ok()).collect()
    };
    let split = Split {
        train: place(&trial.train),
        validation: place(&trial.validation),
        test: Vec::new(),
    };
    let (source, source_rows) = (trial.see_source(&learnable)?, trial.source_rows_in_sight());
    let (target, target_rows) = (trial.see_target()?, trial.target_rows_in_sight());
    let learned = source.expression.select_rows(&split.train);
    let (labels, n_classes) = (trial.labels(&learnable), trial.classes.len());
    let learned_labels: Vec<usize> = split.train.iter().map(|&cell| labels[cell]).collect();
    let table_rows = trial.table.genes.len();
    let statistics =
        config.measure(&learned, &source_rows, table_rows, &learned_labels, n_classes)?;
    let read = |seen: &Visible, gene_rows: &[Option<u32>], spread: Option<&GeneSpread>| {
        let input = Expression { log_normalised: &seen.expression, raw: seen.counts.as_ref() };
        ReadableCells::new(input, gene_rows, &statistics, spread, &config.rank)
    };
    let asked_by = statistics.spread_of(&target_rows, config.model.pool_genes, || {
        GeneSpread::fit(&target.expression, &target_rows)
    })?;
    let readable = read(&source, &source_rows, statistics.spread.as_ref())?;
    let asked = read(&target, &target_rows, asked_by.as_ref())?;
    let task = Task {
        names: learnable.iter().map(|&row| trial.source.names[row].clone()).collect(),
        classes: trial.class_names(),
        balanced_weights: balanced(&labels, trial.classes.len(), &split.train),
        labels,
        split,
        readable,
        statistics,
    };
    Ok((task, asked))
}

/// One network to train and to ask.
struct Fit<'a> {
    config: Config,
    task: Task,
    /// The test cells.
    asked: ReadableCells,
    table: &'a EmbeddingTable,
    backbone: &'a Backbone,
    device: Device,
}

impl Fit<'_> {
    fn run<A: AutodiffBackend>(mut self, folder: &Path, device: &A::Device) -> Result<Outcome> {
        let began = Instant::now();
        let (task, backbone) = (&self.task, self.backbone);
        let devices = [self.device];
        let side_by_side =
            make_room::<A::InnerBackend>(&mut self.config, task, backbone, &devices, device)?;
        let config = &self.config;
        let annotator = self.backbone.annotator::<A::InnerBackend>(self.table, config, device)?;
        let sizes = config.model.trainable(&annotator, self.task.classes.len());
        let card = self.card(sizes.clone());
        let resume = self.interrupted(folder, &card)?;
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
        let trainable = sizes.init(config.train.seed, annotator.token_scale()?, device);
        let task = &self.task;
        let (annotators, quiet) = (std::slice::from_ref(&annotator), true);
        let run = Run::<A> { config, task, annotators, card, folder, quiet, side_by_side };
        let mut best = run.fit(trainable, device, resume)?;
        let trainable = best.trainable::<A::InnerBackend>(device)?;
        settle(&mut best, &mut self.task, &annotator, &trainable)?;
        let fit_seconds = began.elapsed().as_secs_f64();

        let began = Instant::now();
        if let Some(weights) = &best.statistics.weights {
            self.asked.by_genes = weights.log_probabilities(&self.asked.measured);
        }
        let read = read_block(&annotator, &trainable, &best, &self.asked, |_| {})?;
        Ok(Outcome {
            predicted: read.answers.iter().map(|answer| answer.class).collect(),
            confidence: read.answers.iter().map(|answer| answer.confidence).collect(),
            novelty: read.answers.iter().map(|answer| answer.novelty).collect(),
            unknown: (best.card.calibration.is_some())
                .then(|| read.answers.iter().map(|answer| answer.unknown).collect()),
            embedding: Some(read.states),
            fit_seconds,
            read_seconds: began.elapsed().as_secs_f64(),
        })
    }

    fn card(&self, trainable: screader_models::trainable::TrainableConfig) -> Card {
        let split = &self.task.split;
        let data = DataCard {
            // No file: the cells' names tell whether an interrupted run was of this trial.
            source: Source::File { path: fingerprint(&self.task.names.join("\n")).into() },
            matrix: String::new(),
            cells: [split.train.len(), split.validation.len(), self.asked.ranked.n_cells()],
        };
        Card::new(self.table, self.backbone, trainable, data)
    }

    /// The checkpoint that an interrupted run of this very trial left; one of another is removed.
    fn interrupted(&self, folder: &Path, card: &Card) -> Result<Option<Checkpoint>> {
        let last = folder.join("last");
        if Checkpoint::exists(&last)
            && let Ok(checkpoint) = Checkpoint::load(&last)
            && checkpoint.card == *card
            && checkpoint.config == self.config
            && checkpoint.statistics == self.task.statistics
        {
            return Ok(Some(checkpoint));
        }
        Checkpoint::remove(&last)?;
        Checkpoint::remove(&folder.join("best"))?;
        Ok(None)
    }
}
