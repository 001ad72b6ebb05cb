//! Splits of whole groups (donors, batches).

use std::collections::BTreeMap;

use super::{Part, SplitConfig, seeded, shuffle};
use crate::{Error, Result};

pub(super) fn holdout(
    config: &SplitConfig,
    labels: &[usize],
    groups: &[usize],
) -> Result<Vec<Vec<Part>>> {
    let members = shuffled_groups(config, groups);
    let held_out = config.test_fraction + config.validation_fraction;
    let wanted = [1.0 - held_out, config.validation_fraction, config.test_fraction];
    let assigned = assign(&members, labels, &wanted, 1, config.stratified)?;
    let mut parts = vec![Part::Train; labels.len()];
    for (cells, bin) in members.iter().zip(assigned) {
        let part = [Part::Train, Part::Validation, Part::Test][bin];
        cells.iter().for_each(|&cell| parts[cell] = part);
    }
    Ok(vec![parts])
}

pub(super) fn folds(
    config: &SplitConfig,
    labels: &[usize],
    groups: &[usize],
) -> Result<Vec<Vec<Part>>> {
    let members = shuffled_groups(config, groups);
    let wanted = vec![1.0 / config.folds as f64; config.folds];
    // With two folds, what is left beside one of them must do for training and validation.
    let least = if config.folds == 2 && config.validation_fraction > 0.0 { 2 } else { 1 };
    let fold_of = assign(&members, labels, &wanted, least, config.stratified)?;
    let of_fold = |fold: usize| {
        let mut parts = vec![Part::Test; labels.len()];
        let outside = members.iter().zip(&fold_of).filter(|(_, of_group)| **of_group != fold);
        let rest: Vec<Vec<usize>> = outside.map(|(cells, _)| cells.clone()).collect();
        let wanted = [1.0 - config.validation_fraction, config.validation_fraction];
        for (cells, bin) in rest.iter().zip(assign(&rest, labels, &wanted, 1, config.stratified)?) {
            let part = [Part::Train, Part::Validation][bin];
            cells.iter().for_each(|&cell| parts[cell] = part);
        }
        Ok(parts)
    };
    (0..config.folds).map(of_fold).collect()
}

/// The cells of each group, the groups shuffled and then by falling size: with the large ones placed
/// first, the small ones can even out what is left.
fn shuffled_groups(config: &SplitConfig, groups: &[usize]) -> Vec<Vec<usize>> {
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (cell, &group) in groups.iter().enumerate() {
        members.entry(group).or_default().push(cell);
    }
    let mut members: Vec<Vec<usize>> = members.into_values().collect();
    shuffle(&mut members, &mut seeded(config));
    members.sort_by_key(|cells| std::cmp::Reverse(cells.len()));
    members
}

/// Put each group into the bin where it brings the counts closest to `wanted` fractions (of each
/// class where stratified, else of all cells); each bin with a fraction above 0 gets at least `least`.
fn assign(
    members: &[Vec<usize>],
    labels: &[usize],
    wanted: &[f64],
    least: usize,
    stratified: bool,
) -> Result<Vec<usize>> {
    let bins: Vec<usize> = (0..wanted.len()).filter(|&bin| wanted[bin] > 0.0).collect();
    if members.len() < bins.len() * least {
        return Err(Error::input(
            "split.group",
            format!("at least {} groups, {least} for each part or fold", bins.len() * least),
            members.len(),
            "choose a column with more values, fewer folds, or set validation_fraction to 0",
        ));
    }
    let n_classes = labels.iter().max().map_or(0, |last| last + 1);
    let stratum = |cell: usize| if stratified { labels[cell] } else { 0 };
    let mut totals = vec![0f64; n_classes];
    members.iter().flatten().for_each(|&cell| totals[stratum(cell)] += 1.0);
    let mut counts = vec![vec![0f64; n_classes]; wanted.len()];
    let mut short: Vec<usize> = bins.repeat(least);
    let mut assigned = Vec::with_capacity(members.len());
    for (place, cells) in members.iter().enumerate() {
        let mut group = vec![0f64; n_classes];
        cells.iter().for_each(|&cell| group[stratum(cell)] += 1.0);
        let last_chance = members.len() - place <= short.len();
        let choices = if last_chance { &short } else { &bins };
        let change = |bin: usize| deviation_change(&group, &counts[bin], &totals, wanted[bin]);
        let Some(&best) = choices.iter().min_by(|&&a, &&b| change(a).total_cmp(&change(b))) else {
            continue;
        };
        counts[best].iter_mut().zip(&group).for_each(|(count, more)| *count += more);
        if let Some(place) = short.iter().position(|&bin| bin == best) {
            short.swap_remove(place);
        }
        assigned.push(best);
    }
    Ok(assigned)
}

/// How much a group changes the squared deviation of a bin from its fraction of each class, classes
/// weighted alike.
fn deviation_change(group: &[f64], counts: &[f64], totals: &[f64], wanted: f64) -> f64 {
    let of_class = |class: usize| {
        let goal = wanted * totals[class];
        let before = counts[class] - goal;
        let after = before + group[class];
        (after * after - before * before) / (totals[class] * totals[class])
    };
    (0..group.len()).filter(|&class| totals[class] > 0.0).map(of_class).sum()
}
