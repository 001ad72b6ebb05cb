//! `screader doctor` as a user runs it.

#![allow(clippy::unwrap_used)] // a test may panic

use assert_cmd::Command;
use serde_json::Value;

fn doctor(arguments: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = Command::cargo_bin("screader").unwrap();
    command.arg("doctor").args(arguments).env_remove("SCREADER_MINILM").assert()
}

fn stdout(assert: assert_cmd::assert::Assert) -> String {
    String::from_utf8(assert.success().get_output().stdout.clone()).unwrap()
}

#[test]
fn the_text_names_every_kind_of_device_and_every_backbone() {
    let text = stdout(doctor(&[]));
    for word in ["cpu", "cuda", "wgpu", "MiniLM", "llama-2-13b", "smollm2-135m", "13.0B"] {
        assert!(text.contains(word), "{word} is missing from\n{text}");
    }
    assert!(text.lines().all(|line| line.len() < 160), "{text}");
}

#[test]
fn the_json_holds_bytes_for_every_backbone() {
    let report: Value = serde_json::from_str(&stdout(doctor(&["--json"]))).unwrap();
    assert!(report["processor"]["memory_bytes"].as_u64().unwrap() > 100 << 20);
    let backbones = report["backbones"].as_array().unwrap();
    assert_eq!(backbones.len(), 9);
    for backbone in backbones {
        let weights = |format: &str| backbone["needs"][format]["weights_bytes"].as_u64().unwrap();
        assert_eq!(weights("f32"), 2 * weights("bf16"));
        // 4.5 bits, the scales included.
        assert_eq!(weights("bf16") * 9 / 32, weights("int4"));
        assert!(backbone["cells_at_once"]["cpu"]["f32"].is_u64());
    }
}

#[test]
fn fewer_tokens_let_more_cells_in() {
    let cells = |tokens: &str| {
        let text = stdout(doctor(&["--json", "--tokens", tokens]));
        let report: Value = serde_json::from_str(&text).unwrap();
        report["backbones"][0]["needs"]["f32"]["cell_bytes"].as_u64().unwrap()
    };
    assert_eq!(cells("2064"), 8 * cells("258"));
}

#[test]
fn a_fetched_backbone_is_marked() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("tinyllama-1.1b")).unwrap();
    std::fs::write(folder.path().join("tinyllama-1.1b/config.json"), "{}").unwrap();
    let text = stdout(doctor(&["--checkpoints", folder.path().to_str().unwrap()]));
    let marked: Vec<&str> = text.lines().filter(|line| line.ends_with("  fetched")).collect();
    assert!(marked.len() == 1 && marked[0].contains("tinyllama-1.1b"), "{text}");
}

#[test]
fn no_tokens_is_bad_usage() {
    doctor(&["--tokens", "0"]).failure().code(2);
}
