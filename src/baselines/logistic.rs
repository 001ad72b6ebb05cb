//! Multinomial logistic regression with an L2 penalty, as scikit-learn's `LogisticRegression` has it.

use rayon::prelude::*;
use screader_kernels::host::weighted_rows;
use serde::{Deserialize, Serialize};

use super::Prediction;
use super::design::{Design, Moments, add_scaled, sum_in_order};
use super::features::{Features, check_labels, occurring_classes};
use super::lbfgs::minimise;
use super::prediction::softmax;
use crate::cells::Dense;
use crate::{Error, Result};

const METHOD: &str = "logistic regression";

/// Settings of [`LogisticRegression`], with scikit-learn's meaning and defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogisticConfig {
    /// Weight of the cells against the penalty.
    pub c: f64,
    /// Steps of the optimiser at most.
    pub max_iterations: usize,
    /// It stops where no entry of the gradient, per cell, is larger.
    pub tolerance: f64,
    /// Whether columns are scaled to zero mean and unit variance; sparse input stays sparse.
    pub standardise: bool,
}

impl Default for LogisticConfig {
    fn default() -> Self {
        Self { c: 1.0, max_iterations: 1000, tolerance: 1e-5, standardise: false }
    }
}

/// A fitted model: `P(class | x) = softmax(x · weights + intercept)`.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticRegression {
    /// Coefficients, `[columns, classes]`, of columns as they were given; 0 for a class that no training
    /// cell had.
    pub weights: Dense,
    /// Intercepts, `[classes]`; minus infinity for a class that no training cell had.
    pub intercepts: Vec<f64>,
    /// Steps that the optimiser took.
    pub iterations: usize,
}

impl LogisticRegression {
    /// Fit `W` and `b` to training rows, `[cells, genes]` or `[cells, dim]`, with their classes: the
    /// minimum of `C · Σ cross-entropy + ½‖W‖²`, by L-BFGS. The intercept `b` is not penalised. Of two classes
    /// scikit-learn penalises the difference `w` of both columns, which are `±½ w`: so `½‖w‖²`, not `¼‖w‖²`.
    ///
    /// The fit does not depend on the number of threads. Classes that no training cell has get
    /// probability 0.
    ///
    /// # Errors
    /// [`Error::Input`] if labels do not fit the rows or are not below `n_classes`, fewer than two classes
    /// occur, a value is not finite, or a setting is out of its range.
    pub fn fit<'a>(
        rows: impl Into<Features<'a>>,
        labels: &[usize],
        n_classes: usize,
        config: &LogisticConfig,
    ) -> Result<Self> {
        let rows = rows.into();
        rows.check(METHOD)?;
        Self::fit_scaled(rows, &Moments::of(rows), labels, n_classes, config)
    }

    /// Fit with the moments that `standardise` is to use, which may not be those of the rows.
    pub(super) fn fit_scaled(
        rows: Features,
        moments: &Moments,
        labels: &[usize],
        n_classes: usize,
        config: &LogisticConfig,
    ) -> Result<Self> {
        check_labels(METHOD, labels, rows.n_rows(), n_classes)?;
        let occurring = occurring_classes(METHOD, labels)?;
        config.check()?;
        // Half of the weight against the penalty is twice the penalty.
        let c = if occurring.len() == 2 { config.c / 2.0 } else { config.c };
        let config = &LogisticConfig { c, ..config.clone() };
        let scales = config.scales(&moments.variances, labels.len(), occurring.len());
        let place = |label: &usize| occurring.partition_point(|class| class < label);
        let mut objective = Objective {
            design: Design::new(rows, moments, &scales.columns),
            targets: labels.iter().map(place).collect(),
            classes: occurring.len(),
            width: occurring.len().next_multiple_of(LANES),
            config,
            scales: &scales,
            of_scores: Vec::new(),
        };
        let mut point = vec![0f32; (rows.n_cols() + 1) * objective.width];
        let width = objective.width;
        let iterations = minimise(
            &mut point,
            config.max_iterations,
            |point, gradient| objective.evaluate(point, gradient),
            |gradient| {
                scales.largest(gradient, width) <= config.tolerance * config.c * labels.len() as f64
            },
        );
        let (weights, intercepts) = objective.model(&point, &moments.means, &occurring, n_classes);
        Ok(Self { weights, intercepts, iterations })
    }

    /// Name rows of the same columns, `[cells, genes]` or `[cells, dim]`.
    ///
    /// # Errors
    /// [`Error::Input`] if the columns are not as many as were learned from, or a value is not finite.
    pub fn predict<'a>(&self, rows: impl Into<Features<'a>>) -> Result<Prediction> {
        let rows = rows.into();
        rows.check_columns(METHOD, self.weights.n_rows)?;
        let classes = self.weights.n_cols;
        let mut values = vec![0f32; rows.n_rows() * classes];
        values.par_chunks_mut(classes).enumerate().for_each(|(row, scores)| {
            let mut sums = self.intercepts.clone();
            match rows {
                Features::Sparse(matrix) => {
                    let starts = &matrix.indptr[row..row + 2];
                    let (indices, data) = (&matrix.indices, &matrix.data);
                    weighted_rows(scores, starts, indices, data, &self.weights.values, classes);
                    add_scaled(&mut sums, scores, 1.0);
                }
                Features::Dense(dense) => {
                    let row = &dense.values[row * dense.n_cols..][..dense.n_cols];
                    for (value, weights) in row.iter().zip(self.weights.values.chunks(classes)) {
                        add_scaled(&mut sums, weights, f64::from(*value));
                    }
                }
            }
            scores.iter_mut().zip(sums).for_each(|(score, sum)| *score = sum as f32);
            softmax(scores);
        });
        let probabilities = Dense { n_rows: rows.n_rows(), n_cols: classes, values };
        Ok(Prediction::most_probable(probabilities))
    }
}

