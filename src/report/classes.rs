//! Scores by class in the page: screader and the best baseline side by side.

use super::numbers::{NONE, count, score, signed};
use super::page::css;
use super::palette::Palette;
use super::pick::{self, Answered};
use crate::bench::summary::{ClassResult, SettingSummary};

/// Scores by class of one or two methods.
pub(super) struct ClassTable {
    /// Names of the methods.
    pub(super) methods: Vec<String>,
    /// The classes, commonest first.
    pub(super) rows: Vec<ClassRow>,
}

/// A class.
pub(super) struct ClassRow {
    pub(super) colour: String,
    pub(super) name: String,
    pub(super) cells: String,
    /// Precision, recall and F1 of each method.
    pub(super) scores: Vec<[String; 3]>,
    /// F1 of the first less that of the second, where there are two.
    pub(super) difference: String,
}

impl ClassTable {
    /// Put the classes of screader and the best baseline side by side; nothing where neither answered.
    pub(super) fn of(setting: &SettingSummary, palette: &Palette) -> Option<Self> {
        let methods = pick::rivals(setting);
        let mut classes: Vec<&ClassResult> = Vec::new();
        for class in methods.iter().flat_map(|(_, result)| &result.per_class) {
            if classes.iter().all(|other| other.class != class.class) {
                classes.push(class);
            }
        }
        classes.sort_by_key(|class| palette.number(&class.class));
        let rows =
            classes.into_iter().map(|class| ClassRow::of(class, &methods, palette)).collect();
        let table = Self {
            methods: methods.iter().map(|(method, _)| method.label.clone()).collect(),
            rows,
        };
        (!table.rows.is_empty()).then_some(table)
    }
}

impl ClassRow {
    fn of(class: &ClassResult, methods: &[Answered<'_>], palette: &Palette) -> Self {
        let found: Vec<Option<&ClassResult>> = methods
            .iter()
            .map(|(_, result)| result.per_class.iter().find(|one| one.class == class.class))
            .collect();
        let scores = found.iter().map(|one| match one {
            Some(one) => [score(one.precision), score(one.recall), score(one.f1)],
            None => [NONE; 3].map(str::to_owned),
        });
        let difference = match found.as_slice() {
            [Some(ours), Some(theirs)] => signed(ours.f1 - theirs.f1),
            _ => NONE.to_owned(),
        };
        Self {
            colour: css(palette.colour(&class.class)),
            name: class.class.clone(),
            cells: count(class.cells),
            scores: scores.collect(),
            difference,
        }
    }
}
