//! A setting in the page: its tables and figures, in words.

use super::classes::ClassTable;
use super::figures::{Figure, SettingFigures, VariantFigures};
use super::numbers::{NONE, amount, bytes, counted, deviation, score};
use super::palette::Palette;
use super::pick;
use super::svg::Look;
use super::verdict::{self, Outcome};
use crate::bench::summary::{MeanSd, MethodResult, MethodSummary, Novelty, Role, SettingSummary};

/// A setting with its variants.
pub(super) struct Section {
    /// What links point to.
    pub(super) id: String,
    /// Its name in words.
    pub(super) heading: String,
    /// What it asks.
    pub(super) question: String,
    /// Macro-F1 over cells a type.
    pub(super) shots: Option<FigureView>,
    /// One, or several with names.
    pub(super) variants: Vec<Variant>,
}

/// A figure in the page.
pub(super) struct FigureView {
    /// The drawing.
    pub(super) svg: String,
    /// The drawing for a phone, where it is another one.
    pub(super) narrow: Option<String>,
    /// What stands over it; may be empty.
    pub(super) title: String,
    /// What stands under it; may be empty.
    pub(super) caption: String,
    /// Name of its files; may be empty.
    pub(super) file: String,
}

/// One variant of a setting.
pub(super) struct Variant {
    /// Its name; empty where there is one.
    pub(super) heading: String,
    /// Cells and trials.
    pub(super) size: String,
    /// `ahead`, `behind` or `level`: how the sentence is marked.
    pub(super) mark: &'static str,
    /// Who wins.
    pub(super) sentence: String,
    /// The methods by falling macro-F1.
    pub(super) rows: Vec<Row>,
    /// Whether any method has numbers.
    pub(super) answered: bool,
    /// Whether any method has scores of new types.
    pub(super) novelty: bool,
    /// Macro-F1 of all methods.
    pub(super) forest: Option<FigureView>,
    /// Scores by class of screader and the best baseline.
    pub(super) classes: Option<ClassTable>,
    /// Confusion matrices.
    pub(super) confusion: Vec<FigureView>,
    /// Reliability diagrams.
    pub(super) reliability: Vec<FigureView>,
    /// Whether the details stand open.
    pub(super) open: bool,
}

/// A method's row in the tables.
pub(super) struct Row {
    /// Name.
    pub(super) label: String,
    /// `screader`, `control` or `baseline`.
    pub(super) role: &'static str,
    /// Whether it is to be judged.
    pub(super) ours: bool,
    /// Why it has no numbers, or why some are missing.
    pub(super) cannot: Option<String>,
    /// The numbers.
    pub(super) numbers: Option<Numbers>,
}

/// A number with its deviation.
pub(super) struct Score {
    /// Mean.
    pub(super) mean: String,
    /// Deviation over trials; may be empty.
    pub(super) deviation: String,
}

/// A method's numbers.
pub(super) struct Numbers {
    pub(super) macro_f1: Score,
    /// To the best baseline, with its interval.
    pub(super) difference: (String, String),
    pub(super) accuracy: Score,
    pub(super) balanced_accuracy: Score,
    pub(super) calibration_error: String,
    /// AUROC, recall at 95 %, own recall, own part kept.
    pub(super) novelty: [String; 4],
    /// Macro precision and recall; weighted precision, recall and F1.
    pub(super) parts: [Score; 5],
    pub(super) cells_per_second: String,
    pub(super) fit_seconds: String,
    pub(super) peak_memory: String,
}

impl Section {
    /// Put a setting in words.
    pub(super) fn of(figures: &SettingFigures<'_>, palette: &Palette) -> Self {
        let first = figures.variants.first().map(|variant| variant.setting);
        // Details of many variants would bury the rest.
        let open = figures.variants.len() <= 2;
        Self {
            id: figures.stem.clone(),
            heading: first.map_or_else(String::new, |one| capital(&pick::spoken(&one.setting))),
            question: first.map_or_else(String::new, |one| one.question.clone()),
            shots: figures.shots.as_ref().and_then(|figure| FigureView::of(figure, palette)),
            variants: figures.variants.iter().map(|one| Variant::of(one, palette, open)).collect(),
        }
    }
}

