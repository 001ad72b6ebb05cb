//! What each setting of the comparison holds back is really held back.

#![allow(clippy::unwrap_used)] // a test may fail by panicking

use std::collections::HashSet;

use screader::backbone::Backbone;
use screader::bench::material::{Material, Target};
use screader::bench::setting::{Plan, Setting};
use screader::bench::trial::Trial;
use screader::cells::{Column, MatrixState, log1p_cp10k};
use screader::config::Config;
use screader::demo;
use screader::genes::{GeneMatcher, Species};
use screader::train::labelled::Labelled;

fn material(group: bool) -> Material {
    let mut cells = demo::simulate(Species::Mouse, 0).unwrap();
    // The demo has two donors, which are too few.
    let lanes: Vec<Option<String>> =
        (0..cells.n_obs()).map(|cell| Some(format!("lane {}", cell % 5))).collect();
    cells.obs.columns.push(("lane".to_owned(), Column::categorical(&lanes)));
    let table = demo::embeddings(Species::Mouse).unwrap();
    let mut config = Config::default();
    config.split.group = group.then(|| "lane".to_owned());
    let source = Labelled::read(&cells, "demo", &table, &config).unwrap();
    Material { source, target: None, table, config, backbone: Backbone::random(0) }
}

fn plan() -> Plan {
    Plan { folds: 4, seed: 7, shots: vec![1, 5], panel_genes: 50 }
}

/// No test cell is learned from, and what a trial says of itself holds together.
fn is_sound(trial: &Trial<'_>) {
    let learnable: HashSet<usize> = trial.learnable().into_iter().collect();
    assert_eq!(learnable.len(), trial.train.len() + trial.validation.len());
    if std::ptr::eq(trial.source, trial.target) {
        assert!(trial.test.iter().all(|cell| !learnable.contains(cell)));
    }
    assert_eq!(trial.truth.len(), trial.test.len());
    let labels = trial.labels(&trial.train);
    for class in 0..trial.classes.len() {
        assert!(labels.contains(&class), "class {class} has no training cell");
    }
    for (&row, &label) in trial.train.iter().zip(&labels) {
        assert_eq!(trial.classes[label], trial.source.labels[row]);
    }
}

#[test]
fn every_cell_is_named_once_in_standard() {
    let material = material(false);
    let trials = Setting::Standard.trials(&material, &plan()).unwrap();
    assert_eq!(trials.len(), 4);
    let mut named: Vec<usize> = trials.iter().flat_map(|trial| trial.test.clone()).collect();
    named.sort_unstable();
    assert_eq!(named, (0..material.source.n_cells()).collect::<Vec<_>>());
    trials.iter().for_each(is_sound);
    for trial in &trials {
        let truth: Vec<usize> = trial.truth.iter().map(|class| class.unwrap()).collect();
        let own: Vec<usize> = trial.test.iter().map(|&cell| material.source.labels[cell]).collect();
        assert_eq!(truth, own);
    }
}

#[test]
fn a_donor_never_stands_on_both_sides() {
    let material = material(true);
    let groups = material.source.groups.as_ref().unwrap();
    for setting in [Setting::Standard, Setting::CrossBatch] {
        let trials = setting.trials(&material, &plan()).unwrap();
        assert_eq!(trials.len(), if setting == Setting::Standard { 4 } else { 5 });
        for trial in &trials {
            is_sound(trial);
            let tested: HashSet<usize> = trial.test.iter().map(|&cell| groups[cell]).collect();
            assert!(trial.learnable().iter().all(|&cell| !tested.contains(&groups[cell])));
        }
    }
    assert!(Setting::CrossBatch.trials(&self::material(false), &plan()).is_err());
}

#[test]
fn disjoint_halves_of_the_genes_share_no_gene() {
    let material = material(false);
    for trial in Setting::DisjointGenes.trials(&material, &plan()).unwrap() {
        is_sound(&trial);
        let (learned, asked) =
            (trial.source_sight.as_ref().unwrap(), trial.target_sight.as_ref().unwrap());
        assert!(learned.iter().zip(asked).all(|(learned, asked)| !(learned & asked)));
        let count = |sight: &[bool]| sight.iter().filter(|shown| **shown).count();
        assert!(count(learned).abs_diff(count(asked)) <= 1);
        // A method that knows genes by their column has nothing to go by.
        assert!(trial.same_columns(&trial.learnable()).unwrap().is_none());
        // What is out of sight is out of the matrix, and what is left is normalised by itself.
        let seen = trial.see_target().unwrap();
        assert!(seen.expression.indices.iter().all(|&gene| asked[gene as usize]));
        let counts = seen.counts.unwrap();
        assert_eq!(log1p_cp10k(&counts, MatrixState::Counts).unwrap(), seen.expression);
    }
}

