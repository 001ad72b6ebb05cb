//! Reading cells without gradients, and how right the answers are.

use burn::tensor::backend::Backend;
use screader_models::annotator::{Annotator, Readout};
use screader_models::trainable::Trainable;

use super::batches::pack;
use super::task::Task;
use crate::Result;
use crate::cells::Dense;
use crate::rank::ReadableCells;
use crate::score::{Confusion, first_largest};

/// How well some labelled cells are read.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// Mean cross-entropy, in nats.
    pub loss: f64,
    /// Share of cells with the right class.
    pub accuracy: f64,
    /// Mean of the classes' F1.
    pub macro_f1: f64,
    /// Class scores, `[cells, classes]`.
    pub logits: Dense,
    /// Class of each cell by its highest score.
    pub predicted: Vec<usize>,
}

/// Read `cells`, in micro-batches of like length; the answers come in the order of `cells`.
pub fn read_cells<B: Backend>(
    annotator: &Annotator<B>,
    trainable: &Trainable<B>,
    readable: &ReadableCells,
    cells: &[usize],
    micro_batch_size: usize,
    mut on_progress: impl FnMut(usize),
) -> Readout {
    // Sorting by length needs the way back: the place of each cell in the answer.
    let mut places: Vec<usize> = (0..cells.len()).collect();
    places.sort_by_key(|&place| (readable.ranked.cell(cells[place]).0.len(), place));
    let pooled = annotator.pooled_genes(trainable, &readable.measured.genes);
    let mut readout = Readout::default();
    for places in places.chunks(micro_batch_size) {
        let chunk: Vec<usize> = places.iter().map(|&place| cells[place]).collect();
        let part = annotator.read(trainable, &pack(&chunk, readable), pooled.as_ref());
        scatter(&part.states, places, cells.len(), &mut readout.states);
        scatter(&part.logits, places, cells.len(), &mut readout.logits);
        on_progress(chunk.len());
    }
    if let Some(by_genes) = &readable.by_genes {
        add_log_probabilities(&mut readout.logits, by_genes, cells);
    }
    readout
}

/// Let what the genes say by themselves have its say: both are taken as independent witnesses, so that their
/// log-probabilities add up.
fn add_log_probabilities(logits: &mut [f32], by_genes: &Dense, cells: &[usize]) {
    let classes = by_genes.n_cols;
    for (row, &cell) in logits.chunks_exact_mut(classes.max(1)).zip(cells) {
        let norm = log_sum_exp(row) as f32;
        let said = &by_genes.values[cell * classes..(cell + 1) * classes];
        row.iter_mut().zip(said).for_each(|(logit, said)| *logit += said - norm);
    }
}

fn scatter(rows: &[f32], places: &[usize], cells: usize, into: &mut Vec<f32>) {
    let width = rows.len() / places.len().max(1);
    into.resize(cells * width, 0.0);
    for (row, &place) in rows.chunks_exact(width.max(1)).zip(places) {
        into[place * width..(place + 1) * width].copy_from_slice(row);
    }
}

/// Read the labelled cells `cells` of `task`, at least one, and compare.
pub fn evaluate<B: Backend>(
    annotator: &Annotator<B>,
    trainable: &Trainable<B>,
    task: &Task,
    cells: &[usize],
    micro_batch_size: usize,
) -> Result<Evaluation> {
    let readout = read_cells(annotator, trainable, &task.readable, cells, micro_batch_size, |_| {});
    let classes = task.classes.len();
    let truth: Vec<usize> = cells.iter().map(|&cell| task.labels[cell]).collect();
    let predicted = argmax(&readout.logits, classes);
    let nats = |(row, &class): (&[f32], &usize)| log_sum_exp(row) - f64::from(row[class]);
    let loss = readout.logits.chunks_exact(classes).zip(&truth).map(nats).sum::<f64>();
    let confusion = Confusion::new(&truth, &predicted, classes)?;
    Ok(Evaluation {
        loss: loss / cells.len().max(1) as f64,
        accuracy: confusion.accuracy(),
        macro_f1: confusion.macro_average().f1,
        logits: Dense { n_rows: cells.len(), n_cols: classes, values: readout.logits },
        predicted,
    })
}

/// Class of each row by its highest score; of equal scores the first.
pub fn argmax(logits: &[f32], classes: usize) -> Vec<usize> {
    logits.chunks_exact(classes.max(1)).map(first_largest).collect()
}

fn log_sum_exp(row: &[f32]) -> f64 {
    let peak = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    f64::from(peak) + row.iter().map(|&x| f64::from(x - peak).exp()).sum::<f64>().ln()
}
