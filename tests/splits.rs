//! Properties of the splits.

#![allow(clippy::unwrap_used)] // a test that cannot read its own input should panic

use proptest::prelude::*;
use screader::train::splits::{Split, SplitConfig, SplitMethod, split};

fn cells_of(labels: &[usize], class: usize, part: &[usize]) -> usize {
    part.iter().filter(|&&cell| labels[cell] == class).count()
}

fn covers_each_cell_once(split: &Split, n_cells: usize) -> bool {
    let mut cells = [&split.train[..], &split.validation, &split.test].concat();
    cells.sort_unstable();
    cells == (0..n_cells).collect::<Vec<usize>>()
}

/// Labels of at least two classes.
fn some_labels(cells: std::ops::Range<usize>) -> impl Strategy<Value = Vec<usize>> {
    (prop::collection::vec(prop_oneof![8 => 0usize..3, 1 => 3usize..9], cells)).prop_map(|mut l| {
        (l[0], l[1]) = (0, 1);
        l
    })
}

fn kfold(folds: usize, validation_fraction: f64, seed: u64) -> SplitConfig {
    let method = SplitMethod::Kfold;
    SplitConfig { method, folds, validation_fraction, seed, ..Default::default() }
}

proptest! {
    #[test]
    fn holdout_parts_have_their_share_of_each_class(
        labels in some_labels(40..300), seed: u64, test in 0.05f64..0.4, validation in 0.05f64..0.4,
    ) {
        let config = SplitConfig {
            test_fraction: test, validation_fraction: validation, seed, ..Default::default()
        };
        let splits = split(&config, &labels, None).unwrap();
        prop_assert_eq!(splits.len(), 1);
        prop_assert!(covers_each_cell_once(&splits[0], labels.len()));
        for class in 0..9 {
            let n = labels.iter().filter(|&&label| label == class).count();
            for (part, fraction) in [(&splits[0].test, test), (&splits[0].validation, validation)] {
                let share = cells_of(&labels, class, part) as f64 - fraction * n as f64;
                prop_assert!(share.abs() <= 1.0, "class {class} of {n}: off by {share}");
            }
            prop_assert!(n == 0 || cells_of(&labels, class, &splits[0].train) > 0);
        }
        prop_assert_eq!(&splits, &split(&config, &labels, None).unwrap());
    }

    #[test]
    fn folds_test_each_cell_once(labels in some_labels(40..200), seed: u64, folds in 2usize..8) {
        let splits = split(&kfold(folds, 0.1, seed), &labels, None).unwrap();
        prop_assert_eq!(splits.len(), folds);
        let mut tested = vec![0; labels.len()];
        for split in &splits {
            prop_assert!(covers_each_cell_once(split, labels.len()));
            split.test.iter().for_each(|&cell| tested[cell] += 1);
        }
        for class in 0..9 {
            let cells: Vec<usize> = (0..labels.len()).filter(|&c| labels[c] == class).collect();
            let times = usize::from(cells.len() > 1);
            prop_assert!(cells.iter().all(|&cell| tested[cell] == times));
            for split in &splits {
                let share = cells_of(&labels, class, &split.test) as f64;
                prop_assert!((share - (cells.len() * times) as f64 / folds as f64).abs() <= 1.0);
                prop_assert!(cells.is_empty() || cells_of(&labels, class, &split.train) > 0);
            }
        }
        let sizes: Vec<usize> = splits.iter().map(|split| split.test.len()).collect();
        prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
    }

    #[test]
    fn groups_are_never_divided(
        labels in some_labels(60..200), seed: u64, n_groups in 6usize..16, k in 2usize..4,
        stratified: bool, use_folds: bool,
    ) {
        // Uneven groups: the first has a quarter of the cells or more, the last very few.
        let place = |cell: usize| (cell as f64 / labels.len() as f64).powi(2) * n_groups as f64;
        let groups: Vec<usize> = (0..labels.len()).map(|cell| 100 + place(cell) as usize).collect();
        let method = if use_folds { SplitMethod::Kfold } else { SplitMethod::Holdout };
        let config = SplitConfig {
            method, folds: k, group: Some("donor".into()), stratified, seed,
            test_fraction: 0.2, validation_fraction: 0.2,
        };
        let distinct: std::collections::BTreeSet<usize> = groups.iter().copied().collect();
        prop_assert_eq!(distinct.len(), n_groups);
        let splits = split(&config, &labels, Some(&groups)).unwrap();
        prop_assert_eq!(splits.len(), if use_folds { k } else { 1 });
        let mut tested = vec![0; labels.len()];
        for split in &splits {
            prop_assert!(covers_each_cell_once(split, labels.len()));
            let parts = [&split.train, &split.validation, &split.test];
            prop_assert!(parts.iter().all(|part| !part.is_empty()));
            for group in &distinct {
                let holding = parts.iter().filter(|p| p.iter().any(|&cell| groups[cell] == *group));
                prop_assert_eq!(holding.count(), 1);
            }
            split.test.iter().for_each(|&cell| tested[cell] += 1);
        }
        prop_assert!(!use_folds || tested.iter().all(|&times| times == 1));
    }
}