impl LogisticConfig {
    fn check(&self) -> Result<()> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        if positive(self.c) && positive(self.tolerance) && self.max_iterations > 0 {
            return Ok(());
        }
        Err(Error::input(
            METHOD,
            "c, tolerance and max_iterations above 0",
            format!("{}, {} and {}", self.c, self.tolerance, self.max_iterations),
            "leave the defaults",
        ))
    }

    /// What to divide columns by. Where that is ours to choose the minimum does not depend on it, but the
    /// number of steps does: they are fewest where every weight bends the objective equally.
    fn scales(&self, variances: &[f64], cells: usize, classes: usize) -> Scales {
        // The mean of p (1 − p) over cells and classes as the fit goes on.
        let doubt = DOUBT / classes as f64;
        let weight = self.c * cells as f64 * doubt;
        if self.standardise {
            let deviation = |variance: &f64| if *variance > 0.0 { variance.sqrt() } else { 1.0 };
            let columns: Vec<f64> = variances.iter().map(deviation).collect();
            return Scales { penalties: vec![1.0; columns.len()], columns };
        }
        let columns: Vec<f64> =
            variances.iter().map(|variance| (1.0 + weight * variance).sqrt()).collect();
        Scales { penalties: columns.iter().map(|scale| scale.powi(-2)).collect(), columns }
    }
}

/// How much of a class's variance at the start is taken to be left where the fit ends.
const DOUBT: f64 = 0.1;

/// Classes are filled up to a multiple of this, with columns that stay 0.
const LANES: usize = 8;

/// What columns are divided by, and how a weight of the scaled column is penalised.
struct Scales {
    columns: Vec<f64>,
    penalties: Vec<f64>,
}

impl Scales {
    /// The largest entry of the gradient, in units of the model: weights of columns as they are penalised.
    fn largest(&self, gradient: &[f32], width: usize) -> f64 {
        let largest = |row: &[f32]| f64::from(row.iter().fold(0f32, |a, b| a.max(b.abs())));
        let rows = gradient.chunks_exact(width).zip(&self.penalties);
        let of_weights = rows.map(|(row, penalty)| largest(row) / penalty.sqrt());
        let of_intercept = largest(&gradient[self.penalties.len() * width..]);
        of_weights.fold(of_intercept, f64::max)
    }
}

