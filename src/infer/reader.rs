//! A trained annotator, ready to read cells.

use std::path::{Path, PathBuf};

use burn::tensor::backend::Backend;
use screader_models::annotator::Annotator;
use screader_models::llama::Precision;
use screader_models::trainable::Trainable;

use super::answer::{Answer, answers};
use crate::cells::{CsrMatrix, Dense, MatrixState, log1p_cp10k};
use crate::embed::EmbeddingTable;
use crate::rank::{Expression, GeneSpread, ReadableCells};
use crate::train::calibrate::Calibration;
use crate::train::checkpoint::Checkpoint;
use crate::train::evaluate::{add_gene_weights, read_cells};
use crate::{Error, Result};

/// Where the parts of an annotator are and how it runs, if not as training left them.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Gene embedding table.
    pub genes: Option<PathBuf>,
    /// Backbone folder.
    pub backbone: Option<PathBuf>,
    /// The type that the backbone multiplies in, if not the one of training.
    pub precision: Option<Precision>,
}

/// A checkpoint with its gene table and backbone, on a device.
pub struct TrainedAnnotator<B: Backend> {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Its gene table.
    pub table: EmbeddingTable,
    annotator: Annotator<B>,
    trainable: Trainable<B>,
}

/// Cells that were read.
pub struct ReadBlock {
    /// What each cell is.
    pub answers: Vec<Answer>,
    /// What the head was given of each cell, `[cells, features]`.
    pub states: Dense,
}

impl<B: Backend> TrainedAnnotator<B> {
    /// Open a run folder (its `best` checkpoint) or a checkpoint folder.
    ///
    /// # Errors
    /// What is missing or damaged; a gene table or backbone that is not the one of the training run.
    pub fn open(folder: &Path, places: &Places, device: &B::Device) -> Result<Self> {
        let best = folder.join("best");
        let is_run = best.exists() || folder.join("best.old").exists();
        let (checkpoint_folder, run) = match is_run {
            true => (best, folder),
            false => (folder.to_path_buf(), folder.parent().unwrap_or(folder)),
        };
        let mut checkpoint = Checkpoint::load(&checkpoint_folder)?;
        if let Some(precision) = places.precision {
            checkpoint.config.model.precision = precision;
        }
        let table = gene_table(&checkpoint, run, places)?;
        let backbone = match &places.backbone {
            Some(path) => checkpoint.card.backbone.moved_to(path)?,
            None => checkpoint.card.backbone.unchanged()?,
        };
        let annotator = backbone.annotator(&table, &checkpoint.config, device)?;
        Self::new(checkpoint, table, annotator, device)
    }

    /// Join a checkpoint with its gene table and its backbone, which is in memory already.
    ///
    /// # Errors
    /// A trained tensor that is missing or has another shape.
    pub fn new(
        checkpoint: Checkpoint,
        table: EmbeddingTable,
        annotator: Annotator<B>,
        device: &B::Device,
    ) -> Result<Self> {
        let trainable = checkpoint.trainable(device)?;
        Ok(Self { checkpoint, table, annotator, trainable })
    }

    /// Width of what the head is given of a cell, and `obsm` is.
    pub fn features(&self) -> usize {
        self.checkpoint.card.trainable.features()
    }

    /// By what cells with the genes `gene_rows` are measured; see
    /// [`crate::rank::GeneStatistics::spread_of`].
    ///
    /// # Errors
    /// Those of `own`.
    pub fn measure(
        &self,
        gene_rows: &[Option<u32>],
        own: impl FnOnce() -> Result<GeneSpread>,
    ) -> Result<Option<GeneSpread>> {
        let Checkpoint { config, statistics, .. } = &self.checkpoint;
        statistics.spread_of(gene_rows, config.model.pool_genes, own)
    }

    /// Read a block of cells. `gene_rows` holds for each column the row of the gene table, `spread` is what
    /// [`Self::measure`] says of them.
    ///
    /// # Errors
    /// Values that cannot be ranked.
    pub fn read(
        &self,
        matrix: &CsrMatrix,
        state: MatrixState,
        gene_rows: &[Option<u32>],
        spread: Option<&GeneSpread>,
        on_progress: impl FnMut(usize),
    ) -> Result<ReadBlock> {
        let log_normalised = log1p_cp10k(matrix, state)?;
        let raw = (state == MatrixState::Counts).then_some(matrix);
        let input = Expression { log_normalised: &log_normalised, raw };
        let Checkpoint { config, statistics, .. } = &self.checkpoint;
        let readable = ReadableCells::new(input, gene_rows, statistics, spread, &config.rank)?;
        read_block(&self.annotator, &self.trainable, &self.checkpoint, &readable, on_progress)
    }
}

/// Read cells by the network and by the genes' own weights, and say what each is. `trainable` are the trained
/// tensors of `checkpoint` on the device.
///
/// # Errors
/// A score that is not finite.
pub fn read_block<B: Backend>(
    annotator: &Annotator<B>,
    trainable: &Trainable<B>,
    checkpoint: &Checkpoint,
    readable: &ReadableCells,
    on_progress: impl FnMut(usize),
) -> Result<ReadBlock> {
    let Checkpoint { config, card, .. } = checkpoint;
    let cells: Vec<usize> = (0..readable.ranked.n_cells()).collect();
    let size = config.train.micro_batch_size;
    let mut readout = read_cells(annotator, trainable, readable, &cells, size, on_progress);
    let calibration = card.calibration.as_ref();
    let weight = Calibration::text_weight(calibration);
    add_gene_weights(&mut readout.logits, readable.by_genes.as_ref(), &cells, weight);
    let of_cells = |n_cols: usize, values| Dense { n_rows: cells.len(), n_cols, values };
    let logits = of_cells(card.trainable.classes, readout.logits);
    Ok(ReadBlock {
        answers: answers(&logits, readable.distances.as_deref(), calibration)?,
        states: of_cells(card.trainable.features(), readout.states),
    })
}

fn gene_table(checkpoint: &Checkpoint, run: &Path, places: &Places) -> Result<EmbeddingTable> {
    let path = places.genes.clone().unwrap_or_else(|| run.join("genes.safetensors"));
    let expected = &checkpoint.card.gene_table;
    if !path.exists() {
        return Err(Error::input(
            path.display(),
            "the gene table of the training run",
            "no such file",
            "pass it with --genes",
        ));
    }
    let table = EmbeddingTable::read(&path)?;
    let found = table.fingerprint();
    if found != *expected {
        return Err(Error::input(
            path.display(),
            format!("the gene table of the training run ({expected})"),
            found,
            "pass the table that the annotator was trained with as --genes",
        ));
    }
    Ok(table)
}
