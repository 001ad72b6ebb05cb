//! Settings: the defaults are the commented file `default.toml` itself; a user's file and `--set` are
//! laid over it, and a key that is not in it is an error.

use std::path::Path;

use screader_models::llama::{Precision, Recompute, Weights};
use screader_models::mlp::MlpKind;
use screader_models::reader::{Combine, Order};
use serde::{Deserialize, Serialize};

use crate::baselines::GenePtConfig;
use crate::cells::CsrMatrix;
use crate::rank::{
    GeneSpread, GeneStatistics, GeneWeights, MeasuredCells, RankConfig, TypeDistances,
};
use crate::train::splits::SplitConfig;
use crate::{Error, Result};

/// The defaults, with the meaning of every key.
pub const DEFAULTS: &str = include_str!("default.toml");

/// Every setting of a run; `default.toml` says what each means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What is read.
    pub data: DataConfig,
    /// How a cell becomes a sequence.
    pub rank: RankConfig,
    /// The networks.
    pub model: ModelConfig,
    /// Optimisation.
    pub train: TrainConfig,
    /// Which cells are held out.
    pub split: SplitConfig,
    /// What inference needs to know.
    pub infer: InferConfig,
    /// The GenePT-w baseline.
    pub genept: GenePtConfig,
}

/// `[data]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Column of `obs` with the cell types.
    pub label: String,
    /// Labels that mean "not annotated".
    pub unlabelled: Vec<String>,
    /// Layer to read; empty lets screader choose.
    pub layer: String,
    /// Smallest share of genes that the gene table must cover, from 0 to 1.
    pub minimum_coverage: f64,
}

/// `[model]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// How a gene token is made.
    pub combine: Combine,
    /// Width of the rank's positional encoding.
    pub pe_dim: usize,
    /// Standardise the embeddings per dimension.
    pub standardise_embeddings: bool,
    /// How the projection's layers are joined.
    pub projection: MlpKind,
    /// Linear layers of the projection.
    pub projection_layers: usize,
    /// How the head's layers are joined.
    pub head: MlpKind,
    /// Linear layers of the head.
    pub head_layers: usize,
    /// Width of the path around the backbone; 0 leaves it out.
    pub pool_size: usize,
    /// Most variable genes that it reads.
    pub pool_genes: usize,
    /// Whether each gene's own weights have a say.
    pub gene_weights: bool,
    /// Order of the sequence.
    pub order: Order,
    /// The question put to the backbone.
    pub instruction: String,
    /// In which type the backbone multiplies.
    pub precision: Precision,
    /// How the frozen matrices are kept.
    #[serde(default)]
    pub weights: Weights,
    /// How much of the forward pass is done again for the gradient.
    #[serde(default)]
    pub recompute: RecomputeChoice,
}

/// What the gradient does again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecomputeChoice {
    /// As little as memory allows; nothing where nobody has settled it.
    #[default]
    Auto,
    /// Nothing.
    Nothing,
    /// Every layer but the last.
    Layers,
}

impl RecomputeChoice {
    /// What is done.
    pub fn settled(self) -> Recompute {
        match self {
            Self::Auto | Self::Nothing => Recompute::Nothing,
            Self::Layers => Recompute::Layers,
        }
    }
}

impl From<Recompute> for RecomputeChoice {
    fn from(recompute: Recompute) -> Self {
        match recompute {
            Recompute::Nothing => Self::Nothing,
            Recompute::Layers => Self::Layers,
        }
    }
}

/// `[train]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Seed of every random choice.
    pub seed: u64,
    /// Optimiser steps; 0 takes `epochs`.
    pub steps: usize,
    /// Passes over the training cells, when `steps` is 0.
    pub epochs: usize,
    /// Cells of one optimiser step.
    pub batch_size: usize,
    /// Cells that go through the network at once; 0 takes as many as memory holds.
    pub micro_batch_size: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Share of the steps (below 1) or number of steps of linear warm-up.
    pub warmup: f64,
    /// What follows the warm-up.
    pub schedule: Schedule,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Decay of the first moment.
    pub beta_1: f32,
    /// Decay of the second moment.
    pub beta_2: f32,
    /// Largest global gradient norm; 0 never clips.
    pub clip_norm: f64,
    /// How classes are weighed in the loss.
    pub class_weights: ClassWeights,
    /// Steps between two evaluations.
    pub evaluate_every: usize,
    /// Evaluations without improvement before training stops; 0 never stops early.
    pub patience: usize,
    /// Steps between two checkpoints.
    pub checkpoint_every: usize,
    /// Share of a training cell's genes that is dropped at random.
    pub gene_dropout: f64,
    /// Share of a batch's cells that the backbone reads.
    pub backbone_share: f64,
    /// Share of its genes that the path around the backbone reads in a step.
    pub pool_share: f64,
    /// Deviation of the noise that a step lays on gene embeddings.
    pub embedding_noise: f32,
    /// Under k-fold splits, the fold that is held out, from 0.
    pub fold: usize,
}

