//! The figures of a report: what each shows, its name and its caption; drawn in the page and in files.

use std::collections::HashSet;

use super::numbers::score;
use super::palette::Palette;
use super::pick::{self, Answered};
use super::svg::Look;
use super::{confusion, forest, reliability, scatter, shots};
use crate::bench::summary::{SettingSummary, Summary};

/// What is drawn.
enum Subject<'a> {
    Forest(&'a SettingSummary),
    Shots(Vec<&'a SettingSummary>),
    Confusion(&'a SettingSummary, Answered<'a>),
    Reliability(&'a SettingSummary, Answered<'a>),
    Embeddings(&'a Summary),
}

/// A figure with something to show.
pub(super) struct Figure<'a> {
    /// Name of its files, without extension.
    pub(super) stem: String,
    /// What stands under it.
    pub(super) caption: String,
    subject: Subject<'a>,
}

impl Figure<'_> {
    /// Draw it; for a phone only what has another shape there.
    pub(super) fn svg(&self, palette: &Palette, look: Look) -> Option<String> {
        match &self.subject {
            Subject::Forest(setting) => forest::draw(setting, look),
            Subject::Shots(variants) => shots::draw(variants, look),
            _ if look == Look::Narrow => None,
            Subject::Confusion(setting, method) => confusion::draw(setting, *method, palette, look),
            Subject::Reliability(setting, method) => reliability::draw(setting, *method, look),
            Subject::Embeddings(summary) => scatter::draw_all(&summary.embeddings, palette),
        }
    }
}

/// The figures of one variant of a setting.
pub(super) struct VariantFigures<'a> {
    /// The variant.
    pub(super) setting: &'a SettingSummary,
    /// Macro-F1 of all methods.
    pub(super) forest: Option<Figure<'a>>,
    /// Confusion of the methods shown.
    pub(super) confusion: Vec<Figure<'a>>,
    /// Their reliability.
    pub(super) reliability: Vec<Figure<'a>>,
}

/// The figures of a setting with all its variants.
pub(super) struct SettingFigures<'a> {
    /// Name for links and files.
    pub(super) stem: String,
    /// Macro-F1 over cells a type, where the variants are that.
    pub(super) shots: Option<Figure<'a>>,
    /// The variants.
    pub(super) variants: Vec<VariantFigures<'a>>,
}

/// All figures of a report.
pub(super) struct Figures<'a> {
    /// Those of the settings.
    pub(super) settings: Vec<SettingFigures<'a>>,
    /// The embeddings side by side.
    pub(super) embeddings: Option<Figure<'a>>,
}

impl<'a> Figures<'a> {
    /// Find out what there is to draw.
    pub(super) fn of(summary: &'a Summary, palette: &Palette) -> Self {
        let mut stems = Stems::default();
        let with_ink = |figure: Figure<'a>| figure.svg(palette, Look::File).map(|_| figure);
        let mut names: Vec<&str> = Vec::new();
        for setting in &summary.settings {
            if !names.contains(&setting.setting.as_str()) {
                names.push(&setting.setting);
            }
        }
        let settings = names
            .into_iter()
            .map(|name| {
                let variants: Vec<&SettingSummary> =
                    summary.settings.iter().filter(|one| one.setting == name).collect();
                let shots = with_ink(Figure {
                    stem: stems.give(&[name, "macro-f1-over-cells"]),
                    caption: "Macro-F1 over labelled cells of each type. Controls are dashed; the band is \
                              screader’s deviation over trials."
                        .to_owned(),
                    subject: Subject::Shots(variants.clone()),
                });
                let variants = variants
                    .into_iter()
                    .map(|setting| of_variant(setting, &mut stems, &with_ink))
                    .collect();
                SettingFigures { stem: stems.give(&[name]), shots, variants }
            })
            .collect();
        let embeddings = with_ink(Figure {
            stem: stems.give(&["embeddings"]),
            caption: String::new(),
            subject: Subject::Embeddings(summary),
        });
        Self { settings, embeddings }
    }

    /// All of them, in the order of the page.
    pub(super) fn all(&self) -> impl Iterator<Item = &Figure<'a>> {
        let of_settings = self.settings.iter().flat_map(|setting| {
            let of_variants = setting.variants.iter().flat_map(|variant| {
                variant.forest.iter().chain(&variant.confusion).chain(&variant.reliability)
            });
            setting.shots.iter().chain(of_variants)
        });
        of_settings.chain(&self.embeddings)
    }
}

fn of_variant<'a>(
    setting: &'a SettingSummary,
    stems: &mut Stems,
    with_ink: &impl Fn(Figure<'a>) -> Option<Figure<'a>>,
) -> VariantFigures<'a> {
    let (name, variant) = (setting.setting.as_str(), setting.variant.as_str());
    let deviation = match setting.trials {
        1 => String::new(),
        trials => format!(" Lines are one standard deviation over {trials} trials."),
    };
    let forest = with_ink(Figure {
        stem: stems.give(&[name, variant, "macro-f1"]),
        caption: format!(
            "Macro-F1 of each method; controls are hollow, the dashed line is the best baseline.{deviation}"
        ),
        subject: Subject::Forest(setting),
    });
    let shown = pick::shown(setting);
    let mut each = |kind: &str,
                    more: &dyn Fn(Answered<'a>) -> String,
                    subject: &dyn Fn(Answered<'a>) -> Subject<'a>|
     -> Vec<Figure<'a>> {
        let figures = shown.iter().map(|one| Figure {
            stem: stems.give(&[name, variant, kind, &one.0.name]),
            caption: format!("{}{}", one.0.label, more(*one)),
            subject: subject(*one),
        });
        figures.filter_map(with_ink).collect()
    };
    let confusion = each("confusion", &|_| String::new(), &|one| Subject::Confusion(setting, one));
    let error = |(_, result): Answered<'a>| format!(", ECE {}", score(result.calibration_error));
    let reliability = each("reliability", &error, &|one| Subject::Reliability(setting, one));
    VariantFigures { setting, forest, confusion, reliability }
}

/// Names that are given once only and that every file system and link takes.
#[derive(Default)]
struct Stems(HashSet<String>);

impl Stems {
    fn give(&mut self, parts: &[&str]) -> String {
        let parts: Vec<String> =
            parts.iter().map(|part| plain(part)).filter(|part| !part.is_empty()).collect();
        let whole = if parts.is_empty() { "setting".to_owned() } else { parts.join("-") };
        let mut stem = whole.clone();
        let mut number = 1;
        while !self.0.insert(stem.clone()) {
            number += 1;
            stem = format!("{whole}-{number}");
        }
        stem
    }
}

/// Letters and digits of ASCII with single hyphens between, not too many.
fn plain(part: &str) -> String {
    const MOST: usize = 40;
    let mut text = String::new();
    for character in part.chars() {
        match character.to_ascii_lowercase() {
            letter if letter.is_ascii_alphanumeric() => text.push(letter),
            _ if text.ends_with('-') || text.is_empty() => {}
            _ => text.push('-'),
        }
        if text.len() >= MOST {
            break;
        }
    }
    text.trim_end_matches('-').to_owned()
}
