//! The numbers as tables for other programs. All digits are kept; what is absent is empty.

use std::path::Path;

use crate::bench::summary::{MeanSd, MethodResult, MethodSummary, Role, SettingSummary, Summary};
use crate::{Error, Result};

/// Write `methods.csv`: a row for each setting, variant and method.
///
/// # Errors
/// [`Error::Io`] naming `path` if the table cannot be made.
pub(super) fn methods(summary: &Summary, path: &Path) -> Result<Vec<u8>> {
    let rows = pairs(summary).map(|(setting, method)| {
        let mut row = place(setting, method);
        row.extend([
            ("label".to_owned(), method.label.clone()),
            ("role".to_owned(), role(method.role).to_owned()),
            ("trials".to_owned(), setting.trials.to_string()),
            ("test_cells".to_owned(), setting.test_cells.to_string()),
            (
                "best_baseline".to_owned(),
                (setting.best_baseline.as_ref() == Some(&method.name)).to_string(),
            ),
            ("cannot_answer".to_owned(), method.cannot_answer.clone().unwrap_or_default()),
        ]);
        row.extend(numbers(method.result.as_ref()));
        row
    });
    table(rows, path)
}

/// Write `classes.csv`: a row for each setting, variant, method and class that occurs.
///
/// # Errors
/// [`Error::Io`] naming `path` if the table cannot be made.
pub(super) fn classes(summary: &Summary, path: &Path) -> Result<Vec<u8>> {
    let rows = pairs(summary).flat_map(|(setting, method)| {
        let classes = method.result.iter().flat_map(|result| &result.per_class);
        classes.map(move |class| {
            let mut row = place(setting, method);
            row.extend([
                ("class".to_owned(), class.class.clone()),
                ("precision".to_owned(), class.precision.to_string()),
                ("recall".to_owned(), class.recall.to_string()),
                ("f1".to_owned(), class.f1.to_string()),
                ("cells".to_owned(), class.cells.to_string()),
            ]);
            row
        })
    });
    table(rows, path)
}

/// Write `confusion.csv`: a row for each setting, variant, method, true and named class; pairs that never
/// happened are left out.
///
/// # Errors
/// [`Error::Io`] naming `path` if the table cannot be made.
pub(super) fn confusion(summary: &Summary, path: &Path) -> Result<Vec<u8>> {
    let rows = pairs(summary).flat_map(|(setting, method)| {
        let classes = &setting.classes;
        let counts = method.result.iter().flat_map(|result| result.confusion.iter().enumerate());
        let seen = counts.filter(|(_, cells)| **cells > 0);
        seen.filter_map(move |(at, cells)| {
            let mut row = place(setting, method);
            row.extend([
                ("true".to_owned(), classes.get(at / classes.len().max(1))?.clone()),
                ("named".to_owned(), classes[at % classes.len()].clone()),
                ("cells".to_owned(), cells.to_string()),
            ]);
            Some(row)
        })
    });
    table(rows, path)
}

/// A row: each value with the name of its column.
type Row = Vec<(String, String)>;

fn pairs(summary: &Summary) -> impl Iterator<Item = (&SettingSummary, &MethodSummary)> {
    summary
        .settings
        .iter()
        .flat_map(|setting| setting.methods.iter().map(move |method| (setting, method)))
}

fn place(setting: &SettingSummary, method: &MethodSummary) -> Row {
    vec![
        ("setting".to_owned(), setting.setting.clone()),
        ("variant".to_owned(), setting.variant.clone()),
        ("method".to_owned(), method.name.clone()),
    ]
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Screader => "screader",
        Role::Control => "control",
        Role::Baseline => "baseline",
    }
}

/// Every number of a result; the same columns, empty, where there is none.
fn numbers(result: Option<&MethodResult>) -> Row {
    let mut row = Row::new();
    let mut put = |name: &str, value: Option<f64>| {
        row.push((name.to_owned(), value.map(|value| value.to_string()).unwrap_or_default()));
    };
    type Score = fn(&MethodResult) -> MeanSd;
    let scores: [(&str, Score); 9] = [
        ("accuracy", |one| one.accuracy),
        ("balanced_accuracy", |one| one.balanced_accuracy),
        ("macro_precision", |one| one.macro_precision),
        ("macro_recall", |one| one.macro_recall),
        ("macro_f1", |one| one.macro_f1),
        ("weighted_precision", |one| one.weighted_precision),
        ("weighted_recall", |one| one.weighted_recall),
        ("weighted_f1", |one| one.weighted_f1),
        ("fit_seconds", |one| one.fit_seconds),
    ];
    for (name, of) in scores {
        let score = result.map(of);
        put(&format!("{name}_mean"), score.map(|score| score.mean));
        put(&format!("{name}_sd"), score.map(|score| score.sd));
    }
    let difference = result.and_then(|one| one.difference.as_ref());
    for (name, interval) in [
        ("accuracy", difference.map(|one| one.accuracy)),
        ("macro_f1", difference.map(|one| one.macro_f1)),
    ] {
        put(&format!("difference_{name}"), interval.map(|one| one.estimate));
        put(&format!("difference_{name}_low"), interval.map(|one| one.low));
        put(&format!("difference_{name}_high"), interval.map(|one| one.high));
    }
    put("calibration_error", result.map(|one| one.calibration_error));
    put("cells_per_second", result.map(|one| one.cells_per_second));
    let novelty = result.and_then(|one| one.novelty);
    put("novelty_auroc", novelty.map(|one| one.auroc));
    put("novelty_recall_at_95", novelty.map(|one| one.recall_at_95));
    put("novelty_recall", novelty.and_then(|one| one.recall));
    put("novelty_kept", novelty.and_then(|one| one.kept));
    let to = difference.map(|one| one.to.clone()).unwrap_or_default();
    row.push(("difference_to".to_owned(), to));
    let memory = result.and_then(|one| one.peak_memory);
    let memory = memory.map(|bytes| bytes.to_string()).unwrap_or_default();
    row.push(("peak_memory_bytes".to_owned(), memory));
    row
}

fn table(rows: impl Iterator<Item = Row>, path: &Path) -> Result<Vec<u8>> {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    for (number, row) in rows.enumerate() {
        if number == 0 {
            let names = row.iter().map(|(name, _)| name);
            writer.write_record(names).map_err(|error| Error::io(path, "write")(error.into()))?;
        }
        let values = row.iter().map(|(_, value)| value);
        writer.write_record(values).map_err(|error| Error::io(path, "write")(error.into()))?;
    }
    writer.into_inner().map_err(|error| Error::io(path, "write")(error.into_error()))
}
