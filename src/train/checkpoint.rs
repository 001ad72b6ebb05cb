//! A checkpoint is a folder: settings, classes, trained tensors and, where training is to go on, the
//! optimiser's state. It is written beside its place, synced and renamed, so a kill at any instant
//! leaves either the old one or the new one.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use burn::tensor::backend::Backend;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use screader_models::trainable::{NamedParameter, Trainable, TrainableConfig, write_parameters};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::backbone::Backbone;
use crate::config::Config;
use crate::embed::EmbeddingTable;
use crate::genes::Species;
use crate::rank::GeneStatistics;
use crate::train::calibrate::Calibration;
use crate::train::loss_scale::LossScale;
use crate::{Error, Result};

/// How far training has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Optimiser steps done. Batches follow from the seed and the step, so this is the data cursor too.
    pub step: usize,
    /// Steps asked for.
    pub total_steps: usize,
    /// Best validation macro-F1 so far.
    pub best_macro_f1: Option<f64>,
    /// Validation loss at that step.
    pub best_loss: Option<f64>,
    /// The step that reached it.
    pub best_step: usize,
    /// Evaluations since then.
    pub looks_without_gain: usize,
    /// Whether training has ended, by its last step or early.
    pub finished: bool,
    /// The scale of gradients, and how many steps were left out.
    #[serde(default)]
    pub scale: LossScale,
}

/// What an annotator is, apart from its tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// Version of screader that wrote the checkpoint.
    pub screader: String,
    /// Species of the gene table.
    pub species: String,
    /// The frozen LLaMA.
    pub backbone: Backbone,
    /// Hash of the gene embedding table.
    pub gene_table: String,
    /// Sizes of the trained part.
    pub trainable: TrainableConfig,
    /// Temperature and threshold chosen on the validation cells.
    pub calibration: Option<Calibration>,
    /// The training cells' file and which of its cells were held out.
    pub data: DataCard,
}

impl Card {
    /// Describe an annotator that is yet to be trained, and so not calibrated.
    pub fn new(
        table: &EmbeddingTable,
        backbone: &Backbone,
        trainable: TrainableConfig,
        data: DataCard,
    ) -> Self {
        Self {
            screader: env!("CARGO_PKG_VERSION").to_string(),
            species: table.metadata.species.clone(),
            backbone: backbone.clone(),
            gene_table: table.fingerprint(),
            trainable,
            calibration: None,
            data,
        }
    }
}

/// What the training cells are read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Source {
    /// The bundled, simulated demo.
    Demo {
        /// Its species.
        species: Species,
    },
    /// A file.
    File {
        /// Its path, as it was given.
        path: PathBuf,
    },
}

impl Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Demo { species } => write!(f, "the bundled {species} demo"),
            Self::File { path } => write!(f, "{}", path.display()),
        }
    }
}

/// Where the training cells came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataCard {
    /// File or demo.
    pub source: Source,
    /// Matrix that was read: `X`, `raw/X`, `layers/counts`.
    pub matrix: String,
    /// Training, validation and test cells.
    pub cells: [usize; 3],
}

/// Everything a checkpoint folder holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Settings of the run.
    pub config: Config,
    /// What the annotator is.
    pub card: Card,
    /// Cell types, in the order of the head's outputs.
    pub classes: Vec<String>,
    /// What ranking remembers of the training cells.
    pub statistics: GeneStatistics,
    /// Trained tensors.
    pub parameters: Vec<NamedParameter>,
    /// The optimiser's moments; absent from a checkpoint that is only read.
    pub optimizer: Option<Vec<NamedParameter>>,
    /// How far training has come.
    pub progress: Progress,
}

