//! A run that is killed at any instant and resumed ends with the weights of an uninterrupted one.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Small enough for 50 kills, with checkpoints often enough that kills fall into their writing.
const SETTINGS: [&str; 6] = [
    "train.steps=24",
    "train.batch_size=8",
    "train.micro_batch_size=8",
    "train.evaluate_every=4",
    "train.checkpoint_every=2",
    "rank.top_genes=12",
];

const KILLS: usize = 50;

fn train(out: &Path, threads: usize, resume: bool) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_screader"));
    command.args(["train", "--species", "mouse", "--device", "cpu", "--out"]).arg(out);
    command.args(["--threads", &threads.to_string()]);
    for setting in SETTINGS {
        command.args(["--set", setting]);
    }
    if resume {
        command.arg("--resume");
    }
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn finish(child: Child) {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn weights(run: &Path) -> Vec<Vec<u8>> {
    ["best/trainable.safetensors", "last/trainable.safetensors", "last/optimizer.safetensors"]
        .iter()
        .map(|file| fs::read(run.join(file)).unwrap())
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_one_thread_and_on_two() {
    let folder = tempfile::tempdir().unwrap();
    let runs: Vec<PathBuf> = [1, 2, 2]
        .iter()
        .enumerate()
        .map(|(index, &threads)| {
            let run = folder.path().join(format!("run-{index}"));
            finish(train(&run, threads, false));
            run
        })
        .collect();
    assert_eq!(weights(&runs[0]), weights(&runs[1]));
    assert_eq!(weights(&runs[1]), weights(&runs[2]));
    let journal = |run: &PathBuf| fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    assert_eq!(journal(&runs[0]), journal(&runs[1]));
}

#[test]
fn fifty_kills_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let started = Instant::now();
    finish(train(&whole, 2, false));
    let time = started.elapsed();
    let expected = weights(&whole);

    let mut rng = ChaCha8Rng::seed_from_u64(50);
    let (mut kills, mut finished) = (0, 0);
    let mut run = folder.path().join("run-0");
    while kills < KILLS {
        let mut child = train(&run, 2, true);
        let instant = rng.random_range(Duration::ZERO..time);
        let deadline = Instant::now() + instant;
        while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        if child.try_wait().unwrap().is_some() {
            finish(child);
            assert_eq!(weights(&run), expected, "after {kills} kills");
            finished += 1;
            run = folder.path().join(format!("run-{finished}"));
            continue;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    finish(train(&run, 2, true));
    assert_eq!(weights(&run), expected, "after {kills} kills and {finished} finished runs");
    assert_eq!(
        fs::read_to_string(run.join("metrics.jsonl")).unwrap(),
        fs::read_to_string(whole.join("metrics.jsonl")).unwrap()
    );
}
