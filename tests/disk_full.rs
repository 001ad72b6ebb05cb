//! A disk that refuses to take more: one clear line, nothing half-written, and what was there stays.

#![allow(clippy::unwrap_used)] // a test may fail by panicking
#![cfg(unix)] // where a shell can limit what a process writes

use std::path::Path;
use std::process::{Command, Output};

use screader::demo;
use screader::genes::Species;
use screader::io::write_h5ad;

/// Run the command with files limited to `blocks` of 512 bytes; a write beyond fails as on a full disk,
/// since the signal that would end the process is ignored.
fn limited(blocks: usize, args: &[&str]) -> Output {
    Command::new("sh")
        .arg("-c")
        .arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\""))
        .arg(env!("CARGO_BIN_EXE_screader"))
        .args(args)
        .output()
        .unwrap()
}

fn refused(output: &Output, place: &Path) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{said}");
    assert!(errors[0].contains(place.to_str().unwrap()), "{said}");
}

fn files_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn training_and_inference_on_a_full_disk_leave_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (data, genes, run) = (path("cells.h5ad"), path("genes.safetensors"), path("run"));
    write_h5ad(&demo::simulate(Species::Mouse, 1).unwrap(), &data).unwrap();
    demo::embeddings(Species::Mouse).unwrap().write(&genes).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (data_text, genes_text, run_text) = (text(&data), text(&genes), text(&run));
    let train = [
        ["train", "--backbone", "random", "--data", &data_text, "--genes", &genes_text],
        ["--out", &run_text, "--set", "rank.top_genes=4", "--set", "train.steps=2", "--set"],
    ]
    .concat();
    // A deep projection, so that the checkpoint is longer than the gene table.
    let train = [&train[..], &["model.projection_layers=60", "--device", "cpu"]].concat();

    // Room for the gene table, not for the checkpoint.
    let table = std::fs::metadata(&genes).unwrap().len() as usize;
    let blocks = table.div_ceil(512) + 64;
    refused(&limited(blocks, &train), &run);
    assert_eq!(files_in(&run), ["genes.safetensors", "metrics.jsonl"], "half a checkpoint stays");

    // With room the same command resumes, from the start; its checkpoint then outlives a full disk.
    let resumed = [&train[..], &["--resume"]].concat();
    let output = Command::new(env!("CARGO_BIN_EXE_screader")).args(&resumed).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let weights = std::fs::read(run.join("best/trainable.safetensors")).unwrap();

    let out = path("annotated.h5ad");
    let out_text = text(&out);
    std::fs::write(&out, "an older file").unwrap();
    let infer = ["infer", "--checkpoint", &run_text, "--data", &data_text, "--out", &out_text];
    let before = files_in(folder.path());
    refused(&limited(64, &infer), folder.path());
    assert_eq!(std::fs::read(&out).unwrap(), b"an older file");
    assert_eq!(files_in(folder.path()), before, "a temporary file was left");
    assert_eq!(std::fs::read(run.join("best/trainable.safetensors")).unwrap(), weights);
}