#[test]
fn two_columns_of_one_gene_stand_on_one_side() {
    let mut material = material(false);
    let rows = &mut material.source.gene_rows;
    (rows[1], rows[7], rows[30]) = (rows[0], rows[0], rows[31]);
    for trial in Setting::DisjointGenes.trials(&material, &plan()).unwrap() {
        let learned = trial.source_sight.as_ref().unwrap();
        assert!(learned[0] == learned[1] && learned[0] == learned[7]);
        assert_eq!(learned[30], learned[31]);
        let (learned, asked) = trial.common_rows();
        assert!(learned.iter().chain(&asked).all(Option::is_none));
    }
}

#[test]
fn fewer_cells_are_among_more() {
    let material = material(false);
    let trials = Setting::FewShot.trials(&material, &plan()).unwrap();
    assert_eq!(trials.len(), 8);
    let (one, five) = trials.split_at(4);
    for (one, five) in one.iter().zip(five) {
        assert_eq!(
            (one.variant.as_str(), five.variant.as_str()),
            ("1 cell a type", "5 cells a type")
        );
        assert_eq!(one.test, five.test, "the same cells are asked");
        assert!(one.train.iter().all(|cell| five.train.contains(cell)));
        for (trial, shots) in [(one, 1), (five, 5)] {
            is_sound(trial);
            let labels = trial.labels(&trial.train);
            for class in 0..trial.classes.len() {
                assert_eq!(labels.iter().filter(|label| **label == class).count(), shots);
            }
        }
    }
}

#[test]
fn an_unseen_type_is_asked_and_never_learned() {
    let material = material(false);
    let trials = Setting::UnseenType.trials(&material, &plan()).unwrap();
    assert_eq!(trials.len(), material.source.classes.len());
    for (class, trial) in trials.iter().enumerate() {
        is_sound(trial);
        assert!(!trial.classes.contains(&class));
        assert!(trial.learnable().iter().all(|&cell| material.source.labels[cell] != class));
        assert!(trial.truth.contains(&Some(class)), "no cell of the type is asked");
    }
}

#[test]
fn a_panel_hides_genes_of_the_test_cells_alone() {
    let material = material(false);
    for trial in Setting::Panel.trials(&material, &plan()).unwrap() {
        is_sound(&trial);
        assert!(trial.source_sight.is_none());
        let panel = trial.target_sight.as_ref().unwrap();
        let shown = panel.iter().filter(|shown| **shown).count();
        assert!((50..60).contains(&shown), "{shown} genes");
        let (known, asked) = trial.same_columns(&trial.learnable()).unwrap().unwrap();
        assert_eq!((known.n_cols, asked.n_cols), (panel.len(), panel.len()));
        assert!(asked.indices.iter().all(|&gene| panel[gene as usize]));
        assert!(known.indices.iter().any(|&gene| !panel[gene as usize]));
    }
}

/// Mouse cells teach, human cells are asked: by orthologs the columns agree, by their own text none do.
#[test]
fn another_species_is_found_in_two_ways() {
    let mut material = material(false);
    let human = demo::simulate(Species::Human, 5).unwrap();
    let own = demo::embeddings(Species::Human).unwrap();
    let matcher = GeneMatcher::new(&own.genes);
    let mut cells = Labelled::read_through(&human, "human", &material.config, |var| {
        Ok(matcher.match_frame(var).genes)
    })
    .unwrap();
    // The demo's human genes are the mouse genes in capitals, where both have a name of their own.
    let mouse = GeneMatcher::new(&material.table.genes);
    let through = mouse.match_frame(&human.var).genes.rows;
    let through: Vec<Option<u32>> = through.iter().map(|row| row.map(|row| row as u32)).collect();
    let first = material.table.genes.len() as u32;
    let text: Vec<Option<u32>> =
        cells.gene_rows.iter().map(|row| row.map(|row| row + first)).collect();
    material.table = material.table.joined(&own).unwrap();
    assert_eq!(material.table.genes.len(), first as usize + own.genes.len());
    // A type of another case is the same type, one of another name is left out.
    cells.classes[0] = cells.classes[0].to_uppercase();
    cells.classes[1] = "a type of its own".to_owned();
    let left_out = cells.labels.iter().filter(|&&class| class == 1).count();
    let ways = vec![("orthologs".to_owned(), through), ("text".to_owned(), text)];
    material.target = Some(Target { cells, ways });

    let trials = Setting::CrossSpecies.trials(&material, &plan()).unwrap();
    assert_eq!(trials.len(), 8);
    let (orthologs, text) = trials.split_at(4);
    for trial in &trials {
        is_sound(trial);
        assert_eq!(trial.test.len(), human.n_obs() - left_out);
        assert!(trial.truth.contains(&Some(0)) && !trial.truth.contains(&Some(1)));
    }
    let (known, asked) = orthologs[0].same_columns(&orthologs[0].learnable()).unwrap().unwrap();
    assert_eq!(known.n_cols, asked.n_cols);
    assert!(asked.nnz() > 0);
    assert!(text[0].same_columns(&text[0].learnable()).unwrap().is_none());
    let other = demo::embeddings(Species::Human).unwrap();
    let mut other_model = other.clone();
    other_model.metadata.model = "another".to_owned();
    assert!(other.joined(&other_model).is_err(), "vectors of two models are of two spaces");
}
