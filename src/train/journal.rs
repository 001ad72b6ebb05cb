//! What a run says while it runs: one line per step in `metrics.jsonl`, one live line on the terminal.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::checkpoint::Progress;
use super::evaluate::Evaluation;
use super::loss_scale::LossScale;
use crate::{Error, Result};

/// The open journal of a run.
pub struct Journal {
    path: PathBuf,
    file: File,
    bar: ProgressBar,
    quiet: bool,
    cells: usize,
    time: Duration,
    validation: String,
}

impl Journal {
    /// Open `folder/metrics.jsonl`, keeping the lines up to and including `step`.
    /// A quiet one says nothing on the terminal.
    pub fn open(folder: &Path, step: usize, total: usize, quiet: bool) -> Result<Self> {
        let path = folder.join("metrics.jsonl");
        if step == 0 {
            fs::write(&path, "").map_err(Error::io(&path, "write"))?;
        } else {
            keep_until(&path, step)?;
        }
        let file = OpenOptions::new().append(true).open(&path).map_err(Error::io(&path, "open"))?;
        let bar = match quiet {
            true => ProgressBar::hidden(),
            false => ProgressBar::new(total as u64).with_position(step as u64),
        };
        bar.set_style(
            ProgressStyle::with_template("training {bar:24} {pos}/{len} {msg} · {eta} left")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.reset_eta();
        let validation = String::new();
        Ok(Self { path, file, bar, quiet, cells: 0, time: Duration::ZERO, validation })
    }

    /// Record one optimiser step.
    pub fn step(
        &mut self,
        step: usize,
        loss: f64,
        rate: f64,
        norm: f64,
        cells: usize,
        took: Duration,
    ) -> Result<()> {
        self.cells += cells;
        self.time += took;
        let speed = self.cells as f64 / self.time.as_secs_f64().max(1e-9);
        self.bar.set_message(format!(
            "loss {loss:.3} · lr {rate:.1e} · {speed:.0} cells/s{}",
            self.validation
        ));
        self.bar.set_position(step as u64);
        self.line(
            json!({ "step": step, "loss": loss, "learning_rate": rate, "gradient_norm": norm }),
        )
    }

    /// Record a step that was left out, since its loss or gradient (`what`) is not finite.
    pub fn skipped(&mut self, step: usize, what: &str, scale: &LossScale) -> Result<()> {
        if !self.quiet {
            let factor = scale.factor;
            self.bar.suspend(|| {
                eprintln!("step {step}: left out, its {what} is not finite (loss scale {factor})")
            });
        }
        self.bar.set_position(step as u64);
        self.line(json!({ "step": step, "skipped": what, "loss_scale": scale.factor }))
    }

    /// Record one look at the validation cells.
    pub fn look(&mut self, step: usize, evaluation: &Evaluation, improved: bool) -> Result<()> {
        let mark = if improved { "best " } else { "" };
        let macro_f1 = evaluation.macro_f1;
        self.validation = format!(" · {mark}validation F1 {macro_f1:.3}");
        if self.bar.is_hidden() && !self.quiet {
            eprintln!(
                "step {step}: validation loss {:.3}, accuracy {:.3}, macro-F1 {macro_f1:.3} {mark}",
                evaluation.loss, evaluation.accuracy
            );
        }
        self.line(json!({
            "step": step,
            "validation_loss": evaluation.loss,
            "validation_accuracy": evaluation.accuracy,
            "validation_macro_f1": macro_f1,
            "best": improved,
        }))
    }

    /// Leave the terminal with a last line.
    pub fn close(self, progress: &Progress) {
        self.bar.finish_and_clear();
        let speed = self.cells as f64 / self.time.as_secs_f64().max(1e-9);
        if self.cells > 0 && !self.quiet {
            let skipped = match progress.scale.skipped {
                0 => String::new(),
                skipped => format!(", {skipped} of them left out"),
            };
            eprintln!(
                "trained {} steps{skipped} in {:.0} s ({speed:.0} cells/s), best at step {}",
                progress.step,
                self.time.as_secs_f64(),
                progress.best_step
            );
        }
    }

    fn line(&mut self, line: serde_json::Value) -> Result<()> {
        writeln!(self.file, "{line}").map_err(Error::io(&self.path, "write"))
    }
}

/// Drop what an interrupted run wrote after its last checkpoint: those steps are taken again.
fn keep_until(path: &Path, step: usize) -> Result<()> {
    let file = File::open(path).map_err(Error::io(path, "open"))?;
    let mut kept = String::new();
    for line in BufReader::new(file).lines() {
        let line = line.map_err(Error::io(path, "read"))?;
        let value: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        if value["step"].as_u64().is_some_and(|of| of <= step as u64) {
            kept.push_str(&line);
            kept.push('\n');
        }
    }
    let fresh = path.with_extension("jsonl.new");
    fs::write(&fresh, kept).map_err(Error::io(&fresh, "write"))?;
    fs::rename(&fresh, path).map_err(Error::io(path, "rename"))
}