impl FigureView {
    fn of(figure: &Figure<'_>, palette: &Palette) -> Option<Self> {
        Some(Self {
            svg: figure.svg(palette, Look::Page)?,
            narrow: figure.svg(palette, Look::Narrow),
            title: String::new(),
            caption: figure.caption.clone(),
            file: figure.stem.clone(),
        })
    }

    /// With the caption as title: beside others of its kind.
    fn titled(figure: &Figure<'_>, palette: &Palette) -> Option<Self> {
        let view = Self::of(figure, palette)?;
        Some(Self { title: view.caption, caption: String::new(), ..view })
    }
}

impl Variant {
    fn of(figures: &VariantFigures<'_>, palette: &Palette, open: bool) -> Self {
        let setting = figures.setting;
        let titled = |figures: &[Figure<'_>]| -> Vec<FigureView> {
            figures.iter().filter_map(|one| FigureView::titled(one, palette)).collect()
        };
        let novelty = pick::answered(setting).iter().any(|(_, result)| result.novelty.is_some());
        Self {
            heading: capital(&setting.variant),
            size: format!(
                "{} named in {}",
                counted(setting.test_cells, "test cell"),
                counted(setting.trials, "trial")
            ),
            mark: match verdict::against_best(setting) {
                Outcome::Ahead => "ahead",
                Outcome::Behind => "behind",
                Outcome::Level | Outcome::NotCompared => "level",
            },
            sentence: match verdict::new_types(setting) {
                Some(more) => format!("{} {more}", verdict::sentence(setting)),
                None => verdict::sentence(setting),
            },
            rows: pick::ranked(setting).into_iter().map(|one| Row::of(setting, one)).collect(),
            answered: !pick::answered(setting).is_empty(),
            novelty,
            forest: figures.forest.as_ref().and_then(|figure| FigureView::of(figure, palette)),
            classes: ClassTable::of(setting, palette),
            confusion: titled(&figures.confusion),
            reliability: titled(&figures.reliability),
            open,
        }
    }
}

impl Row {
    fn of(setting: &SettingSummary, method: &MethodSummary) -> Self {
        let is_best = setting.best_baseline.as_ref() == Some(&method.name);
        let numbers = method.result.as_ref().map(|result| {
            Numbers::of(result, setting.trials, verdict::difference_words(method, is_best))
        });
        let silent = (numbers.is_none() && method.cannot_answer.is_none())
            .then(|| "it has no result".to_owned());
        Self {
            label: method.label.clone(),
            role: match method.role {
                Role::Screader => "screader",
                Role::Control => "control",
                Role::Baseline => "baseline",
            },
            ours: method.role == Role::Screader,
            cannot: method.cannot_answer.clone().or(silent),
            numbers,
        }
    }
}

impl Numbers {
    fn of(result: &MethodResult, trials: usize, difference: (String, String)) -> Self {
        let over =
            |value: MeanSd| Score { mean: score(value.mean), deviation: deviation(value, trials) };
        let fit = result.fit_seconds;
        Self {
            macro_f1: over(result.macro_f1),
            difference,
            accuracy: over(result.accuracy),
            balanced_accuracy: over(result.balanced_accuracy),
            calibration_error: score(result.calibration_error),
            novelty: novelty(result.novelty),
            parts: [
                result.macro_precision,
                result.macro_recall,
                result.weighted_precision,
                result.weighted_recall,
                result.weighted_f1,
            ]
            .map(over),
            cells_per_second: amount(result.cells_per_second),
            fit_seconds: match trials > 1 && fit.sd.is_finite() {
                true => format!("{} ± {}", amount(fit.mean), amount(fit.sd)),
                false => amount(fit.mean),
            },
            peak_memory: bytes(result.peak_memory),
        }
    }
}

fn novelty(novelty: Option<Novelty>) -> [String; 4] {
    let number = |value: Option<f64>| value.map_or_else(|| NONE.to_owned(), score);
    [
        number(novelty.map(|one| one.auroc)),
        number(novelty.map(|one| one.recall_at_95)),
        number(novelty.and_then(|one| one.recall)),
        number(novelty.and_then(|one| one.kept)),
    ]
}

/// With a capital first letter.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