impl Checkpoint {
    /// Write the checkpoint to `folder`, replacing what is there only once it is whole.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let fresh = sibling(folder, "new");
        let old = sibling(folder, "old");
        remove(&fresh)?;
        fs::create_dir_all(&fresh).map_err(Error::io(&fresh, "create"))?;
        if let Err(full) = self.write_files(&fresh).and_then(|()| sync(&fresh)) {
            // Half a checkpoint is of no use, and on a full disk its space is.
            let _ = fs::remove_dir_all(&fresh);
            return Err(full);
        }
        remove(&old)?;
        if folder.exists() {
            fs::rename(folder, &old).map_err(Error::io(folder, "rename"))?;
        }
        fs::rename(&fresh, folder).map_err(Error::io(folder, "rename"))?;
        if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync(parent)?;
        }
        remove(&old)
    }

    /// Whether `folder` holds a checkpoint, this one or the one before it.
    pub fn exists(folder: &Path) -> bool {
        folder.exists() || sibling(folder, "old").exists()
    }

    /// Remove the checkpoint in `folder`, if there is one, and the one before it.
    ///
    /// # Errors
    /// A folder that cannot be removed.
    pub fn remove(folder: &Path) -> Result<()> {
        remove(&sibling(folder, "old"))?;
        remove(folder)
    }

    /// Read the checkpoint in `folder`, or the previous one where a kill fell between two renames.
    ///
    /// # Errors
    /// A missing or damaged file, by name.
    pub fn load(folder: &Path) -> Result<Self> {
        let old = sibling(folder, "old");
        let folder = if !folder.exists() && old.exists() { old.as_path() } else { folder };
        if !folder.join("progress.json").exists() {
            return Err(Error::input(
                folder.display(),
                "a checkpoint folder (config.toml, trainable.safetensors, …)",
                "none",
                "pass the folder that `screader train --out` wrote",
            ));
        }
        let text = read_text(&folder.join("config.toml"))?;
        let config =
            toml::from_str(&text).map_err(|error| damaged(&folder.join("config.toml"), &error))?;
        let optimizer = folder.join("optimizer.safetensors");
        Ok(Self {
            config,
            card: read_json(&folder.join("annotator.json"))?,
            classes: read_json(&folder.join("classes.json"))?,
            statistics: read_json(&folder.join("ranking.json"))?,
            parameters: read_tensors(&folder.join("trainable.safetensors"))?,
            optimizer: optimizer.exists().then(|| read_tensors(&optimizer)).transpose()?,
            progress: read_json(&folder.join("progress.json"))?,
        })
    }

    /// The trained part, on `device`.
    ///
    /// # Errors
    /// The name of a tensor that is missing or has another shape.
    pub fn trainable<B: Backend>(&self, device: &B::Device) -> Result<Trainable<B>> {
        // The seed is of no consequence: every parameter is replaced.
        let fresh = self.card.trainable.init::<B>(0, 0.0, device);
        write_parameters(fresh, self.parameters.clone()).map_err(|(name, expected)| {
            Error::input(
                format!("trainable.safetensors: {name}"),
                expected,
                "another shape or nothing",
                "the checkpoint is damaged: train again",
            )
        })
    }

    fn write_files(&self, folder: &Path) -> Result<()> {
        write(&folder.join("config.toml"), self.config.to_toml().as_bytes())?;
        write_json(&folder.join("annotator.json"), &self.card)?;
        write_json(&folder.join("classes.json"), &self.classes)?;
        write_tensors(&folder.join("trainable.safetensors"), &self.parameters)?;
        write_json(&folder.join("ranking.json"), &self.statistics)?;
        if let Some(optimizer) = &self.optimizer {
            write_tensors(&folder.join("optimizer.safetensors"), optimizer)?;
        }
        write_json(&folder.join("progress.json"), &self.progress)
    }
}

fn sibling(folder: &Path, suffix: &str) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{suffix}"));
    folder.with_file_name(name)
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(folder, "remove")(error))
        }
        _ => Ok(()),
    }
}

fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(Error::io(path, "sync"))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(Error::io(path, "write"))?;
    sync(path)
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let text = serde_json::to_vec_pretty(value).map_err(|error| damaged(path, &error))?;
    write(path, &text)
}

fn write_tensors(path: &Path, tensors: &[NamedParameter]) -> Result<()> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|one| one.values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let mut views = BTreeMap::new();
    for (one, bytes) in tensors.iter().zip(&bytes) {
        let view = TensorView::new(Dtype::F32, one.shape.clone(), bytes)
            .map_err(|error| damaged(path, &error))?;
        views.insert(one.name.clone(), view);
    }
    let bytes = safetensors::serialize(views, None).map_err(|error| damaged(path, &error))?;
    write(path, &bytes)
}

fn read_tensors(path: &Path) -> Result<Vec<NamedParameter>> {
    let bytes = fs::read(path).map_err(Error::io(path, "read"))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| damaged(path, &error))?;
    tensors
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            if view.dtype() != Dtype::F32 {
                return Err(damaged(path, &format!("{name} is {:?}, not F32", view.dtype())));
            }
            let values = view.data().chunks_exact(4);
            let values = values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            Ok(NamedParameter { name, shape: view.shape().to_vec(), values })
        })
        .collect()
}

fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(Error::io(path, "read"))
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_str(&read_text(path)?).map_err(|error| damaged(path, &error))
}

fn damaged(path: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error::input(
        path.display(),
        "a file written by this version of screader",
        reason,
        "train again, or use the checkpoint beside it",
    )
}