/// What the learning rate does after its warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Half a cosine, down to 0 at the last step.
    Cosine,
    /// Stays at its peak.
    Constant,
}

/// How classes are weighed in the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeights {
    /// Every cell counts the same.
    None,
    /// Every class counts the same: n / (K · n_class), as scikit-learn's `balanced`.
    Balanced,
}

/// `[infer]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InferConfig {
    /// Precision on the validation cells that the "unknown" threshold must reach.
    pub unknown_precision: f64,
    /// Share of the validation cells whose novelty must not make them "unknown"; a checkpoint from before it was
    /// learned goes by confidence alone.
    #[serde(default = "all_kept")]
    pub novelty_kept: f64,
}

fn all_kept() -> f64 {
    1.0
}

/// A named set of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// What scReader's paper trains with: plain layers, 5e-5, batch 64, 10 epochs, 1,000 warm-up steps.
    Paper,
    /// Shorter sequences and fewer steps, for the bundled demo, which takes it by itself.
    Demo,
}

impl Preset {
    fn toml(self) -> &'static str {
        match self {
            Self::Paper => include_str!("paper.toml"),
            Self::Demo => include_str!("demo.toml"),
        }
    }
}

impl Default for Config {
    /// The settings of `default.toml`.
    fn default() -> Self {
        // A test parses the file, so this cannot fail in a build that passed its tests.
        toml::from_str(DEFAULTS).unwrap_or_else(|error| unreachable!("default.toml: {error}"))
    }
}

impl Config {
    /// Lay a preset, a file and single settings (`train.steps=3000`) over the defaults, in that order.
    ///
    /// # Errors
    /// A key that does not exist, a value of another kind or out of range, each with its place.
    pub fn load(preset: Option<Preset>, file: Option<&Path>, set: &[String]) -> Result<Self> {
        let mut table = parse("default.toml", DEFAULTS)?;
        if let Some(preset) = preset {
            overlay(&mut table, parse("preset", preset.toml())?);
        }
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(Error::io(path, "read"))?;
            overlay(&mut table, parse(&path.display().to_string(), &text)?);
        }
        for one in set {
            overlay(&mut table, setting(one)?);
        }
        let place = file.map_or("settings".to_string(), |path| path.display().to_string());
        let config: Self = table.try_into().map_err(|error: toml::de::Error| {
            Error::input(
                &place,
                "the keys and values of `screader config`",
                error.message(),
                "correct or remove that key",
            )
        })?;
        config.validate()?;
        Ok(config)
    }

    /// The settings as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| unreachable!("settings are tables: {error}"))
    }

    /// Measure training cells: what ranking needs, and what the path around the backbone, the genes' own weights and
    /// the distances from types do, where they are asked for. `matrix` is log1p-CP10k, `[cells, genes]`; the gene table has
    /// `table_rows` rows; `labels` are the cells' classes, of `n_classes`.
    ///
    /// # Errors
    /// Those of [`GeneStatistics::fit`], [`GeneWeights::fit`] and [`TypeDistances::fit`].
    pub fn measure(
        &self,
        matrix: &CsrMatrix,
        gene_rows: &[Option<u32>],
        table_rows: usize,
        labels: &[usize],
        n_classes: usize,
    ) -> Result<GeneStatistics> {
        let mut statistics = GeneStatistics::fit(matrix, gene_rows, table_rows, &self.rank)?;
        if self.model.pool_size > 0 {
            let spread = GeneSpread::fit(matrix, gene_rows)?.most_variable(self.model.pool_genes);
            let measured = MeasuredCells::new(matrix, gene_rows, &spread)?;
            if self.model.gene_weights {
                statistics.weights = Some(GeneWeights::fit(&measured, labels, n_classes)?);
            }
            if self.infer.novelty_kept < 1.0 {
                statistics.types = TypeDistances::fit(&measured, labels, n_classes)?;
            }
            statistics.spread = Some(spread);
        }
        Ok(statistics)
    }

    fn validate(&self) -> Result<()> {
        let (train, model) = (&self.train, &self.model);
        let share = |value: f64| (0.0..1.0).contains(&value);
        let rules = [
            (train.steps + train.epochs > 0, "train.steps", "steps or epochs above 0"),
            (train.batch_size > 0, "train.batch_size", "at least 1"),
            (train.learning_rate > 0.0, "train.learning_rate", "above 0"),
            (train.warmup >= 0.0, "train.warmup", "0 or more"),
            (share(train.gene_dropout), "train.gene_dropout", "from 0 to below 1"),
            (
                train.backbone_share > 0.0 && train.backbone_share <= 1.0,
                "train.backbone_share",
                "above 0, at most 1",
            ),
            (
                train.backbone_share == 1.0 || model.pool_size > 0,
                "train.backbone_share",
                "1 where model.pool_size is 0",
            ),
            (
                train.pool_share > 0.0 && train.pool_share <= 1.0,
                "train.pool_share",
                "above 0, at most 1",
            ),
            (
                train.embedding_noise >= 0.0 && train.embedding_noise.is_finite(),
                "train.embedding_noise",
                "0 or more, and finite",
            ),
            (train.evaluate_every > 0, "train.evaluate_every", "at least 1"),
            (train.checkpoint_every > 0, "train.checkpoint_every", "at least 1"),
            (self.rank.top_genes > 0, "rank.top_genes", "at least 1"),
            (model.projection_layers > 1, "model.projection_layers", "at least 2"),
            (model.head_layers > 1, "model.head_layers", "at least 2"),
            (model.pool_genes > 0, "model.pool_genes", "at least 1"),
            (model.pe_dim > 0 && model.pe_dim % 2 == 0, "model.pe_dim", "an even number above 0"),
            (
                self.infer.novelty_kept > 0.0 && self.infer.novelty_kept <= 1.0,
                "infer.novelty_kept",
                "above 0, at most 1",
            ),
            (share(self.data.minimum_coverage), "data.minimum_coverage", "from 0 to below 1"),
        ];
        match rules.iter().find(|(holds, _, _)| !holds) {
            Some((_, key, rule)) => {
                Err(Error::input(key, rule, "another value", "see `screader config`"))
            }
            None => Ok(()),
        }
    }
}

