//! What the validation cells teach about confidence.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use super::evaluate::add_gene_weights;
use super::novelty::Novelty;
use super::task::Task;
use crate::Result;
use crate::cells::Dense;
use crate::config::InferConfig;
use crate::score::{
    UnknownThreshold, expected_calibration_error, fit_temperature, macro_losses,
    softmax_confidence, unknown_threshold,
};

/// Bins of the reported calibration error, as in Guo et al. 2017.
const BINS: usize = 15;

/// Weights of the text beside the genes' own that are tried, falling, by the loss on the validation cells averaged
/// over types: by the cells alone, those of rare types would have no say.
const TEXT_WEIGHTS: [f32; 5] = [1.0, 0.5, 0.25, 0.1, 0.0];

/// Weight of the text where no validation cell has tested what was learned of it: of a few cells a network
/// learns to be surer than it should.
const UNTESTED_TEXT_WEIGHT: f32 = 0.0;

/// How scores become a confidence, and below which confidence a cell is called unknown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Times that the network's log-probabilities count beside those of the genes' own weights.
    pub text_weight: f32,
    /// Divides the class scores before softmax.
    pub temperature: f64,
    /// The confidence below which the answer is "unknown".
    pub unknown: UnknownThreshold,
    /// What is usual among the validation cells, where it can be told how far they lie from the types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub novelty: Option<Novelty>,
    /// Expected calibration error on the validation cells, before and after.
    pub expected_error: [f64; 2],
    /// Number of validation cells.
    pub cells: usize,
}

impl Display for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnknownThreshold { threshold, precision, coverage, reached_target } = self.unknown;
        let novelty = match self.novelty {
            Some(novelty) => format!(", and above a novelty of {:.1}", novelty.limit),
            None => String::new(),
        };
        write!(
            f,
            "\"unknown\" below {threshold:.2}, which keeps {:.0} % of {} validation cells, {:.1} % of \
             them right{}{novelty}; calibration error {:.3}, {:.3} before",
            100.0 * coverage,
            self.cells,
            100.0 * precision,
            if reached_target { "" } else { " (under infer.unknown_precision)" },
            self.expected_error[1],
            self.expected_error[0],
        )
    }
}

impl Calibration {
    /// Choose text weight, temperature and thresholds on the validation cells of `task`, at least one, by the
    /// class scores that the network gives them, `[cells, classes]`, and by their distances from the types.
    ///
    /// # Errors
    /// A score that is not finite.
    pub fn fit(task: &Task, network: &Dense, config: &InferConfig) -> Result<Self> {
        let cells = &task.split.validation;
        let truth: Vec<usize> = cells.iter().map(|&cell| task.labels[cell]).collect();
        let by_genes = task.readable.by_genes.as_ref();
        let try_weight = |weight: f32| -> Result<Tried> {
            let mut logits = network.clone();
            add_gene_weights(&mut logits.values, by_genes, cells, weight);
            let temperature = fit_temperature(&logits, &truth)?;
            let losses = macro_losses(&logits, &truth, temperature);
            Ok(Tried { weight, losses, temperature, logits })
        };
        let weights = if by_genes.is_some() { &TEXT_WEIGHTS[..] } else { &TEXT_WEIGHTS[..1] };
        let tried: Result<Vec<Tried>> = weights.iter().map(|&weight| try_weight(weight)).collect();
        let Tried { weight: text_weight, temperature, logits, .. } = least_that_does(tried?);
        let judged = |temperature: f64| -> Result<(Vec<f32>, Vec<bool>)> {
            let answers = softmax_confidence(&logits, temperature)?;
            let right = answers.iter().zip(&truth).map(|(answer, truth)| answer.0 == *truth);
            let right = right.collect();
            Ok((answers.into_iter().map(|answer| answer.1).collect(), right))
        };
        let (before, right) = judged(1.0)?;
        let (after, _) = judged(temperature)?;
        let distances = task.readable.distances.as_ref();
        let distances =
            distances.map(|all| cells.iter().map(|&cell| all[cell]).collect::<Vec<f32>>());
        Ok(Self {
            text_weight,
            temperature,
            unknown: unknown_threshold(&after, &right, config.unknown_precision)?,
            novelty: distances.and_then(|one| Novelty::fit(&after, &one, config.novelty_kept)),
            expected_error: [
                expected_calibration_error(&before, &right, BINS)?,
                expected_calibration_error(&after, &right, BINS)?,
            ],
            cells: cells.len(),
        })
    }

