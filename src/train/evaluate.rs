//! Reading cells without gradients, and how right the answers are.

use burn::tensor::backend::Backend;
use screader_models::annotator::{Annotator, Readout};
use screader_models::trainable::Trainable;

use super::batches::pack;
use super::task::Task;
use crate::Result;
use crate::cells::Dense;
use crate::rank::ReadableCells;
use crate::score::{Confusion, first_largest, negative_log_likelihood};

/// How well some labelled cells are read.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// Mean cross-entropy, in nats.
    pub loss: f64,
    /// Share of cells with the right class.
    pub accuracy: f64,
    /// Mean of the classes' F1.
    pub macro_f1: f64,
    /// Class of each cell by its highest score.
    pub predicted: Vec<usize>,
}

/// Read `cells` by the network alone, in micro-batches of like length; the answers come in the order of
/// `cells`.
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
    readout
}

/// Let what the genes say by themselves have its say beside the network's `logits` of `cells`: both are taken
/// as witnesses, whose log-probabilities add up, those of the network, which goes by text, times
/// `text_weight`. Without genes that say anything the network's logits stay as they are.
pub fn add_gene_weights(
    logits: &mut [f32],
    by_genes: Option<&Dense>,
    cells: &[usize],
    text_weight: f32,
) {
    let Some(by_genes) = by_genes else { return };
    let classes = by_genes.n_cols;
    for (row, &cell) in logits.chunks_exact_mut(classes.max(1)).zip(cells) {
        let norm = log_sum_exp(row) as f32;
        let said = &by_genes.values[cell * classes..(cell + 1) * classes];
        row.iter_mut()
            .zip(said)
            .for_each(|(logit, said)| *logit = text_weight * (*logit - norm) + said);
    }
}

fn scatter(rows: &[f32], places: &[usize], cells: usize, into: &mut Vec<f32>) {
    let width = rows.len() / places.len().max(1);
    into.resize(cells * width, 0.0);
    for (row, &place) in rows.chunks_exact(width.max(1)).zip(places) {
        into[place * width..(place + 1) * width].copy_from_slice(row);
    }
}

/// Read the labelled cells `cells` of `task`, at least one, and compare; the network's log-probabilities count
/// `text_weight` times beside those of the genes' own weights.
pub fn evaluate<B: Backend>(
    annotator: &Annotator<B>,
    trainable: &Trainable<B>,
    task: &Task,
    cells: &[usize],
    micro_batch_size: usize,
    text_weight: f32,
) -> Result<Evaluation> {
    let readable = &task.readable;
    let mut readout = read_cells(annotator, trainable, readable, cells, micro_batch_size, |_| {});
    add_gene_weights(&mut readout.logits, readable.by_genes.as_ref(), cells, text_weight);
    let classes = task.classes.len();
    let truth: Vec<usize> = cells.iter().map(|&cell| task.labels[cell]).collect();
    let predicted = argmax(&readout.logits, classes);
    let confusion = Confusion::new(&truth, &predicted, classes)?;
    let logits = Dense { n_rows: cells.len(), n_cols: classes, values: readout.logits };
    Ok(Evaluation {
        loss: negative_log_likelihood(&logits, &truth, 1.0),
        accuracy: confusion.accuracy(),
        macro_f1: confusion.macro_average().f1,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_probabilities_add_up_those_of_the_text_by_their_weight() {
        let said: [[f32; 3]; 2] = [[-0.2, -2.0, -3.5], [-1.5, -0.5, -2.0]];
        let by_genes = Dense { n_rows: 2, n_cols: 3, values: said.concat() };
        let network = [1.0f32, 3.0, -1.0];
        let norm = network.iter().map(|score| score.exp()).sum::<f32>().ln();
        for weight in [0.0, 0.25, 1.0] {
            let mut logits = network.to_vec();
            add_gene_weights(&mut logits, Some(&by_genes), &[1], weight);
            for ((logit, score), said) in logits.iter().zip(network).zip(said[1]) {
                assert!((logit - (weight * (score - norm) + said)).abs() < 1e-5);
            }
        }
        let mut logits = network.to_vec();
        add_gene_weights(&mut logits, None, &[1], 0.25);
        assert_eq!(logits, network, "where genes say nothing the text says all");
    }
}
