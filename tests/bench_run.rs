//! `screader bench` as a user runs it: on the demo, stopped and gone on with, reported.

#![allow(clippy::unwrap_used)] // a test may fail by panicking

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use screader::bench::outcome::Record;

const METHODS: [&str; 8] = [
    "screader",
    "shuffled-genes",
    "no-llama",
    "text-alone",
    "genept-w-knn",
    "genept-w-centred-linear",
    "logistic-regression",
    "majority",
];

fn command(out: &Path, more: &[&str]) -> Command {
    let methods = format!("{},knn-pca", METHODS.join(","));
    let mut command = Command::new(env!("CARGO_BIN_EXE_screader"));
    command
        .args(["bench", "--device", "cpu", "--folds", "2", "--methods", &methods])
        .args(["--set", "train.steps=3", "--set", "rank.top_genes=8", "--out"])
        .arg(out)
        .args(more);
    command
}

fn bench(out: &Path, more: &[&str]) -> Output {
    command(out, more).output().unwrap()
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    (stdout, stderr)
}

fn records(folder: &Path) -> Vec<(PathBuf, Record)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                // A kill may leave a file that was not yet whole, under a hidden name.
                false if path.file_name().unwrap().to_string_lossy().starts_with('.') => {}
                false => {
                    let bytes = std::fs::read(&path).unwrap();
                    found.push((path, serde_json::from_slice(&bytes).unwrap()));
                }
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// What a record says, without how long it took.
fn timeless(record: &Record) -> Record {
    Record { fit_seconds: 0.0, read_seconds: 0.0, peak_memory: None, ..record.clone() }
}

#[test]
fn a_comparison_goes_on_where_it_stopped_and_reports_what_it_found() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("bench");
    let settings = ["--setting", "standard,disjoint-genes,unseen-type"];
    let (table, talk) = said(&bench(&out, &settings));
    for words in ["logistic regression", "cannot answer", "AUROC", "disjoint-genes"] {
        assert!(table.contains(words), "{words}: {table}");
    }
    assert!(talk.contains("report.html"), "{talk}");
    for file in ["report.html", "numbers.json", "methods.csv"] {
        assert!(out.join(file).exists(), "{file}");
    }
    assert!(!out.join("unfinished").exists() || records(&out.join("unfinished")).is_empty());
    let first = records(&out.join("trials"));
    // 2 folds, 2 folds and 8 types, each with every method and knn-pca.
    assert_eq!(first.len(), (2 + 2 + 8) * (METHODS.len() + 1));

    // Two results are lost, one is cut in half: only these are made again, and they are the same.
    let stamp = |path: &Path| std::fs::metadata(path).unwrap().modified().unwrap();
    let lost = |number: usize| first.iter().filter(|one| one.1.method == "screader").nth(number);
    let (one, other) = (&lost(0).unwrap().0, &lost(3).unwrap().0);
    std::fs::remove_file(one).unwrap();
    let bytes = std::fs::read(other).unwrap();
    std::fs::write(other, &bytes[..bytes.len() / 2]).unwrap();
    let before: Vec<_> = first
        .iter()
        .filter(|(path, _)| path != one && path != other)
        .map(|(p, _)| stamp(p))
        .collect();
    let (again, _) = said(&bench(&out, &settings));
    let second = records(&out.join("trials"));
    let after: Vec<_> = second
        .iter()
        .filter(|(path, _)| path != one && path != other)
        .map(|(p, _)| stamp(p))
        .collect();
    assert_eq!(before, after, "a result that was there was made again");
    let timeless = |all: &[(PathBuf, Record)]| -> Vec<Record> {
        all.iter().map(|(_, record)| timeless(record)).collect()
    };
    assert_eq!(timeless(&first), timeless(&second), "the same seed, other answers");
    assert_eq!(table, again);

    // Other settings of the network make its results anew, and only its own.
    let majority = |all: &[(PathBuf, Record)]| {
        let of = all.iter().filter(|one| one.1.method == "majority");
        of.map(|(path, _)| stamp(path)).collect::<Vec<_>>()
    };
    let kept = majority(&second);
    let more = [&settings[..], &["--set", "train.learning_rate=0.01"]].concat();
    said(&bench(&out, &more));
    let third = records(&out.join("trials"));
    assert_eq!(majority(&third), kept);
    assert_ne!(timeless(&second), timeless(&third));
}

#[test]
fn a_comparison_that_was_killed_keeps_what_it_had_and_ends_alike() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    let steps = ["--set", "train.steps=40", "--set", "train.checkpoint_every=5"];
    let (table, _) = said(&bench(&whole, &steps));

    let mut running =
        command(&killed, &steps).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let trials = killed.join("trials");
    while !trials.exists() || records(&trials).is_empty() {
        assert!(running.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::sleep(Duration::from_millis(2));
    }
    running.kill().unwrap();
    running.wait().unwrap();
    let stamps = |paths: &[PathBuf]| -> Vec<_> {
        paths.iter().map(|path| std::fs::metadata(path).unwrap().modified().unwrap()).collect()
    };
    let kept: Vec<PathBuf> = records(&trials).into_iter().map(|(path, _)| path).collect();
    assert!(kept.len() < 2 * (METHODS.len() + 1), "nothing was left to do");
    let before = stamps(&kept);
    let (again, _) = said(&bench(&killed, &steps));
    assert_eq!(stamps(&kept), before, "a result that was there was made again");
    assert_eq!(table, again);
}

#[test]
fn what_cannot_be_compared_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("bench");
    for (more, words) in [
        (&["--setting", "cross-species"][..], "--test-data"),
        (&["--setting", "cross-species", "--test-data", "human.h5ad"][..], "--orthologs"),
        (&["--setting", "cross-batch"][..], "--group-by"),
        (&["--data", "no such file.h5ad", "--backbone", "none"][..], "--genes"),
        (&["--folds", "1"][..], "folds"),
        (&["--setting", "few-shot", "--shots", "5,0"][..], "--shots"),
        (&["--panel-genes", "0"][..], "--panel-genes"),
    ] {
        let output = bench(&out, more);
        let talk = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{talk}");
        let errors: Vec<&str> = talk.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{talk}");
        assert!(errors[0].contains(words), "{talk}");
    }
    let unknown = Command::new(env!("CARGO_BIN_EXE_screader"))
        .args(["bench", "--methods", "screader,magic"])
        .output()
        .unwrap();
    let talk = String::from_utf8_lossy(&unknown.stderr);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(talk.contains("magic") && talk.contains("logistic-regression"), "{talk}");
}
