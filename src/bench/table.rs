//! The comparison as a table on the terminal.

use std::fmt::{self, Display};

use super::summary::{MethodSummary, SettingSummary, Summary};

/// A summary, to be printed.
pub struct Table<'a>(pub &'a Summary);

impl Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for setting in &self.0.settings {
            write_setting(f, setting)?;
        }
        Ok(())
    }
}

fn write_setting(f: &mut fmt::Formatter<'_>, setting: &SettingSummary) -> fmt::Result {
    let variant = match setting.variant.as_str() {
        "" => String::new(),
        variant => format!(", {variant}"),
    };
    let SettingSummary { setting: name, trials, test_cells, .. } = setting;
    writeln!(f, "\n{name}{variant}: {test_cells} cells named in {trials} trials")?;
    let width = setting.methods.iter().map(|one| one.label.chars().count()).max().unwrap_or(0);
    let novelty = setting
        .methods
        .iter()
        .any(|one| one.result.as_ref().is_some_and(|result| result.novelty.is_some()));
    write!(f, "{:width$}  accuracy         macro-F1         against {}", "", best(setting))?;
    writeln!(f, "{}", if novelty { "  new cells told (AUROC)" } else { "" })?;
    for method in ranked(setting) {
        write!(f, "{:width$}  ", method.label)?;
        let Some(result) = &method.result else {
            writeln!(
                f,
                "cannot answer: {}",
                method.cannot_answer.as_deref().unwrap_or("no result")
            )?;
            continue;
        };
        let (accuracy, f1) = (result.accuracy, result.macro_f1);
        write!(f, "{:.3} ± {:.3}    {:.3} ± {:.3}", accuracy.mean, accuracy.sd, f1.mean, f1.sd)?;
        if let Some(difference) = &result.difference {
            let by = difference.macro_f1;
            write!(f, "    {:+.3} [{:+.3}, {:+.3}]", by.estimate, by.low, by.high)?;
        }
        if let Some(novelty) = &result.novelty {
            write!(f, "    {:.3}", novelty.auroc)?;
        }
        writeln!(f)?;
    }
    Ok(())
}

/// The label of the best baseline.
fn best(setting: &SettingSummary) -> &str {
    let name = setting.best_baseline.as_deref();
    let found = setting.methods.iter().find(|one| Some(one.name.as_str()) == name);
    found.map_or("nothing", |one| one.label.as_str())
}

/// Methods by falling macro-F1, those without a result last.
fn ranked(setting: &SettingSummary) -> Vec<&MethodSummary> {
    let mut methods: Vec<&MethodSummary> = setting.methods.iter().collect();
    let f1 = |one: &MethodSummary| one.result.as_ref().map_or(-1.0, |result| result.macro_f1.mean);
    methods.sort_by(|a, b| f1(b).total_cmp(&f1(a)));
    methods
}
