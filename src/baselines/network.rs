//! A perceptron of one hidden layer over sparse rows: scores, and a step of learning.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use screader_kernels::host::{AdamW, row_products, weighted_rows};

use super::design::transposed;
use super::prediction::softmax;
use crate::cells::CsrMatrix;

/// Cells, and genes, of one task. Fixed, so that no sum depends on the number of threads.
const CELLS: usize = 16;
const GENES: usize = 64;

/// Parameters with the moments that AdamW keeps of them.
#[derive(Debug, Clone, PartialEq)]
struct Layer {
    parameters: Vec<f32>,
    moments: [Vec<f32>; 2],
}

/// `softmax(W₂ · relu(W₁ᵀ x + b₁) + b₂)`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Network {
    hidden_size: usize,
    n_classes: usize,
    /// `[genes, hidden]`.
    genes: Layer,
    /// `[hidden]`.
    hidden: Layer,
    /// `[classes, hidden]`.
    classes: Layer,
    /// `[classes]`.
    biases: Layer,
}

impl Layer {
    /// Draw parameters evenly from ±`bound`.
    fn new(count: usize, bound: f32, rng: &mut ChaCha8Rng) -> Self {
        let parameters = (0..count).map(|_| bound * (2.0 * rng.random::<f32>() - 1.0)).collect();
        Self { parameters, moments: [vec![0.0; count], vec![0.0; count]] }
    }

    fn update(&mut self, gradients: &[f32], rule: &AdamW) {
        let [first, second] = &mut self.moments;
        rule.step(&mut self.parameters, [first, second], gradients);
    }
}

impl Network {
    /// Start as PyTorch's linear layers do: evenly from `±1 / sqrt(inputs)`.
    pub(super) fn new(genes: usize, hidden: usize, classes: usize, rng: &mut ChaCha8Rng) -> Self {
        let (outer, inner) = (1.0 / (genes as f32).sqrt(), 1.0 / (hidden as f32).sqrt());
        Self {
            hidden_size: hidden,
            n_classes: classes,
            genes: Layer::new(genes * hidden, outer, rng),
            hidden: Layer::new(hidden, outer, rng),
            classes: Layer::new(classes * hidden, inner, rng),
            biases: Layer::new(classes, inner, rng),
        }
    }

    /// Probabilities of the classes, `[cells, classes]`, of cells `[cells, genes]`; and
    /// `ln Σ exp(score) − score` of each cell's label, 0 without `labels`.
    pub(super) fn probabilities(&self, rows: &CsrMatrix, labels: &[usize]) -> (Vec<f32>, f64) {
        let mut scores = self.scores(&self.hidden(rows));
        let losses: Vec<f64> = (scores.par_chunks_mut(self.n_classes).enumerate())
            .map(|(cell, scores)| {
                let own = labels.get(cell).map(|&label| f64::from(scores[label]));
                let normaliser = softmax(scores);
                own.map_or(0.0, |own| normaliser - own)
            })
            .collect();
        (scores, losses.iter().sum())
    }

    /// Take one step along the gradient of the mean cross-entropy of a batch, `[cells, genes]`. `kept`,
    /// `[cells, hidden]`, multiplies the hidden layer: dropout.
    pub(super) fn learn(
        &mut self,
        batch: &CsrMatrix,
        labels: &[usize],
        kept: &[f32],
        rule: &AdamW,
    ) {
        let (hidden_size, n_classes) = (self.hidden_size, self.n_classes);
        let mut hidden = self.hidden(batch);
        hidden.par_iter_mut().zip(kept).for_each(|(value, kept)| *value *= kept);
        let mut of_scores = self.scores(&hidden);
        for (row, &label) in of_scores.chunks_exact_mut(n_classes).zip(labels) {
            softmax(row);
            row[label] -= 1.0;
            row.iter_mut().for_each(|slope| *slope /= labels.len() as f32);
        }
        let mut of_hidden = vec![0f32; hidden.len()];
        let by_hidden = transposed(&self.classes.parameters, hidden_size);
        row_products(&mut of_hidden, &of_scores, &by_hidden, n_classes);
        // A hidden value above 0 was let through by ReLU and by dropout.
        let through = of_hidden.iter_mut().zip(hidden.iter().zip(kept));
        through.for_each(|(slope, (value, kept))| *slope *= if *value > 0.0 { *kept } else { 0.0 });

        let mut of_classes = vec![0f32; n_classes * hidden_size];
        let (by_class, by_unit) =
            (transposed(&of_scores, n_classes), transposed(&hidden, hidden_size));
        row_products(&mut of_classes, &by_class, &by_unit, labels.len());
        self.learn_genes(batch, &of_hidden, rule);
        self.hidden.update(&column_sums(&of_hidden, hidden_size), rule);
        self.classes.update(&of_classes, rule);
        self.biases.update(&column_sums(&of_scores, n_classes), rule);
    }

