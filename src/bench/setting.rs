//! The settings: what is held back from the methods, and so what is asked of them.

use std::collections::{BTreeSet, HashSet};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::material::Material;
use super::trial::Trial;
use crate::prep::{HvgFlavor, highly_variable_genes};
use crate::train::splits::{Split, SplitConfig, SplitMethod, split};
use crate::{Error, Result};

/// What is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Setting {
    /// Cells: every fold is named by what the others teach (whole groups with --group-by).
    Standard,
    /// Cells and genes: learn from one random half of the genes, name by the other half alone.
    DisjointGenes,
    /// A species: learn from --data, name the cells of --test-data.
    CrossSpecies,
    /// A batch: learn from all groups but one, or name the cells of --test-data.
    CrossBatch,
    /// Labels: learn from a few cells of each type.
    FewShot,
    /// A type: is a cell of a type that was not learned called unknown?
    UnseenType,
    /// Genes: learn from all, name by a small panel.
    Panel,
}

/// How often and how much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Folds of the cells.
    pub folds: usize,
    /// Seed of folds, halves and picks.
    pub seed: u64,
    /// Cells a type, in `few-shot`.
    pub shots: Vec<usize>,
    /// Genes of the panel, in `panel`.
    pub panel_genes: usize,
}

impl Plan {
    /// Check the numbers.
    ///
    /// # Errors
    /// No shot at all, or a panel without a gene.
    pub fn validate(&self) -> Result<()> {
        let refuse = |flag, expected| Err(Error::input(flag, expected, "0", "leave the 0 out"));
        if self.shots.contains(&0) {
            return refuse("--shots", "at least 1 cell a type");
        }
        if self.panel_genes == 0 {
            return refuse("--panel-genes", "at least 1 gene");
        }
        Ok(())
    }
}

impl Setting {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::DisjointGenes => "disjoint-genes",
            Self::CrossSpecies => "cross-species",
            Self::CrossBatch => "cross-batch",
            Self::FewShot => "few-shot",
            Self::UnseenType => "unseen-type",
            Self::Panel => "panel",
        }
    }

    /// What it asks, in a sentence.
    pub fn question(self) -> &'static str {
        match self {
            Self::Standard => "Which type is a cell that was held out, by all genes?",
            Self::DisjointGenes => {
                "Which type is a cell when none of the genes that are measured in it was ever measured in \
                 a training cell? Only what is known of genes beforehand can help."
            }
            Self::CrossSpecies => "Which type is a cell of a species that was not learned from?",
            Self::CrossBatch => {
                "Which type is a cell of a batch or donor that was not learned from?"
            }
            Self::FewShot => "How much is learned from a few labelled cells of each type?",
            Self::UnseenType => {
                "Is a cell of a type that was not learned told by its low confidence? (Scores are of the \
                 cells of known types.)"
            }
            Self::Panel => "Which type is a cell of which only a small panel of genes is measured?",
        }
    }

    /// The trials of this setting.
    ///
    /// # Errors
    /// Folds that cannot be made, groups or other cells that were not given.
    pub fn trials<'a>(self, material: &'a Material, plan: &Plan) -> Result<Vec<Trial<'a>>> {
        match self {
            Self::Standard => self.folds(material, plan),
            Self::DisjointGenes => disjoint_genes(material, plan),
            Self::CrossSpecies => self.other_file(material, plan),
            Self::CrossBatch if material.target.is_some() => self.other_file(material, plan),
            Self::CrossBatch => groups(material, plan),
            Self::FewShot => few_shot(material, plan),
            Self::UnseenType => unseen_type(material, plan),
            Self::Panel => panel(material, plan),
        }
    }

    /// A trial a fold.
    fn folds<'a>(self, material: &'a Material, plan: &Plan) -> Result<Vec<Trial<'a>>> {
        let splits = splits(material, plan)?;
        let trial = |(fold, split): (usize, Split)| {
            let mut trial = self.begin(material, plan, fold);
            trial.name = format!("fold {}", fold + 1);
            trial.with_cells(split.train, split.validation, split.test)
        };
        Ok(splits.into_iter().enumerate().map(trial).collect())
    }

    fn begin<'a>(self, material: &'a Material, plan: &Plan, repeat: usize) -> Trial<'a> {
        Trial::of(self, &material.source, &material.table, plan.seed + repeat as u64)
    }

    /// A trial a fold of the source, each naming all cells of the other file, once for each way to find
    /// their genes.
    fn other_file<'a>(self, material: &'a Material, plan: &Plan) -> Result<Vec<Trial<'a>>> {
        let Some(target) = &material.target else {
            return Err(Error::input(
                format!("--setting {}", self.name()),
                "--test-data with the cells to name",
                "none",
                "name a second labelled file",
            ));
        };
        let mut trials = Vec::new();
        for (variant, rows) in &target.ways {
            for (fold, split) in splits(material, plan)?.into_iter().enumerate() {
                let mut trial = self.begin(material, plan, fold);
                trial.variant.clone_from(variant);
                trial.name = format!("without fold {}", fold + 1);
                (trial.target, trial.target_rows) = (&target.cells, rows);
                let all = 0..target.cells.n_cells();
                let trial = trial.with_cells(split.train, split.validation, all.collect());
                trials.push(only_known(trial)?);
            }
        }
        Ok(trials)
    }
}

