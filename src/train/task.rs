//! What is learned: labelled cells, ranked and split.

use super::labelled::Labelled;
use crate::cells::MatrixState;
use crate::config::Config;
use crate::rank::{Expression, GeneStatistics, GeneWeights, ReadableCells};
use crate::train::splits::{Split, split};
use crate::{Error, Result};

/// Cells to learn from and to be judged on, ranked by the measure of the training cells.
#[derive(Debug, Clone)]
pub struct Task {
    /// Names of the cells; every cell number below counts these.
    pub names: Vec<String>,
    /// Cell types.
    pub classes: Vec<String>,
    /// Class of each cell.
    pub labels: Vec<usize>,
    /// Weight of each class under `class_weights = "balanced"`: n / (K · n_class).
    pub balanced_weights: Vec<f32>,
    /// Which cells train, validate and test.
    pub split: Split,
    /// The cells as the network reads them.
    pub readable: ReadableCells,
    /// What ranking remembers of the training cells.
    pub statistics: GeneStatistics,
}

impl Task {
    /// Split labelled cells as `config` says and rank them; the gene table has `table_rows` rows.
    ///
    /// # Errors
    /// A split that cannot be made, values that cannot be ranked.
    pub fn prepare(labelled: &Labelled, table_rows: usize, config: &Config) -> Result<Self> {
        let split = held_out(config, labelled)?;
        let training = labelled.expression.select_rows(&split.train);
        let labels: Vec<usize> = split.train.iter().map(|&cell| labelled.labels[cell]).collect();
        let (rows, n_classes) = (&labelled.gene_rows, labelled.classes.len());
        let statistics = config.measure(&training, rows, table_rows, &labels, n_classes)?;
        let raw = (labelled.state == MatrixState::Counts).then_some(&labelled.matrix);
        let input = Expression { log_normalised: &labelled.expression, raw };
        let measure = statistics.spread.as_ref();
        let readable =
            ReadableCells::new(input, &labelled.gene_rows, &statistics, measure, &config.rank)?;
        Ok(Self {
            names: labelled.names.clone(),
            balanced_weights: balanced(&labelled.labels, labelled.classes.len(), &split.train),
            classes: labelled.classes.clone(),
            labels: labelled.labels.clone(),
            split,
            readable,
            statistics,
        })
    }

    /// Learn the genes' own weights of training and validation cells both.
    ///
    /// # Errors
    /// Those of [`GeneWeights::fit`].
    pub fn learn_gene_weights_of_all(&mut self) -> Result<()> {
        let cells = [self.split.train.as_slice(), &self.split.validation].concat();
        let labels: Vec<usize> = cells.iter().map(|&cell| self.labels[cell]).collect();
        let measured = &self.readable.measured;
        let weights = GeneWeights::fit(&measured.select(&cells), &labels, self.classes.len())?;
        self.readable.by_genes = weights.log_probabilities(measured);
        self.statistics.weights = Some(weights);
        Ok(())
    }

    /// Number of cells of each class among `cells`.
    pub fn class_counts(&self, cells: &[usize]) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for &cell in cells {
            counts[self.labels[cell]] += 1;
        }
        counts
    }
}

fn held_out(config: &Config, labelled: &Labelled) -> Result<Split> {
    let mut splits = split(&config.split, &labelled.labels, labelled.groups.as_deref())?;
    let (fold, folds) = (config.train.fold, splits.len());
    if fold >= folds {
        return Err(Error::input(
            "train.fold",
            format!("a fold below {folds}"),
            fold,
            "folds count from 0; raise split.folds or lower train.fold",
        ));
    }
    Ok(splits.swap_remove(fold))
}

/// The weight of each of `count` classes among the cells `train`: n / (K · n_class).
pub fn balanced(classes: &[usize], count: usize, train: &[usize]) -> Vec<f32> {
    let mut cells = vec![0usize; count];
    for &cell in train {
        cells[classes[cell]] += 1;
    }
    let whole = train.len() as f32 / count as f32;
    cells.iter().map(|&cells| whole / cells.max(1) as f32).collect()
}
