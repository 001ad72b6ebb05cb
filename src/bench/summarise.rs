//! From records to a summary.

use super::bootstrap::Paired;
use super::outcome::Record;
use super::summary::{
    ClassResult, MeanSd, MethodResult, MethodSummary, Novelty, ReliabilityBin, Role, SettingSummary,
};
use crate::Result;
use crate::score::{Confusion, expected_calibration_error, novelty_auroc, novelty_recall};

/// Bins of the calibration error, as in Guo et al. 2017.
const BINS: usize = 15;
/// Part of the known cells that a threshold of "unknown" must keep, for comparison.
const KEPT: f64 = 0.95;

/// The records of one method in the trials of a setting, in their order.
pub struct MethodRecords {
    /// One a trial.
    pub records: Vec<Record>,
}

/// Sum up one variant of a setting; `methods` all have records of the same trials.
///
/// # Errors
/// Records that contradict each other.
pub fn summarise(
    setting: &str,
    variant: &str,
    question: &str,
    methods: &[MethodRecords],
    seed: u64,
) -> Result<SettingSummary> {
    let known: Vec<Known> = methods.iter().map(|method| Known::of(&method.records)).collect();
    let mut results =
        methods.iter().zip(&known).map(|(m, k)| m.result(k)).collect::<Result<Vec<_>>>()?;
    let best = (0..methods.len())
        .filter(|&at| methods[at].records.first().is_some_and(|one| one.role == Role::Baseline))
        .filter_map(|at| Some((at, results[at].as_ref()?.macro_f1.mean)))
        // Of equals the first.
        .fold(None, |best: Option<(usize, f64)>, one| match best {
            Some(best) if best.1 >= one.1 => Some(best),
            _ => Some(one),
        })
        .map(|(at, _)| at);
    if let Some(best) = best {
        let to = methods[best].records.first().map_or("", |one| one.method.as_str());
        for at in (0..methods.len()).filter(|&at| at != best) {
            // A method that could not answer in every trial has other cells.
            if let Some(result) = &mut results[at]
                && known[at].truth == known[best].truth
            {
                let paired = Paired {
                    truth: &known[at].truth,
                    method: &known[at].predicted,
                    other: &known[best].predicted,
                    n_classes: known[at].n_classes,
                };
                result.difference = Some(paired.difference(to, seed)?);
            }
        }
    }
    let first = methods.iter().find_map(|method| method.records.first());
    let summaries = methods.iter().zip(results).filter_map(|(method, result)| {
        let first = method.records.first()?;
        Some(MethodSummary {
            name: first.method.clone(),
            label: first.label.clone(),
            role: first.role,
            cannot_answer: method.records.iter().find_map(|one| one.cannot_answer.clone()),
            result,
        })
    });
    Ok(SettingSummary {
        setting: setting.to_owned(),
        variant: variant.to_owned(),
        question: question.to_owned(),
        trials: methods.iter().map(|method| method.records.len()).max().unwrap_or(0),
        test_cells: known.iter().map(|known| known.truth.len()).max().unwrap_or(0),
        classes: first.map(|one| one.classes.clone()).unwrap_or_default(),
        methods: summaries.collect(),
        best_baseline: best.and_then(|at| Some(methods[at].records.first()?.method.clone())),
    })
}

/// The test cells of types that were learned, of all trials together.
#[derive(Default)]
struct Known {
    truth: Vec<usize>,
    predicted: Vec<usize>,
    confidence: Vec<f32>,
    n_classes: usize,
}

impl Known {
    fn of(records: &[Record]) -> Self {
        let mut all = Self::default();
        for record in records.iter().filter(|record| record.cannot_answer.is_none()) {
            let one = Self::of_trial(record);
            all.truth.extend(one.truth);
            all.predicted.extend(one.predicted);
            all.confidence.extend(one.confidence);
            all.n_classes = one.n_classes;
        }
        all
    }

    /// In `unseen-type` the cells of the type that was left out are judged apart; elsewhere a type that
    /// happens to have no training cell counts as any other.
    fn of_trial(record: &Record) -> Self {
        let counts = |&cell: &usize| !is_new(record, cell);
        let cells: Vec<usize> = (0..record.truth.len()).filter(counts).collect();
        Self {
            truth: cells.iter().map(|&cell| record.truth[cell]).collect(),
            predicted: cells.iter().map(|&cell| record.predicted[cell]).collect(),
            confidence: cells.iter().map(|&cell| record.confidence[cell]).collect(),
            n_classes: record.classes.len(),
        }
    }

    fn right(&self) -> Vec<bool> {
        self.truth.iter().zip(&self.predicted).map(|(truth, said)| truth == said).collect()
    }

    fn confusion(&self) -> Result<Confusion> {
        Confusion::new(&self.truth, &self.predicted, self.n_classes)
    }
}

fn is_new(record: &Record, cell: usize) -> bool {
    record.setting == "unseen-type" && !record.learned.contains(&record.truth[cell])
}