/// The folds of the labelled cells, each with its validation cells.
fn splits(material: &Material, plan: &Plan) -> Result<Vec<Split>> {
    let config = SplitConfig {
        method: SplitMethod::Kfold,
        folds: plan.folds,
        seed: plan.seed,
        ..material.config.split.clone()
    };
    split(&config, &material.source.labels, material.source.groups.as_deref())
}

/// Leave out test cells of types that the source lacks: nobody can name them here.
fn only_known(mut trial: Trial<'_>) -> Result<Trial<'_>> {
    let known: Vec<bool> = trial.truth.iter().map(Option::is_some).collect();
    let mut keep = known.iter();
    trial.test.retain(|_| keep.next().copied().unwrap_or(false));
    trial.truth.retain(Option::is_some);
    if trial.test.is_empty() {
        return Err(Error::input(
            "--test-data",
            format!("cells of one of the types {}", trial.source.classes.join(", ")),
            format!("the types {}", trial.target.classes.join(", ")),
            "name types alike in both files (case does not matter)",
        ));
    }
    Ok(trial)
}

/// Halves of the genes, not of the columns: two columns of one gene stand on the same side.
fn disjoint_genes<'a>(material: &'a Material, plan: &Plan) -> Result<Vec<Trial<'a>>> {
    let rows = &material.source.gene_rows;
    let known: BTreeSet<u32> = rows.iter().flatten().copied().collect();
    let mut trials = Setting::DisjointGenes.folds(material, plan)?;
    for trial in &mut trials {
        let mut genes: Vec<u32> = known.iter().copied().collect();
        genes.shuffle(&mut ChaCha8Rng::seed_from_u64(trial.seed));
        let learned: HashSet<u32> = genes.drain(..genes.len() / 2).collect();
        let side = |of_learned: bool| {
            let is_shown =
                |row: &Option<u32>| row.is_some_and(|row| learned.contains(&row) == of_learned);
            rows.iter().map(is_shown).collect()
        };
        (trial.source_sight, trial.target_sight) = (Some(side(true)), Some(side(false)));
    }
    Ok(trials)
}

fn sight(genes: usize, shown: &[usize]) -> Vec<bool> {
    let mut sight = vec![false; genes];
    shown.iter().for_each(|&gene| sight[gene] = true);
    sight
}

