//! Splits of single cells.

use rand_chacha::ChaCha8Rng;

use super::{Part, SplitConfig, refuse_empty, seeded, shuffle};
use crate::{Error, Result};

pub(super) fn holdout(config: &SplitConfig, labels: &[usize]) -> Result<Vec<Vec<Part>>> {
    let classes = shuffled_strata(config, labels, &mut seeded(config));
    let mut parts = vec![Part::Train; labels.len()];
    let held_out = [config.test_fraction, config.validation_fraction];
    hold_out(&classes, held_out, &mut parts);
    refuse_empty(
        &parts,
        &[
            (Part::Train, 1.0, "test_fraction"),
            (Part::Test, config.test_fraction, "test_fraction"),
            (Part::Validation, config.validation_fraction, "validation_fraction"),
        ],
    )?;
    Ok(vec![parts])
}

pub(super) fn folds(config: &SplitConfig, labels: &[usize]) -> Result<Vec<Vec<Part>>> {
    if labels.len() < config.folds {
        return Err(Error::input(
            "folds",
            format!("at least as many cells as folds ({})", config.folds),
            format!("{} cells", labels.len()),
            "ask for fewer folds (--folds, split.folds)",
        ));
    }
    let mut rng = seeded(config);
    let classes = shuffled_strata(config, labels, &mut rng);
    // One round through all classes: each class and the whole are spread over the folds to within
    // one cell. A class of one cell is left out, so that it is always trained on.
    let mut fold_of = vec![None; labels.len()];
    let dealt = classes.iter().filter(|class| !config.stratified || class.len() > 1).flatten();
    for (place, &cell) in dealt.enumerate() {
        fold_of[cell] = Some(place % config.folds);
    }
    let of_fold = |fold: usize| {
        let mut parts: Vec<Part> = (fold_of.iter())
            .map(|of_cell| if *of_cell == Some(fold) { Part::Test } else { Part::Train })
            .collect();
        let rest = |class: &Vec<usize>| {
            class.iter().copied().filter(|&cell| parts[cell] == Part::Train).collect::<Vec<usize>>()
        };
        let rest: Vec<Vec<usize>> = classes.iter().map(rest).collect();
        let held_out = [0.0, config.validation_fraction];
        hold_out(&rest, held_out, &mut parts);
        refuse_empty(
            &parts,
            &[
                (Part::Train, 1.0, "folds"),
                (Part::Test, 1.0, "folds"),
                (Part::Validation, config.validation_fraction, "validation_fraction"),
            ],
        )?;
        Ok(parts)
    };
    (0..config.folds).map(of_fold).collect()
}

/// The cells of each class, shuffled; all cells as one class where the split is not stratified.
fn shuffled_strata(
    config: &SplitConfig,
    labels: &[usize],
    rng: &mut ChaCha8Rng,
) -> Vec<Vec<usize>> {
    let mut strata = if config.stratified {
        let n_classes = labels.iter().max().map_or(0, |last| last + 1);
        let mut classes = vec![Vec::new(); n_classes];
        for (cell, &label) in labels.iter().enumerate() {
            classes[label].push(cell);
        }
        classes
    } else {
        vec![(0..labels.len()).collect()]
    };
    strata.retain(|cells| !cells.is_empty());
    strata.iter_mut().for_each(|cells| shuffle(cells, rng));
    strata
}

/// Move cells of each stratum to the test and validation parts; the order within a stratum decides
/// which. Every stratum keeps at least one cell in training.
fn hold_out(strata: &[Vec<usize>], [test, validation]: [f64; 2], parts: &mut [Part]) {
    let sizes: Vec<usize> = strata.iter().map(Vec::len).collect();
    let least = |fraction: f64| {
        sizes.iter().map(|&size| (fraction * size as f64) as usize).collect::<Vec<usize>>()
    };
    // Room is kept for what the validation part gets at least, so that both stay within one cell of
    // their fraction.
    let least_of_validation = least(validation);
    let free = |taken: &[usize]| {
        let free = |(size, taken): (&usize, &usize)| size.saturating_sub(taken + 1);
        sizes.iter().zip(taken).map(free).collect::<Vec<usize>>()
    };
    let for_test = apportion(&sizes, test, &free(&least_of_validation));
    let for_validation = apportion(&sizes, validation, &free(&for_test));
    for ((stratum, &test), &validation) in strata.iter().zip(&for_test).zip(&for_validation) {
        stratum[..test].iter().for_each(|&cell| parts[cell] = Part::Test);
        stratum[test..test + validation].iter().for_each(|&cell| parts[cell] = Part::Validation);
    }
}

/// Share out `fraction` of all cells over strata: each gets its quota rounded down, then those of
/// largest remainder one more, where there is room (the method of Hare and Niemeyer).
fn apportion(sizes: &[usize], fraction: f64, room: &[usize]) -> Vec<usize> {
    if fraction == 0.0 {
        return vec![0; sizes.len()];
    }
    let quota = |&size: &usize| fraction * size as f64;
    let mut shares: Vec<usize> =
        sizes.iter().zip(room).map(|(size, &room)| (quota(size) as usize).min(room)).collect();
    let total = (fraction * sizes.iter().sum::<usize>() as f64).round().max(1.0) as usize;
    let mut missing = total.saturating_sub(shares.iter().sum());
    let remainder = |stratum: usize| quota(&sizes[stratum]).fract();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by(|&a, &b| remainder(b).total_cmp(&remainder(a)).then(a.cmp(&b)));
    for stratum in order {
        if missing > 0 && remainder(stratum) > 0.0 && shares[stratum] < room[stratum] {
            shares[stratum] += 1;
            missing -= 1;
        }
    }
    shares
}
