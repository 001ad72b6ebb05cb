//! The answer in words: who wins, by the intervals alone.

use super::numbers::{NONE, count, range, score, signed};
use super::pick;
use crate::bench::summary::{Interval, MethodSummary, Role, SettingSummary, Summary};

/// How screader stands to the best baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The interval of the difference lies above 0.
    Ahead,
    /// It lies below 0.
    Behind,
    /// It spans or touches 0.
    Level,
    /// There is no interval.
    NotCompared,
}

/// How an interval of a difference lies to 0.
fn outcome(difference: Interval) -> Outcome {
    match (difference.low, difference.high) {
        (low, high) if !(low.is_finite() && high.is_finite()) => Outcome::NotCompared,
        (low, _) if low > 0.0 => Outcome::Ahead,
        (_, high) if high < 0.0 => Outcome::Behind,
        _ => Outcome::Level,
    }
}

/// The difference of a method's macro-F1 to the best baseline's.
fn difference(method: &MethodSummary) -> Option<Interval> {
    Some(method.result.as_ref()?.difference.as_ref()?.macro_f1)
}

/// How screader stands to the best baseline of a setting.
pub(super) fn against_best(setting: &SettingSummary) -> Outcome {
    let ours = pick::screader(setting).and_then(difference);
    ours.map_or(Outcome::NotCompared, outcome)
}

/// The outcome of one setting in a sentence.
pub(super) fn sentence(setting: &SettingSummary) -> String {
    let Some(ours) = pick::screader(setting) else {
        return "screader took no part in this comparison.".to_owned();
    };
    let Some(result) = &ours.result else {
        let reason = ours.cannot_answer.as_deref().unwrap_or("it has no result");
        return format!("screader cannot answer here: {}.", reason.trim_end_matches('.'));
    };
    let reached = score(result.macro_f1.mean);
    let Some((best, theirs)) = pick::best_baseline(setting) else {
        return format!(
            "screader reaches a macro-F1 of {reached}; no baseline answered that it could be compared with."
        );
    };
    let (label, theirs) = (&best.label, score(theirs.macro_f1.mean));
    let by =
        difference(ours).unwrap_or(Interval { low: f64::NAN, estimate: f64::NAN, high: f64::NAN });
    let interval = format!("{} (95 % interval {})", signed(by.estimate), range(by));
    match outcome(by) {
        Outcome::Ahead => format!(
            "screader, with a macro-F1 of {reached}, beats the best baseline, {label}, with {theirs}: the \
             paired difference is {interval}."
        ),
        Outcome::Behind => format!(
            "A baseline wins: {label}, with a macro-F1 of {theirs}, beats screader, with {reached}. \
             screader’s paired difference to it is {interval}."
        ),
        Outcome::Level => format!(
            "No difference is shown between screader, with a macro-F1 of {reached}, and the best baseline, \
             {label}, with {theirs}: the interval of the paired difference spans 0, {interval}."
        ),
        Outcome::NotCompared => format!(
            "screader reaches a macro-F1 of {reached}, the best baseline, {label}, {theirs}; they did not \
             answer for the same cells, so that no interval tells them apart."
        ),
    }
}

/// The answer of the whole report: about the baselines, then about screader's own controls.
pub(super) fn answer(summary: &Summary) -> Vec<String> {
    let baselines = match summary.settings.as_slice() {
        [] => return vec!["Nothing was compared.".to_owned()],
        [one] => sentence(one),
        several => over_settings(several),
    };
    let new_types = summary.settings.iter().filter_map(new_types);
    [baselines].into_iter().chain(new_types).chain([over_controls(&summary.settings)]).collect()
}

/// How well new types are told, where that is the question: macro-F1 says nothing about it.
pub(super) fn new_types(setting: &SettingSummary) -> Option<String> {
    let auroc = |method: &MethodSummary| Some(method.result.as_ref()?.novelty?.auroc);
    let ours = pick::screader(setting).and_then(auroc)?;
    let baselines = setting.methods.iter().filter(|method| method.role == Role::Baseline);
    let best = baselines
        .filter_map(|method| Some((method, auroc(method).filter(|value| !value.is_nan())?)))
        .max_by(|a, b| a.1.total_cmp(&b.1));
    let said = format!("Cells of new types screader tells with an AUROC of {}", score(ours));
    Some(match best {
        Some((method, theirs)) => format!(
            "{said}, the best baseline at that, {}, with {}; these have no interval.",
            method.label,
            score(theirs)
        ),
        None => format!("{said}; no baseline answered."),
    })
}