impl MethodRecords {
    /// What the method reached; nothing where it could not answer.
    fn result(&self, known: &Known) -> Result<Option<MethodResult>> {
        if known.truth.is_empty() {
            return Ok(None);
        }
        let answered: Vec<&Record> =
            self.records.iter().filter(|one| one.cannot_answer.is_none()).collect();
        let confusions = answered
            .iter()
            .map(|record| Known::of_trial(record))
            .filter(|trial| !trial.truth.is_empty())
            .map(|trial| trial.confusion())
            .collect::<Result<Vec<_>>>()?;
        let over = |score: &dyn Fn(&Confusion) -> f64| mean_sd(confusions.iter().map(score));
        let whole = known.confusion()?;
        let read_seconds: f64 = answered.iter().map(|record| record.read_seconds).sum();
        let named: usize = answered.iter().map(|record| record.truth.len()).sum();
        Ok(Some(MethodResult {
            accuracy: over(&|one| one.accuracy()),
            balanced_accuracy: over(&|one| one.balanced_accuracy()),
            macro_precision: over(&|one| one.macro_average().precision),
            macro_recall: over(&|one| one.macro_average().recall),
            macro_f1: over(&|one| one.macro_average().f1),
            weighted_precision: over(&|one| one.weighted_average().precision),
            weighted_recall: over(&|one| one.weighted_average().recall),
            weighted_f1: over(&|one| one.weighted_average().f1),
            difference: None,
            calibration_error: expected_calibration_error(&known.confidence, &known.right(), BINS)?,
            reliability: reliability(known),
            cells_per_second: named as f64 / read_seconds.max(1e-9),
            fit_seconds: mean_sd(answered.iter().map(|record| record.fit_seconds)),
            peak_memory: answered.iter().filter_map(|record| record.peak_memory).max(),
            per_class: per_class(&whole, &answered[0].classes),
            confusion: whole.counts,
            novelty: novelty(&answered),
        }))
    }
}

fn per_class(confusion: &Confusion, classes: &[String]) -> Vec<ClassResult> {
    let result = |(class, name): (usize, &String)| {
        let scores = confusion.class(class);
        let named: usize = (0..classes.len()).map(|truth| confusion.count(truth, class)).sum();
        (scores.support + named > 0).then(|| ClassResult {
            class: name.clone(),
            precision: scores.precision,
            recall: scores.recall,
            f1: scores.f1,
            cells: scores.support,
        })
    };
    classes.iter().enumerate().filter_map(result).collect()
}

/// Mean confidence and accuracy of the cells in each bin of equal width, closed on the right.
fn reliability(known: &Known) -> Vec<ReliabilityBin> {
    let mut bins = vec![(0.0, 0usize, 0usize); BINS];
    for (&confidence, right) in known.confidence.iter().zip(known.right()) {
        let bin = (f64::from(confidence) * BINS as f64).ceil() as usize;
        let (sum, of_right, cells) = &mut bins[bin.saturating_sub(1).min(BINS - 1)];
        *sum += f64::from(confidence);
        *of_right += usize::from(right);
        *cells += 1;
    }
    bins.into_iter()
        .filter(|(_, _, cells)| *cells > 0)
        .map(|(sum, right, cells)| ReliabilityBin {
            confidence: sum / cells as f64,
            accuracy: right as f64 / cells as f64,
            cells,
        })
        .collect()
}

/// Means over the trials that held cells of a type left out.
fn novelty(records: &[&Record]) -> Option<Novelty> {
    let mut trials = Vec::new();
    for record in records {
        let (new, known): (Vec<usize>, Vec<usize>) =
            (0..record.truth.len()).partition(|&cell| is_new(record, cell));
        let called_unknown = |cells: &[usize]| {
            record.unknown.as_ref().map(|unknown| {
                let called = cells.iter().filter(|&&cell| unknown[cell]).count();
                called as f64 / cells.len() as f64
            })
        };
        let familiarity = |cells: &[usize]| -> Vec<f32> {
            let of = |&cell: &usize| match &record.novelty {
                Some(novelty) => -novelty[cell],
                None => record.confidence[cell],
            };
            cells.iter().map(of).collect()
        };
        let (of_new, of_known) = (familiarity(&new), familiarity(&known));
        if let Some(auroc) = novelty_auroc(&of_new, &of_known) {
            let recall_at_95 = novelty_recall(&of_new, &of_known, KEPT).unwrap_or(0.0);
            let kept = called_unknown(&known).map(|lost| 1.0 - lost);
            trials.push(Novelty { auroc, recall_at_95, recall: called_unknown(&new), kept });
        }
    }
    let count = trials.len() as f64;
    let mean = |part: fn(&Novelty) -> Option<f64>| {
        let values: Option<Vec<f64>> = trials.iter().map(part).collect();
        values.map(|values| values.iter().sum::<f64>() / count)
    };
    (!trials.is_empty()).then(|| Novelty {
        auroc: mean(|trial| Some(trial.auroc)).unwrap_or(0.0),
        recall_at_95: mean(|trial| Some(trial.recall_at_95)).unwrap_or(0.0),
        recall: mean(|trial| trial.recall),
        kept: mean(|trial| trial.kept),
    })
}

fn mean_sd(values: impl Iterator<Item = f64>) -> MeanSd {
    let values: Vec<f64> = values.collect();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count.max(1.0);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    MeanSd { mean, sd: if count > 1.0 { (squares / (count - 1.0)).sqrt() } else { 0.0 } }
}