struct Objective<'a> {
    design: Design,
    /// Class of each cell among those that occur.
    targets: Vec<usize>,
    classes: usize,
    /// Classes, filled up.
    width: usize,
    config: &'a LogisticConfig,
    scales: &'a Scales,
    of_scores: Vec<f32>,
}

impl Objective<'_> {
    /// The objective at `point`, `[columns + 1, width]` with the intercept last, and its gradient.
    fn evaluate(&mut self, point: &[f32], gradient: &mut [f32]) -> f64 {
        let (width, classes, c) = (self.width, self.classes, self.config.c);
        let (weights, intercept) = point.split_at(self.design.n_cols() * width);
        let mut shift: Vec<f64> =
            self.design.offsets(weights, width).iter().map(|offset| -offset).collect();
        add_scaled(&mut shift, intercept, 1.0);
        self.of_scores.resize(self.targets.len() * width, 0.0);
        let targets = &self.targets;
        let visit = |first: usize, scores: &mut [f32]| {
            let mut loss = 0f64;
            let mut sums = vec![0f64; width];
            for (row, &target) in scores.chunks_exact_mut(width).zip(&targets[first..]) {
                let (row, filling) = row.split_at_mut(classes);
                row.iter_mut().zip(&shift).for_each(|(s, b)| *s = (f64::from(*s) + b) as f32);
                let own = f64::from(row[target]);
                loss += softmax(row) - own;
                row[target] -= 1.0;
                row.iter_mut().for_each(|slope| *slope *= c as f32);
                filling.fill(0.0);
                add_scaled(&mut sums, row, 1.0);
            }
            (loss, sums)
        };
        let parts = self.design.score(weights, width, &mut self.of_scores, visit);
        let (losses, sums): (Vec<f64>, Vec<Vec<f64>>) = parts.into_iter().unzip();
        let sums = sum_in_order(sums, width);
        let (of_weights, of_intercept) = gradient.split_at_mut(weights.len());
        self.design.gradient(&self.of_scores, &sums, width, of_weights);
        of_intercept.iter_mut().zip(&sums).for_each(|(slope, sum)| *slope = *sum as f32);
        let rows = of_weights.par_chunks_mut(width).zip(weights.par_chunks(width));
        let penalise = |((slopes, weights), penalty): ((&mut [f32], &[f32]), &f64)| {
            let mut squares = 0f64;
            for (slope, &weight) in slopes.iter_mut().zip(weights) {
                *slope += *penalty as f32 * weight;
                squares += f64::from(weight).powi(2);
            }
            penalty * squares
        };
        let squares: Vec<f64> = rows.zip(&self.scales.penalties).map(penalise).collect();
        c * losses.iter().sum::<f64>() + squares.iter().sum::<f64>() / 2.0
    }

    /// Weights and intercepts in units of the columns as they were given, of all classes.
    fn model(
        &self,
        point: &[f32],
        means: &[f64],
        occurring: &[usize],
        n_classes: usize,
    ) -> (Dense, Vec<f64>) {
        let (n_cols, width) = (self.design.n_cols(), self.width);
        let mut values = vec![0f32; n_cols * n_classes];
        let mut intercepts = vec![f64::NEG_INFINITY; n_classes];
        for (place, &class) in occurring.iter().enumerate() {
            intercepts[class] = f64::from(point[n_cols * width + place]);
            for (column, (scale, mean)) in self.scales.columns.iter().zip(means).enumerate() {
                let weight = (f64::from(point[column * width + place]) / scale) as f32;
                values[column * n_classes + class] = weight;
                // Of the weight as it is stored, so that its rounding does not move the centre.
                intercepts[class] -= mean * f64::from(weight);
            }
        }
        (Dense { n_rows: n_cols, n_cols: n_classes, values }, intercepts)
    }
}