fn parse(place: &str, text: &str) -> Result<toml::Table> {
    text.parse().map_err(|error: toml::de::Error| {
        Error::input(place, "TOML", error.message(), "compare it with `screader config`")
    })
}

/// Parse `train.steps=3000` into a table of its own; a value that is no TOML is a text.
fn setting(text: &str) -> Result<toml::Table> {
    let known = text.split_once('=').and_then(|(key, value)| Some((key.split_once('.')?, value)));
    let Some(((section, key), value)) = known else {
        return Err(Error::input(
            format!("--set {text}"),
            "section.key=value",
            text,
            "write for example --set train.steps=3000",
        ));
    };
    let line = |value: &str| format!("[{section}]\n{key} = {value}\n").parse::<toml::Table>();
    match line(value) {
        Ok(table) => Ok(table),
        Err(_) => parse("--set", &format!("[{section}]\n{key} = {value:?}\n")),
    }
}

fn overlay(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(value)) => overlay(inner, value),
            // A whole number is welcome where the default is a fraction.
            (Some(slot @ toml::Value::Float(_)), toml::Value::Integer(value)) => {
                *slot = toml::Value::Float(value as f64);
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_defaults_are_the_defaults() {
        let config = Config::load(None, None, &[]).unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(toml::from_str::<Config>(&config.to_toml()).unwrap(), config);
        // As a checkpoint of an earlier version has it.
        let older = config.to_toml().replace("novelty_kept = 0.95\n", "");
        assert_eq!(toml::from_str::<Config>(&older).unwrap().infer.novelty_kept, 1.0);
    }

    #[test]
    fn settings_lie_over_defaults_and_unknown_ones_are_refused() {
        let set = |text: &str| Config::load(None, None, &[text.to_string()]);
        assert_eq!(set("train.learning_rate=1").unwrap().train.learning_rate, 1.0);
        assert_eq!(set("data.label=Cell Type").unwrap().data.label, "Cell Type");
        let error = set("train.stepz=3").unwrap_err().to_string();
        assert!(error.contains("stepz"), "{error}");
        assert!(set("train.batch_size=0").is_err());
        assert!(set("steps=3").is_err());
    }

    #[test]
    fn the_paper_preset_is_the_papers() {
        let config = Config::load(Some(Preset::Paper), None, &[]).unwrap();
        assert_eq!((config.train.batch_size, config.train.steps), (64, 0));
        assert_eq!(config.train.learning_rate, 5e-5);
        assert_eq!(config.model.projection, MlpKind::Plain);
    }
}
