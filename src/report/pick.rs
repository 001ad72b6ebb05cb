//! Which methods of a setting are told of, and in which order.

use crate::bench::summary::{MethodResult, MethodSummary, Role, SettingSummary};

/// A method and what it reached.
pub(super) type Answered<'a> = (&'a MethodSummary, &'a MethodResult);

/// The methods by falling macro-F1, those without a result last.
pub(super) fn ranked(setting: &SettingSummary) -> Vec<&MethodSummary> {
    let mut methods: Vec<&MethodSummary> = setting.methods.iter().collect();
    let f1 = |one: &MethodSummary| one.result.as_ref().map_or(f64::NEG_INFINITY, f1_of);
    methods.sort_by(|a, b| f1(b).total_cmp(&f1(a)));
    methods
}

/// What is not a number counts as nothing reached.
fn f1_of(result: &MethodResult) -> f64 {
    if result.macro_f1.mean.is_nan() { -1.0 } else { result.macro_f1.mean }
}

/// The methods that answered, by falling macro-F1.
pub(super) fn answered(setting: &SettingSummary) -> Vec<Answered<'_>> {
    ranked(setting).into_iter().filter_map(with_result).collect()
}

fn with_result(method: &MethodSummary) -> Option<Answered<'_>> {
    Some((method, method.result.as_ref()?))
}

/// screader as it was asked for; its other encodings bear other names.
pub(super) fn screader(setting: &SettingSummary) -> Option<&MethodSummary> {
    let mut ours = setting.methods.iter().filter(|method| method.role == Role::Screader);
    ours.clone().find(|method| method.name == "screader").or_else(|| ours.next())
}

/// The best baseline, where one answered.
pub(super) fn best_baseline(setting: &SettingSummary) -> Option<Answered<'_>> {
    let name = setting.best_baseline.as_ref()?;
    setting.methods.iter().find(|method| method.name == *name).and_then(with_result)
}

/// screader and the best baseline, as far as they answered.
pub(super) fn rivals(setting: &SettingSummary) -> Vec<Answered<'_>> {
    let ours = screader(setting).and_then(with_result);
    ours.into_iter().chain(best_baseline(setting)).collect()
}

/// screader, the better GenePT-w and the best baseline, each once, as far as they answered.
pub(super) fn shown(setting: &SettingSummary) -> Vec<Answered<'_>> {
    let gene_embeddings =
        answered(setting).into_iter().find(|(method, _)| method.name.starts_with("genept-w"));
    let mut shown = rivals(setting);
    if let Some(one) = gene_embeddings
        && shown.iter().all(|(method, _)| method.name != one.0.name)
    {
        shown.insert(usize::from(screader(setting).is_some_and(|ours| ours.result.is_some())), one);
    }
    shown
}

/// A setting with its variant, in words.
pub(super) fn name(setting: &SettingSummary) -> String {
    match setting.variant.as_str() {
        "" => spoken(&setting.setting),
        variant => format!("{}, {variant}", spoken(&setting.setting)),
    }
}

/// A setting's name as words: `disjoint-genes` is `disjoint genes`.
pub(super) fn spoken(name: &str) -> String {
    name.replace('-', " ")
}
