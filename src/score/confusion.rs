//! The confusion matrix and its scores, with scikit-learn's conventions.

use std::fmt;

use serde::Serialize;

use crate::{Error, Result};

/// Counts of true against predicted classes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Confusion {
    /// Number of classes.
    pub n_classes: usize,
    /// Cells of true class `t` predicted as `p`, at `t * n_classes + p`.
    pub counts: Vec<usize>,
}

/// Precision, recall and F1 of one class, or of an average over classes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct ClassScores {
    /// Part of the cells predicted as this class that are of it; 0 where none is predicted.
    pub precision: f64,
    /// Part of the cells of this class that are found; 0 where there is none.
    pub recall: f64,
    /// Harmonic mean of the two; 0 where both are 0.
    pub f1: f64,
    /// Number of cells of this class.
    pub support: usize,
}

/// All scores of one set of predictions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// Names of the classes that occur in truth or prediction, with their scores.
    pub per_class: Vec<(String, ClassScores)>,
    /// Part of the cells that are predicted right.
    pub accuracy: f64,
    /// Mean recall over the classes that occur in the truth.
    pub balanced_accuracy: f64,
    /// Plain mean over the classes that occur in truth or prediction.
    pub macro_average: ClassScores,
    /// Mean weighted by the support of each class.
    pub weighted_average: ClassScores,
}

impl Confusion {
    /// Count true against predicted classes, each from 0 to `n_classes - 1`.
    ///
    /// # Errors
    /// [`Error::Input`] if the lengths differ, there are no cells, or a class is out of range.
    pub fn new(truth: &[usize], predicted: &[usize], n_classes: usize) -> Result<Self> {
        if truth.is_empty() || truth.len() != predicted.len() {
            return Err(Error::input(
                "scores",
                "one prediction for each labelled cell, and at least one cell",
                format!("{} predictions for {} cells", predicted.len(), truth.len()),
                "score cells that have both a label and a prediction",
            ));
        }
        let mut counts = vec![0; n_classes * n_classes];
        for (&truth, &predicted) in truth.iter().zip(predicted) {
            if truth.max(predicted) >= n_classes {
                return Err(Error::input(
                    "scores",
                    format!("classes below {n_classes}"),
                    truth.max(predicted),
                    "score with the classes that the model was trained on",
                ));
            }
            counts[truth * n_classes + predicted] += 1;
        }
        Ok(Self { n_classes, counts })
    }

    /// Number of cells of true class `truth` predicted as `predicted`.
    pub fn count(&self, truth: usize, predicted: usize) -> usize {
        self.counts[truth * self.n_classes + predicted]
    }

    /// Number of cells.
    pub fn total(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Part of the cells that are predicted right.
    pub fn accuracy(&self) -> f64 {
        let right: usize = (0..self.n_classes).map(|class| self.count(class, class)).sum();
        ratio(right, self.total())
    }

    /// Mean recall over the classes that occur in the truth.
    pub fn balanced_accuracy(&self) -> f64 {
        let recalls: Vec<f64> = (0..self.n_classes)
            .map(|class| self.class(class))
            .filter(|scores| scores.support > 0)
            .map(|scores| scores.recall)
            .collect();
        recalls.iter().sum::<f64>() / recalls.len() as f64
    }

    /// Precision, recall and F1 of one class.
    pub fn class(&self, class: usize) -> ClassScores {
        let right = self.count(class, class);
        let support: usize = (0..self.n_classes).map(|other| self.count(class, other)).sum();
        let predicted = self.predicted_as(class);
        ClassScores {
            precision: ratio(right, predicted),
            recall: ratio(right, support),
            f1: ratio(2 * right, support + predicted),
            support,
        }
    }

    /// Plain mean over the classes that occur in truth or prediction.
    pub fn macro_average(&self) -> ClassScores {
        self.average(|_| 1.0)
    }

    /// Mean over classes weighted by their support.
    pub fn weighted_average(&self) -> ClassScores {
        self.average(|scores| scores.support as f64)
    }

    /// All scores; `classes` holds the name of each class.
    ///
    /// # Errors
    /// [`Error::Input`] if there are not as many names as classes.
    pub fn scores(&self, classes: &[String]) -> Result<Scores> {
        if classes.len() != self.n_classes {
            return Err(Error::input(
                "scores",
                format!("{} class names", self.n_classes),
                classes.len(),
                "give the classes that the model was trained on",
            ));
        }
        let named = |class: usize| (classes[class].clone(), self.class(class));
        Ok(Scores {
            per_class: self.occurring().map(named).collect(),
            accuracy: self.accuracy(),
            balanced_accuracy: self.balanced_accuracy(),
            macro_average: self.macro_average(),
            weighted_average: self.weighted_average(),
        })
    }

    fn predicted_as(&self, class: usize) -> usize {
        (0..self.n_classes).map(|truth| self.count(truth, class)).sum()
    }

    /// Classes that occur in truth or prediction.
    fn occurring(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.n_classes)
            .filter(|&class| self.class(class).support + self.predicted_as(class) > 0)
    }

    fn average(&self, weight: impl Fn(&ClassScores) -> f64) -> ClassScores {
        let mut sum = ClassScores::default();
        let mut weights = 0.0;
        for scores in self.occurring().map(|class| self.class(class)) {
            let weight = weight(&scores);
            sum.precision += weight * scores.precision;
            sum.recall += weight * scores.recall;
            sum.f1 += weight * scores.f1;
            sum.support += scores.support;
            weights += weight;
        }
        ClassScores {
            precision: sum.precision / weights,
            recall: sum.recall / weights,
            f1: sum.f1 / weights,
            support: sum.support,
        }
    }
}

/// Division with scikit-learn's `zero_division=0`.
fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl fmt::Display for Scores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let averages = [("macro", &self.macro_average), ("weighted", &self.weighted_average)];
        let names = self.per_class.iter().map(|(name, _)| name.as_str());
        let width = names.chain(["balanced accuracy"]).map(|name| name.chars().count()).max();
        let width = width.unwrap_or_default();
        writeln!(f, "{:width$}  precision  recall      f1    cells", "")?;
        let line = |f: &mut fmt::Formatter<'_>, name: &str, scores: &ClassScores| {
            let ClassScores { precision, recall, f1, support } = scores;
            writeln!(f, "{name:width$}  {precision:9.4}  {recall:6.4}  {f1:6.4}  {support:7}")
        };
        for (name, scores) in &self.per_class {
            line(f, name, scores)?;
        }
        writeln!(f)?;
        for (name, scores) in averages {
            line(f, name, scores)?;
        }
        let support = self.macro_average.support;
        for (name, value) in
            [("accuracy", self.accuracy), ("balanced accuracy", self.balanced_accuracy)]
        {
            writeln!(f, "{name:width$}  {:9}  {:6}  {value:6.4}  {support:7}", "", "")?;
        }
        Ok(())
    }
}