    /// Times that the network's log-probabilities count beside the genes' own, tested or not.
    pub fn text_weight(calibration: Option<&Self>) -> f32 {
        calibration.map_or(UNTESTED_TEXT_WEIGHT, |calibration| calibration.text_weight)
    }
}

/// A weight of the text, and what came of it on the validation cells.
struct Tried {
    weight: f32,
    /// What each cell adds to the loss.
    losses: Vec<f64>,
    temperature: f64,
    logits: Dense,
}

/// Of weights that fall, take the least whose loss is not above the lowest by more than one standard error of the
/// difference (Breiman et al. 1984): genes that training knew speak for themselves unless the text is shown to add.
fn least_that_does(mut tried: Vec<Tried>) -> Tried {
    let loss = |one: &Tried| one.losses.iter().sum::<f64>();
    let mut best = 0;
    for place in 1..tried.len() {
        if loss(&tried[place]) < loss(&tried[best]) {
            best = place;
        }
    }
    let does = |one: &Tried| {
        let apart = one.losses.iter().zip(&tried[best].losses).map(|(a, b)| a - b);
        let apart: Vec<f64> = apart.collect();
        let (sum, count) = (apart.iter().sum::<f64>(), apart.len() as f64);
        let squares: f64 = apart.iter().map(|one| (one - sum / count).powi(2)).sum();
        sum <= (squares * count / (count - 1.0).max(1.0)).sqrt()
    };
    let least = tried.iter().rposition(does).unwrap_or(best);
    tried.swap_remove(least)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rank::{GeneMedians, GeneStatistics, ReadableCells};
    use crate::train::splits::Split;

    const CELLS: usize = 60;

    fn config() -> InferConfig {
        InferConfig { unknown_precision: 0.9, novelty_kept: 0.95 }
    }

    /// Cells of three types, all of them to validate by; `scores` are the genes' log-probabilities.
    fn task(scores: impl Fn(usize, usize) -> f32) -> Task {
        let labels: Vec<usize> = (0..CELLS).map(|cell| cell % 3).collect();
        Task {
            names: (0..CELLS).map(|cell| cell.to_string()).collect(),
            classes: ["a", "b", "c"].map(String::from).to_vec(),
            balanced_weights: vec![1.0; 3],
            labels,
            split: Split { train: vec![], validation: (0..CELLS).collect(), test: vec![] },
            readable: ReadableCells { by_genes: Some(dense(scores)), ..ReadableCells::default() },
            statistics: GeneStatistics {
                medians: GeneMedians(Vec::new()),
                highly_variable: None,
                spread: None,
                weights: None,
                types: None,
            },
        }
    }

    fn dense(scores: impl Fn(usize, usize) -> f32) -> Dense {
        let values = (0..CELLS).flat_map(|cell| (0..3).map(move |class| (cell, class)));
        let values = values.map(|(cell, class)| scores(cell, class)).collect();
        Dense { n_rows: CELLS, n_cols: 3, values }
    }

    /// Log-probabilities that favour the right class, but in every `wrong`-th cell the next.
    fn witness(wrong: usize) -> impl Fn(usize, usize) -> f32 {
        move |cell, class| {
            let favoured = (cell + usize::from(cell % wrong == 0)) % 3;
            if class == favoured { -0.1 } else { -3.0 }
        }
    }

    #[test]
    fn the_text_counts_as_much_as_it_has_shown_to_know() {
        let weight = |genes: usize, text: usize| {
            let calibration =
                Calibration::fit(&task(witness(genes)), &dense(witness(text)), &config());
            calibration.unwrap().text_weight
        };
        assert_eq!(
            weight(3, 11),
            1.0,
            "text that is nearly always right beside genes that are not"
        );
        assert!(weight(20, 2) <= 0.25, "text that is wrong in every other cell");
    }

    #[test]
    fn untested_text_counts_little_and_text_alone_counts_whole() {
        assert_eq!(Calibration::text_weight(None), UNTESTED_TEXT_WEIGHT);
        let mut alone = task(witness(3));
        alone.readable.by_genes = None;
        let calibration = Calibration::fit(&alone, &dense(witness(5)), &config()).unwrap();
        assert_eq!(calibration.text_weight, 1.0);
        assert_eq!(Calibration::text_weight(Some(&calibration)), 1.0);
    }
}
