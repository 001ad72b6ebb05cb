//! A multilayer perceptron on expression: the smallest network that a user would try.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use screader_kernels::host::AdamW;
use serde::{Deserialize, Serialize};

use super::Prediction;
use super::features::{Features, check_labels, occurring_classes};
use super::network::Network;
use crate::cells::{CsrMatrix, Dense};
use crate::{Error, Result};

const METHOD: &str = "MLP on expression";

/// Settings of [`ExpressionMlp`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExpressionMlpConfig {
    /// Seed of the first weights, of the order of the cells and of dropout.
    pub seed: u64,
    /// Width of the hidden layer.
    pub hidden_size: usize,
    /// Share of the hidden layer that is left out of each step.
    pub dropout: f64,
    /// Learning rate of AdamW.
    pub learning_rate: f32,
    /// Its decoupled weight decay.
    pub weight_decay: f32,
    /// Cells of a step.
    pub batch_size: usize,
    /// Passes over the cells: all of them without watched cells, else at most so many.
    pub epochs: usize,
    /// Passes without a lower loss of the watched cells after which learning ends.
    pub patience: usize,
}

impl Default for ExpressionMlpConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            hidden_size: 128,
            dropout: 0.0,
            learning_rate: 1e-3,
            weight_decay: 1e-2,
            batch_size: 64,
            epochs: 15,
            patience: 3,
        }
    }
}

/// A network of one hidden layer with ReLU.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpressionMlp {
    network: Network,
    n_genes: usize,
    n_classes: usize,
    /// Passes over the cells that the kept weights have seen.
    pub epochs: usize,
}

impl ExpressionMlp {
    /// Learn to name cells, log1p-CP10k `[cells, genes]`, with AdamW on the mean cross-entropy.
    ///
    /// With `watched` cells and their classes, the weights of the pass after which their cross-entropy was
    /// lowest are kept. The same seed gives the same network on any number of threads.
    ///
    /// # Errors
    /// [`Error::Input`] if labels do not fit the cells or are not below `n_classes`, fewer than two classes
    /// occur, a value is not finite, or a setting is out of its range.
    pub fn fit(
        matrix: &CsrMatrix,
        labels: &[usize],
        n_classes: usize,
        watched: Option<(&CsrMatrix, &[usize])>,
        config: &ExpressionMlpConfig,
    ) -> Result<Self> {
        Features::from(matrix).check(METHOD)?;
        check_labels(METHOD, labels, matrix.n_rows, n_classes)?;
        occurring_classes(METHOD, labels)?;
        if let Some((cells, labels)) = watched {
            Features::from(cells).check_columns(METHOD, matrix.n_cols)?;
            check_labels(METHOD, labels, cells.n_rows, n_classes)?;
        }
        config.check()?;
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let network = Network::new(matrix.n_cols, config.hidden_size, n_classes, &mut rng);
        let mut model = Self { network, n_genes: matrix.n_cols, n_classes, epochs: 0 };
        let mut best: Option<(f64, Self)> = None;
        let mut order: Vec<usize> = (0..matrix.n_rows).collect();
        let mut time = 0;
        for epoch in 1..=config.epochs {
            order.shuffle(&mut rng);
            for cells in order.chunks(config.batch_size) {
                time += 1;
                let batch = matrix.select_rows(cells);
                let of_batch: Vec<usize> = cells.iter().map(|&cell| labels[cell]).collect();
                let kept = config.kept(cells.len(), &mut rng);
                model.network.learn(&batch, &of_batch, &kept, &config.rule(time));
            }
            model.epochs = epoch;
            let Some((cells, labels)) = watched else { continue };
            let (_, loss) = model.network.probabilities(cells, labels);
            match &best {
                Some((least, kept)) if loss.is_nan() || loss >= *least => {
                    if epoch - kept.epochs >= config.patience {
                        break;
                    }
                }
                _ => best = Some((loss, model.clone())),
            }
        }
        Ok(best.map_or(model, |(_, kept)| kept))
    }

    /// Name cells of the same genes, log1p-CP10k `[cells, genes]`.
    ///
    /// # Errors
    /// [`Error::Input`] if the genes are not as many as were learned from, or a value is not finite.
    pub fn predict(&self, matrix: &CsrMatrix) -> Result<Prediction> {
        Features::from(matrix).check_columns(METHOD, self.n_genes)?;
        let (values, _) = self.network.probabilities(matrix, &[]);
        let (n_rows, n_cols) = (matrix.n_rows, self.n_classes);
        Ok(Prediction::most_probable(Dense { n_rows, n_cols, values }))
    }
}

impl ExpressionMlpConfig {
    fn check(&self) -> Result<()> {
        let counts = [self.hidden_size, self.batch_size, self.epochs, self.patience];
        let rates = self.learning_rate > 0.0 && self.weight_decay >= 0.0;
        if counts.iter().all(|&count| count > 0) && rates && (0.0..1.0).contains(&self.dropout) {
            return Ok(());
        }
        Err(Error::input(
            METHOD,
            "sizes, epochs, patience and learning rate above 0, and dropout from 0 to less than 1",
            format!("{self:?}"),
            "leave the defaults",
        ))
    }

    fn rule(&self, time: i32) -> AdamW {
        AdamW {
            learning_rate: self.learning_rate,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            weight_decay: self.weight_decay,
            time,
        }
    }

    /// Factors of the hidden layer, `[cells, hidden]`: 0 for what is left out, and more than 1 for the
    /// rest, so that sums stay as large.
    fn kept(&self, cells: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let scale = (1.0 / (1.0 - self.dropout)) as f32;
        let count = cells * self.hidden_size;
        if self.dropout == 0.0 {
            return vec![1.0; count];
        }
        (0..count).map(|_| if rng.random_bool(self.dropout) { 0.0 } else { scale }).collect()
    }
}