    fn learn_genes(&mut self, batch: &CsrMatrix, of_hidden: &[f32], rule: &AdamW) {
        let columns = batch.transpose();
        let size = GENES * self.hidden_size;
        let [first, second] = &mut self.genes.moments;
        let moments = first.par_chunks_mut(size).zip(second.par_chunks_mut(size));
        let tasks = self.genes.parameters.par_chunks_mut(size).zip(moments);
        tasks.enumerate().for_each(|(task, (parameters, (first, second)))| {
            let (from, count) = (task * GENES, parameters.len() / self.hidden_size);
            let mut gradients = vec![0f32; parameters.len()];
            let starts = &columns.indptr[from..=from + count];
            let (cells, values) = (&columns.indices, &columns.data);
            weighted_rows(&mut gradients, starts, cells, values, of_hidden, self.hidden_size);
            rule.step(parameters, [first, second], &gradients);
        });
    }

    /// The hidden layer, `[cells, hidden]`.
    fn hidden(&self, rows: &CsrMatrix) -> Vec<f32> {
        let width = self.hidden_size;
        let mut hidden = vec![0f32; rows.n_rows * width];
        hidden.par_chunks_mut(CELLS * width).enumerate().for_each(|(task, hidden)| {
            let (first, count) = (task * CELLS, hidden.len() / width);
            let starts = &rows.indptr[first..=first + count];
            let (genes, values) = (&rows.indices, &rows.data);
            weighted_rows(hidden, starts, genes, values, &self.genes.parameters, width);
            for row in hidden.chunks_exact_mut(width) {
                let biases = &self.hidden.parameters;
                row.iter_mut().zip(biases).for_each(|(value, b)| *value = (*value + b).max(0.0));
            }
        });
        hidden
    }

    /// The scores of the classes, `[cells, classes]`.
    fn scores(&self, hidden: &[f32]) -> Vec<f32> {
        let (width, classes) = (self.hidden_size, self.n_classes);
        let mut scores = vec![0f32; hidden.len() / width * classes];
        let tasks = scores.par_chunks_mut(CELLS * classes).zip(hidden.par_chunks(CELLS * width));
        tasks.for_each(|(scores, hidden)| {
            row_products(scores, hidden, &self.classes.parameters, width);
            for row in scores.chunks_exact_mut(classes) {
                row.iter_mut().zip(&self.biases.parameters).for_each(|(score, b)| *score += b);
            }
        });
        scores
    }
}

fn column_sums(values: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0f32; width];
    for row in values.chunks_exact(width) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    sums
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn batch() -> (CsrMatrix, Vec<usize>) {
        let indices = vec![0, 2, 1, 3, 4, 0, 4];
        let data = vec![1.0, 2.0, 0.5, 1.5, 3.0, 0.7, 0.2];
        let matrix = CsrMatrix { n_rows: 4, n_cols: 5, indptr: vec![0, 2, 5, 5, 7], indices, data };
        (matrix, vec![0, 1, 2, 1])
    }

    #[test]
    fn steps_follow_the_gradient_by_differences() {
        let (rows, labels) = batch();
        let start = Network::new(5, 8, 3, &mut ChaCha8Rng::seed_from_u64(3));
        // Without memory of the slope's size a step has the slope's sign, and with a large epsilon its size.
        let rule =
            AdamW { learning_rate: 1e4, betas: [0.0; 2], epsilon: 1e4, weight_decay: 0.0, time: 1 };
        let mut moved = start.clone();
        moved.learn(&rows, &labels, &[1.0; 4 * 8], &rule);
        let layers: [fn(&mut Network) -> &mut Vec<f32>; 4] = [
            |network| &mut network.genes.parameters,
            |network| &mut network.hidden.parameters,
            |network| &mut network.classes.parameters,
            |network| &mut network.biases.parameters,
        ];
        for layer in layers {
            for at in 0..layer(&mut start.clone()).len() {
                let loss = |shift: f32| {
                    let mut network = start.clone();
                    layer(&mut network)[at] += shift;
                    network.probabilities(&rows, &labels).1 / labels.len() as f64
                };
                let wanted = (loss(1e-2) - loss(-1e-2)) / 2e-2;
                let step = layer(&mut moved)[at] - layer(&mut start.clone())[at];
                assert!((wanted + f64::from(step)).abs() < 2e-3, "{at}: {step} for {wanted}");
            }
        }
    }
}
