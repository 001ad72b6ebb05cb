//! What cannot be trained on is refused in one line, with exit code 2 and nothing half-written.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use screader::cells::{Cells, Column};
use screader::demo;
use screader::genes::Species;
use screader::io::write_h5ad;

struct Bench {
    folder: tempfile::TempDir,
    genes: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let genes = folder.path().join("genes.safetensors");
        demo::embeddings(Species::Mouse).unwrap().write(&genes).unwrap();
        Self { folder, genes }
    }

    fn file(&self, change: impl FnOnce(&mut Cells)) -> PathBuf {
        let mut cells = demo::simulate(Species::Mouse, 1).unwrap();
        change(&mut cells);
        let path = self.folder.path().join("cells.h5ad");
        write_h5ad(&cells, &path).unwrap();
        path
    }

    /// Train on `data` and return the one line of the refusal.
    fn refusal(&self, data: &Path, more: &[&str]) -> String {
        let run = self.folder.path().join("run");
        let output = Command::new(env!("CARGO_BIN_EXE_screader"))
            .args(["train", "--backbone", "random", "--set", "train.steps=1"])
            .args(["--set", "rank.top_genes=4", "--data"])
            .arg(data)
            .arg("--genes")
            .arg(&self.genes)
            .arg("--out")
            .arg(&run)
            .args(more)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        assert!(!run.join("best").exists() && !run.join("annotated.h5ad").exists());
        let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{said}");
        errors[0].to_string()
    }
}

fn relabel(cells: &mut Cells, label: impl Fn(usize) -> Option<String>) {
    let labels: Vec<Option<String>> = (0..cells.n_obs()).map(label).collect();
    cells.obs.columns.retain(|(name, _)| name != "cell_type");
    cells.obs.columns.push(("cell_type".to_string(), Column::categorical(&labels)));
}

#[test]
fn a_missing_label_names_the_columns_there_are() {
    let bench = Bench::new();
    let data = bench.file(|_| {});
    let line = bench.refusal(&data, &["--label", "celltype"]);
    assert!(line.contains("obs/celltype") && line.contains("cell_type"), "{line}");
}

#[test]
fn one_type_is_nothing_to_learn() {
    let bench = Bench::new();
    let data = bench.file(|cells| relabel(cells, |_| Some("beta".to_string())));
    assert!(bench.refusal(&data, &[]).contains("at least 2 cell types"));
    let data = bench.file(|cells| relabel(cells, |_| Some("NA".to_string())));
    assert!(bench.refusal(&data, &[]).contains("no labelled cell"));
}

#[test]
fn a_value_that_is_no_number_is_named() {
    let bench = Bench::new();
    let data = bench.file(|cells| cells.x.data[17] = f32::NAN);
    let line = bench.refusal(&data, &[]);
    assert!(line.to_lowercase().contains("nan"), "{line}");
}

#[test]
fn genes_that_the_table_does_not_know_are_too_few() {
    let bench = Bench::new();
    let data = bench.file(|cells| {
        for (number, name) in cells.var.index.iter_mut().enumerate().skip(20) {
            *name = format!("nobody{number}");
        }
        cells.var.columns.clear();
    });
    let line = bench.refusal(&data, &[]);
    assert!(line.contains("at least 20 %") && line.contains("nobody"), "{line}");
}

#[test]
fn fewer_cells_than_folds_are_refused() {
    let bench = Bench::new();
    let data = bench.file(|cells| {
        relabel(cells, |row| (row < 6).then(|| if row < 3 { "a" } else { "b" }.to_string()));
    });
    let line = bench.refusal(&data, &["--set", "split.method=kfold", "--set", "split.folds=10"]);
    assert!(line.contains("10"), "{line}");
}

#[test]
fn an_unknown_setting_and_a_missing_file_are_named() {
    let bench = Bench::new();
    let data = bench.file(|_| {});
    assert!(bench.refusal(&data, &["--set", "train.stepz=3"]).contains("stepz"));
    let missing = bench.folder.path().join("nowhere.h5ad");
    assert!(bench.refusal(&missing, &[]).contains("nowhere.h5ad"));
    assert!(bench.refusal(&data, &["--device", "cuda:99"]).contains("cuda:99"));
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_at_its_step() {
    let bench = Bench::new();
    let run = bench.folder.path().join("run");
    let output = Command::new(env!("CARGO_BIN_EXE_screader"))
        .args(["train", "--species", "mouse", "--set", "train.learning_rate=1e30"])
        .args(["--set", "train.clip_norm=0", "--set", "train.warmup=0", "--set", "train.steps=9"])
        .args(["--set", "rank.top_genes=4", "--set", "train.batch_size=8", "--out"])
        .arg(&run)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let line = said.lines().last().unwrap();
    assert!(line.starts_with("error: step ") && line.contains("not finite"), "{said}");
    assert!(line.contains("cells ") && !run.join("best").exists(), "{said}");
}