/// Each group is named once by what the others teach.
fn groups<'a>(material: &'a Material, plan: &Plan) -> Result<Vec<Trial<'a>>> {
    let source = &material.source;
    let groups =
        source.groups.as_ref().filter(|_| source.group_names.len() > 1).ok_or_else(|| {
            Error::input(
                "--setting cross-batch",
                "a column with at least 2 batches or donors, or --test-data",
                format!("{}", source.group_names.len()),
                "name the column with --group-by",
            )
        })?;
    let mut trials = Vec::new();
    for (group, name) in source.group_names.iter().enumerate() {
        let (test, rest): (Vec<usize>, Vec<usize>) =
            (0..source.n_cells()).partition(|&cell| groups[cell] == group);
        let labels: Vec<usize> = rest.iter().map(|&cell| source.labels[cell]).collect();
        let config = SplitConfig {
            method: SplitMethod::Holdout,
            test_fraction: 0.0,
            group: None,
            seed: plan.seed,
            ..material.config.split.clone()
        };
        // Of the groups that are there some cells are held back to stop by, whatever their group.
        let parts = split(&config, &labels, None)?.swap_remove(0);
        let of_rest = |cells: &[usize]| cells.iter().map(|&cell| rest[cell]).collect();
        let mut trial = Setting::CrossBatch.begin(material, plan, group);
        trial.name = format!("without {name}");
        trials.push(trial.with_cells(of_rest(&parts.train), of_rest(&parts.validation), test));
    }
    Ok(trials)
}

/// The first few cells of each type of a shuffled list, so that fewer are always among more.
fn few_shot<'a>(material: &'a Material, plan: &Plan) -> Result<Vec<Trial<'a>>> {
    let labels = &material.source.labels;
    let mut trials = Vec::new();
    for &shots in &plan.shots {
        let mut folds = Setting::FewShot.folds(material, plan)?;
        for trial in &mut folds {
            let mut cells = trial.learnable();
            cells.shuffle(&mut ChaCha8Rng::seed_from_u64(trial.seed));
            let mut left = vec![shots; material.source.classes.len()];
            cells.retain(|&cell| {
                let left = &mut left[labels[cell]];
                let taken = *left > 0;
                *left -= usize::from(taken);
                taken
            });
            cells.sort_unstable();
            trial.variant = format!("{shots} {} a type", if shots == 1 { "cell" } else { "cells" });
            (trial.train, trial.validation) = (cells, Vec::new());
        }
        trials.extend(folds);
    }
    Ok(trials)
}

/// Each type is left out once; its cells and the held-out cells of the others are to be named.
fn unseen_type<'a>(material: &'a Material, plan: &Plan) -> Result<Vec<Trial<'a>>> {
    let source = &material.source;
    if source.classes.len() < 3 {
        return Err(Error::input(
            "--setting unseen-type",
            "at least 3 cell types, so that 2 are left to learn",
            source.classes.len(),
            "leave this setting out",
        ));
    }
    let first = splits(material, plan)?.swap_remove(0);
    let mut trials = Vec::new();
    for (class, name) in source.classes.iter().enumerate() {
        let without = |cells: &[usize]| {
            cells.iter().copied().filter(|&cell| source.labels[cell] != class).collect()
        };
        let mut trial = Setting::UnseenType.begin(material, plan, class);
        trial.name = format!("without {name}");
        let train = without(&first.train);
        trials.push(trial.with_cells(train, without(&first.validation), first.test.clone()));
    }
    Ok(trials)
}

/// Only the genes that vary most among the training cells are measured in the test cells.
fn panel<'a>(material: &'a Material, plan: &Plan) -> Result<Vec<Trial<'a>>> {
    let source = &material.source;
    let mut trials = Setting::Panel.folds(material, plan)?;
    for trial in &mut trials {
        let learned = source.expression.select_rows(&trial.train);
        let panel =
            highly_variable_genes(&learned, plan.panel_genes, HvgFlavor::Seurat)?.highly_variable;
        let genes: Vec<usize> = (0..panel.len()).filter(|&gene| panel[gene]).collect();
        trial.variant = format!("{} genes", plan.panel_genes);
        trial.target_sight = Some(sight(panel.len(), &genes));
    }
    Ok(trials)
}