/// How often screader wins, loses and draws, and where.
fn over_settings(settings: &[SettingSummary]) -> String {
    let with = |wanted: Outcome| -> Vec<&SettingSummary> {
        settings.iter().filter(|setting| against_best(setting) == wanted).collect()
    };
    let kinds = [
        (Outcome::Ahead, "screader beats the best baseline in"),
        (Outcome::Behind, "a baseline beats screader in"),
        (Outcome::Level, "no difference is shown in"),
        (Outcome::NotCompared, "the two could not be compared in"),
    ];
    let parts: Vec<String> = kinds
        .into_iter()
        .map(|(kind, words)| (kind, words, with(kind)))
        .filter(|(kind, _, found)| {
            !found.is_empty() || matches!(kind, Outcome::Ahead | Outcome::Behind)
        })
        .map(|(_, words, found)| match found.len() {
            0 => format!("{words} none"),
            many => format!("{words} {} ({})", count(many), places(&found)),
        })
        .collect();
    format!("Of {} comparisons by macro-F1, {}.", count(settings.len()), parts.join("; "))
}

/// The names of settings, the first few.
fn places(settings: &[&SettingSummary]) -> String {
    const NAMED: usize = 4;
    let names: Vec<String> = settings.iter().take(NAMED).map(|one| pick::name(one)).collect();
    match settings.len().saturating_sub(NAMED) {
        0 => names.join("; "),
        more => format!("{}; and {more} more", names.join("; ")),
    }
}

/// How screader stands to a control: the summary pairs both with the best baseline, not with each other,
/// so that only intervals that lie wholly apart are taken for a difference.
fn against_control(ours: &MethodSummary, control: &MethodSummary) -> Outcome {
    let to = |method: &MethodSummary| Some(method.result.as_ref()?.difference.as_ref()?.to.clone());
    let (Some(mine), Some(its)) = (difference(ours), difference(control)) else {
        return Outcome::NotCompared;
    };
    let finite = [mine.low, mine.high, its.low, its.high].iter().all(|end| end.is_finite());
    match finite && to(ours) == to(control) {
        false => Outcome::NotCompared,
        true if mine.low > its.high => Outcome::Ahead,
        true if mine.high < its.low => Outcome::Behind,
        true => Outcome::Level,
    }
}

/// What the controls say, over all settings.
fn over_controls(settings: &[SettingSummary]) -> String {
    let mut controls: Vec<(String, Vec<Outcome>)> = Vec::new();
    for setting in settings {
        let Some(ours) = pick::screader(setting) else { continue };
        for control in setting.methods.iter().filter(|method| method.role == Role::Control) {
            let outcome = against_control(ours, control);
            match controls.iter_mut().find(|(label, _)| *label == control.label) {
                Some((_, outcomes)) => outcomes.push(outcome),
                None => controls.push((control.label.clone(), vec![outcome])),
            }
        }
    }
    if controls.is_empty() {
        return "None of its controls was run, so nothing here tells which part of screader does the work."
            .to_owned();
    }
    let told = match settings {
        [_] => once(&controls),
        _ => several_times(&controls),
    };
    format!("Against its own controls, screader {told}.")
}

/// Controls by how screader stands to them in the only setting.
fn once(controls: &[(String, Vec<Outcome>)]) -> String {
    let kinds = [
        (Outcome::Ahead, "is ahead of"),
        (Outcome::Behind, "is behind"),
        (Outcome::Level, "is not told apart from"),
        (Outcome::NotCompared, "cannot be compared with"),
    ];
    let parts = kinds.into_iter().filter_map(|(kind, words)| {
        let same = controls.iter().filter(|(_, outcomes)| outcomes.contains(&kind));
        let labels: Vec<String> = same.map(|(label, _)| label.clone()).collect();
        (!labels.is_empty()).then(|| format!("{words} {}", listed(&labels)))
    });
    listed(&parts.collect::<Vec<_>>())
}

/// How often screader is ahead of each control, and behind, among the settings that compare the two.
fn several_times(controls: &[(String, Vec<Outcome>)]) -> String {
    let (mut parts, mut never) = (Vec::new(), Vec::new());
    for (label, outcomes) in controls {
        let times = |wanted: Outcome| outcomes.iter().filter(|&&one| one == wanted).count();
        let compared = outcomes.len() - times(Outcome::NotCompared);
        let behind = match times(Outcome::Behind) {
            0 => String::new(),
            behind => format!(", behind in {behind}"),
        };
        match compared {
            0 => never.push(label.clone()),
            _ => parts.push(format!("{label} in {} of {compared}{behind}", times(Outcome::Ahead))),
        }
    }
    let mut told = Vec::new();
    if !parts.is_empty() {
        told.push(format!("is ahead of {}", parts.join("; of ")));
    }
    if !never.is_empty() {
        told.push(format!("cannot be compared with {}", listed(&never)));
    }
    told.join("; it ")
}

/// Parts of a sentence, one after the other.
fn listed(parts: &[String]) -> String {
    match parts {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        parts => parts.concat(),
    }
}

/// The difference of a method to the best baseline, as a table writes it.
pub(super) fn difference_words(method: &MethodSummary, is_best: bool) -> (String, String) {
    match difference(method) {
        Some(by) => (signed(by.estimate), range(by)),
        None if is_best => ("best baseline".to_owned(), String::new()),
        None => (NONE.to_owned(), String::new()),
    }
}
