//! Training, validation and test cells.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

mod allocate;
mod grouped;

/// How often the cells are split.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SplitMethod {
    /// One split.
    #[default]
    Holdout,
    /// `folds` splits; each cell is tested once.
    Kfold,
}

/// How cells are divided into training, validation and test cells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SplitConfig {
    /// `holdout` (one split) or `kfold` (`folds` splits, each cell tested once).
    pub method: SplitMethod,
    /// Part of the cells held out for the test, with `holdout`; may be 0.
    pub test_fraction: f64,
    /// Part of the cells that training watches for early stopping and calibration; may be 0. With
    /// `kfold`, part of the cells outside the test fold.
    pub validation_fraction: f64,
    /// Number of folds, with `kfold`.
    pub folds: usize,
    /// Whether each part has the classes in the proportions of the whole.
    pub stratified: bool,
    /// Column of `obs` (donor, batch) whose values are never divided between parts.
    pub group: Option<String>,
    /// Seed of the shuffling.
    pub seed: u64,
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self {
            method: SplitMethod::Holdout,
            test_fraction: 0.1,
            validation_fraction: 0.1,
            folds: 10,
            stratified: true,
            group: None,
            seed: 0,
        }
    }
}

/// One division of the cells; row numbers, rising, each cell in exactly one part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Cells to learn from.
    pub train: Vec<usize>,
    /// Cells for early stopping and calibration.
    pub validation: Vec<usize>,
    /// Cells that training never sees.
    pub test: Vec<usize>,
}

/// Divide the cells; one split for `holdout`, `folds` splits for `kfold`.
///
/// `labels` holds the class of each cell, `groups` the group of each cell where `config.group` is
/// set. Without groups, a stratified part holds of each class its fraction to within one cell, a
/// class of one cell is always trained on, and every class keeps at least one training cell. With
/// groups, whole groups go where they leave sizes and (stratified) classes closest to the wanted
/// fractions; large groups may make that coarse.
///
/// # Errors
/// [`Error::Input`] if the cells are of one class, if they or their groups are too few for the parts
/// asked for, or if a fraction or the number of folds makes no sense.
pub fn split(
    config: &SplitConfig,
    labels: &[usize],
    groups: Option<&[usize]>,
) -> Result<Vec<Split>> {
    config.validate()?;
    refuse_one_class(labels)?;
    let groups = match (&config.group, groups) {
        (None, _) => None,
        (Some(_), Some(groups)) if groups.len() == labels.len() => Some(groups),
        (Some(column), groups) => {
            return Err(Error::input(
                "split.group",
                format!("a value of {column} for each of the {} cells", labels.len()),
                groups.map_or(0, <[usize]>::len),
                "choose a column that is filled for every labelled cell",
            ));
        }
    };
    let parts = match (config.method, groups) {
        (SplitMethod::Holdout, None) => allocate::holdout(config, labels)?,
        (SplitMethod::Kfold, None) => allocate::folds(config, labels)?,
        (SplitMethod::Holdout, Some(groups)) => grouped::holdout(config, labels, groups)?,
        (SplitMethod::Kfold, Some(groups)) => grouped::folds(config, labels, groups)?,
    };
    Ok(parts.iter().map(|parts| gather(parts)).collect())
}

/// The part of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Train,
    Validation,
    Test,
}

impl SplitConfig {
    /// Check the settings.
    ///
    /// # Errors
    /// [`Error::Input`] that names the setting.
    pub fn validate(&self) -> Result<()> {
        let fraction = |name: &str, value: f64| {
            if (0.0..1.0).contains(&value) {
                return Ok(());
            }
            let expected = "a fraction from 0 to below 1";
            Err(Error::input(format!("split.{name}"), expected, value, "set it to 0.1, say"))
        };
        fraction("test_fraction", self.test_fraction)?;
        fraction("validation_fraction", self.validation_fraction)?;
        let held_out = self.test_fraction + self.validation_fraction;
        if self.method == SplitMethod::Holdout && held_out >= 1.0 {
            return Err(Error::input(
                "split.test_fraction",
                "test and validation cells to be less than all cells",
                held_out,
                "lower test_fraction or validation_fraction",
            ));
        }
        if self.method == SplitMethod::Kfold && self.folds < 2 {
            return Err(Error::input(
                "split.folds",
                "at least 2 folds",
                self.folds,
                "set it to 5 or 10, or use method = \"holdout\"",
            ));
        }
        Ok(())
    }
}

fn refuse_one_class(labels: &[usize]) -> Result<()> {
    match labels.first() {
        None => Err(Error::input(
            "labels",
            "labelled cells",
            "none",
            "name the column of obs that holds the cell types",
        )),
        Some(first) if labels.iter().all(|label| label == first) => Err(Error::input(
            "labels",
            "at least 2 classes",
            "1",
            "a classifier needs cells of another type, or another column of obs",
        )),
        Some(_) => Ok(()),
    }
}

fn gather(parts: &[Part]) -> Split {
    let mut split = Split::default();
    for (cell, part) in parts.iter().enumerate() {
        match part {
            Part::Train => split.train.push(cell),
            Part::Validation => split.validation.push(cell),
            Part::Test => split.test.push(cell),
        }
    }
    split
}

/// Refuse a part that was asked for and got no cell.
fn refuse_empty(parts: &[Part], wanted: &[(Part, f64, &str)]) -> Result<()> {
    for (part, fraction, setting) in wanted {
        if *fraction > 0.0 && !parts.contains(part) {
            return Err(Error::input(
                format!("split.{setting}"),
                "at least one cell in each part",
                format!("none, of {} cells", parts.len()),
                format!("raise {setting}, set it to 0, or give more cells of each class"),
            ));
        }
    }
    Ok(())
}

/// Shuffle in place (Fisher and Yates). Written out because the shuffles of crates may change the
/// order they give between releases, and a seed must keep its meaning.
fn shuffle<T>(items: &mut [T], rng: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        let other = (u128::from(rng.next_u64()) * (last as u128 + 1)) >> 64;
        items.swap(last, other as usize);
    }
}

fn seeded(config: &SplitConfig) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(config.seed)
}