#[test]
fn plain_holdout_has_the_sizes_asked_for() {
    let labels: Vec<usize> = (0..1000).map(|cell| cell % 7).collect();
    let config = SplitConfig { stratified: false, ..Default::default() };
    let split = &split(&config, &labels, None).unwrap()[0];
    assert_eq!((split.train.len(), split.validation.len(), split.test.len()), (800, 100, 100));
    let other = SplitConfig { seed: 1, ..config };
    assert_ne!(split.test, screader::train::splits::split(&other, &labels, None).unwrap()[0].test);
}

#[test]
fn a_seed_keeps_its_meaning() {
    let labels: Vec<usize> = (0..20).map(|cell| cell % 2).collect();
    let config = SplitConfig { test_fraction: 0.2, validation_fraction: 0.0, ..Default::default() };
    assert_eq!(split(&config, &labels, None).unwrap()[0].test, SEED_0);
}

/// The test cells of seed 0 when this was written; a change here changes everyone's splits.
const SEED_0: [usize; 4] = [2, 9, 12, 19];

#[test]
fn equal_donors_go_where_their_size_fits() {
    // Ten donors of 50 cells: eight, one and one.
    let labels: Vec<usize> = (0..500).map(|cell| cell % 3).collect();
    let groups: Vec<usize> = (0..500).map(|cell| cell / 50).collect();
    let config = SplitConfig { group: Some("donor".into()), ..Default::default() };
    let split = &split(&config, &labels, Some(&groups)).unwrap()[0];
    assert_eq!((split.train.len(), split.validation.len(), split.test.len()), (400, 50, 50));
}

#[test]
fn what_cannot_be_split_is_refused_in_one_line() {
    let refuse = |config: &SplitConfig, labels: &[usize], groups: Option<&[usize]>| {
        let error = split(config, labels, groups).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let line = error.to_string();
        assert!(!line.contains('\n'), "{line}");
        line
    };
    let plain = SplitConfig::default();
    assert!(refuse(&plain, &[], None).contains("labelled cells"));
    assert!(refuse(&plain, &[4, 4, 4], None).contains("2 classes"));
    assert!(refuse(&kfold(10, 0.0, 0), &[0, 1, 0, 1], None).contains("split.folds"));
    assert!(refuse(&kfold(1, 0.0, 0), &[0, 1], None).contains("split.folds"));
    assert!(refuse(&plain, &[0, 1], None).contains("split.test_fraction"));
    let donor = SplitConfig { group: Some("donor".into()), ..SplitConfig::default() };
    let labels = [0, 1, 0, 1];
    assert!(refuse(&donor, &labels, Some(&[7; 4])).contains("groups"));
    assert!(refuse(&donor, &labels, Some(&[7; 3])).contains("donor"));
    assert!(refuse(&donor, &labels, None).contains("donor"));
    let of_donor = SplitConfig { group: donor.group.clone(), ..kfold(3, 0.0, 0) };
    assert!(refuse(&of_donor, &labels, Some(&[1, 2, 1, 2])).contains("groups"));
    for fraction in [-0.1, 1.0, f64::NAN] {
        let config = SplitConfig { test_fraction: fraction, ..SplitConfig::default() };
        assert!(refuse(&config, &labels, None).contains("test_fraction"));
    }
    let all =
        SplitConfig { test_fraction: 0.5, validation_fraction: 0.5, ..SplitConfig::default() };
    assert!(refuse(&all, &labels, None).contains("less than all"));
}

#[test]
fn settings_read_back_and_unknown_keys_are_errors() {
    let config = kfold(5, 0.2, 9);
    assert_eq!(toml::from_str::<SplitConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
    assert_eq!(toml::from_str::<SplitConfig>("").unwrap(), SplitConfig::default());
    assert!(toml::from_str::<SplitConfig>("fold = 3").is_err());
}
