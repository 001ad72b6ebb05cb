//! `screader annotate` and `screader report`: clusters are named by tables and by language models, and drawn.

#![allow(clippy::unwrap_used)] // a test may panic

mod http_server;
#[path = "../models/tests/generate/talker.rs"]
mod talker;

use std::path::Path;
use std::process::{Command, Output};

use http_server::{Reply, Server};
use screader::annotate::{ClusteredCells, read_annotations};
use screader::demo;
use screader::genes::Species;
use screader::io::{ReadOptions, read, write_h5ad};
use screader::prep::GroupTest;
use serde_json::{Value, json};

const KEY: &str = "sk-this-key-must-never-be-seen";

fn screader(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_screader"));
    command.current_dir(folder).env("SOME_KEY", KEY).env_remove("OPENAI_API_KEY");
    command.args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    let (out, error) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(error))
}

#[track_caller]
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    said(output)
}

#[track_caller]
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = screader(folder, arguments);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let line = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    assert!(!line.contains("panicked"), "{line}");
    line
}

/// A folder with markers of two clusters.
fn markers() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let table = "group,names,scores,logfoldchanges,pvals,pvals_adj\n0,CD3D,30,2,0,0\n0,IL7R,20,2,0,0\n\
                 1,LYZ,40,4,0,0\n1,S100A8,39,4,0,0\n";
    std::fs::write(folder.path().join("markers.csv"), table).unwrap();
    folder
}

/// A server that speaks OpenAI's interface and names both clusters.
fn server() -> Server {
    Server::start(|_, number| {
        let text = if number % 2 == 0 { "T cells\nMonocytes" } else { "1. T cell\n2. Macrophages" };
        let answer = json!({
            "id": "1", "object": "chat.completion", "created": 1, "model": "some-model-2026",
            "choices": [{"index": 0, "finish_reason": "stop",
                         "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55},
        });
        Reply::new(200, answer.to_string())
    })
}

#[test]
fn counts_become_named_clusters_and_a_page_without_network() {
    let folder = tempfile::tempdir().unwrap();
    let cells = demo::simulate(Species::Mouse, 7).unwrap();
    let path = |name: &str| folder.path().join(name);
    write_h5ad(&cells, &path("raw.h5ad")).unwrap();
    // What marks each type, learned of the true types: a table as people have them.
    let raw = path("raw.h5ad");
    let truth = ClusteredCells::open(&raw, Some("cell_type"), None).unwrap();
    let known = truth.markers(&truth.rank(GroupTest::Wilcoxon).unwrap(), 12);
    let mut table = "cell_type,gene\n".to_owned();
    for one in &known {
        one.genes.iter().for_each(|gene| table.push_str(&format!("{},{gene}\n", one.cluster)));
    }
    std::fs::write(path("known.csv"), table).unwrap();

    done(&screader(
        folder.path(),
        &["cluster", "raw.h5ad", "--out", "clustered.h5ad", "--min-genes", "20"],
    ));
    let annotate = ["annotate", "clustered.h5ad", "--marker-table", "known.csv", "--out", "named"];
    let words = done(&screader(folder.path(), &annotate));
    assert!(words.contains("nothing left this machine"), "{words}");

    let named = read(&path("named/annotated.h5ad"), &ReadOptions::default()).unwrap();
    let column = |name: &str| named.obs.column(name).unwrap();
    let (labels, truth) = (column("screader_cell_type"), column("cell_type"));
    let right = (0..named.n_obs()).filter(|&cell| labels.text(cell) == truth.text(cell)).count();
    assert!(right * 10 > named.n_obs() * 7, "{right} of {}", named.n_obs());

    done(&screader(folder.path(), &["report", "named"]));
    let page = std::fs::read_to_string(path("named/report.html")).unwrap();
    for words in [
        "Cells by label",
        "Cells by counts",
        "figures/markers.svg",
        "Left this machine",
        "Barcode curve",
        "knee",
    ] {
        assert!(page.contains(words), "{words} is missing");
    }
    assert!(!page.contains("<script") && !page.contains("src=\"http"), "nothing is fetched");
    for name in ["map-labels.svg", "map-clusters.png", "markers.png"] {
        assert!(path("named/figures").join(name).metadata().unwrap().len() > 1000, "{name}");
    }
}

#[test]
fn a_recorded_run_is_reproduced_offline_byte_for_byte_and_holds_no_key() {
    let (folder, server) = (markers(), server());
    let url = format!("{}/v1", server.url());
    let common = |out: &'static str| {
        vec![
            "annotate",
            "markers.csv",
            "--tissue",
            "PBMC",
            "--provider",
            "openai",
            "--model",
            "m",
            "--repeats",
            "2",
            "--concurrency",
            "1",
            "--max-tokens",
            "50",
            "--key-variable",
            "SOME_KEY",
            "--out",
            out,
        ]
    };
    let mut first = common("first");
    first.extend(["--base-url", &url, "--record", "run.jsonl"]);
    let words = done(&screader(folder.path(), &first));
    assert_eq!(server.requests().len(), 2);
    assert_eq!(server.requests()[0].headers["authorization"], format!("Bearer {KEY}"));
    let sent: Value = serde_json::from_str(&server.requests()[0].body).unwrap();
    assert_eq!(sent["max_tokens"], 50);
    let question = sent["messages"][1]["content"].as_str().unwrap();
    assert!(question.ends_with("\nCD3D,IL7R\nLYZ,S100A8"), "{question}");
    drop(server);

    let mut second = common("second");
    second.extend(["--base-url", &url, "--replay", "run.jsonl"]);
    done(&screader(folder.path(), &second));
    for name in ["annotations.json", "annotations.csv"] {
        let of = |run: &str| std::fs::read(folder.path().join(run).join(name)).unwrap();
        assert!(of("first") == of("second"), "{name}");
        assert!(!String::from_utf8(of("first")).unwrap().contains(KEY));
    }
    assert!(!std::fs::read_to_string(folder.path().join("run.jsonl")).unwrap().contains(KEY));
    assert!(!words.contains(KEY));

    let found = read_annotations(&folder.path().join("first")).unwrap();
    let labels: Vec<&str> = found.clusters.iter().map(|one| one.label.as_str()).collect();
    assert_eq!(labels, ["T cells", "Monocytes"]);
    assert_eq!(found.clusters[1].confidence, Some(0.5));
    assert_eq!(found.clusters[1].alternatives, ["Macrophages"]);
    assert_eq!(found.usage.prompt_tokens, 100);
    done(&screader(folder.path(), &["report", "first"]));
    let page = std::fs::read_to_string(folder.path().join("first/report.html")).unwrap();
    assert!(page.contains("What was asked and answered") && page.contains("Macrophages"));
}

#[test]
fn genes_that_tell_how_busy_a_cell_is_are_left_out_unless_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let table = "cluster,gene\n0,RPS27\n0,MT-CO1\n0,CD3D\n0,IL7R\n1,LYZ\n1,Rpl13a\n1,RPS6KA1\n";
    std::fs::write(folder.path().join("markers.csv"), table).unwrap();
    let asked = |more: &[&str]| {
        let first = ["annotate", "markers.csv", "--provider", "openai", "--model", "m"];
        let last = ["--dry-run", "--out", "out", "--n-markers", "3"];
        let output = screader(folder.path(), &[&first[..], &last, more].concat());
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let question = asked(&[]);
    assert!(question.contains("\nCD3D,IL7R\nLYZ,RPS6KA1\n"), "{question}");
    let price = ["--base-url", "https://models.example/v1", "--price", "2,10.5"];
    let output = screader(
        folder.path(),
        &[
            &["annotate", "markers.csv", "--provider", "openai", "--model", "m"][..],
            &price,
            &["--dry-run", "--out", "out"],
        ]
        .concat(),
    );
    // A thousand tokens of the answer, and some of the question.
    assert!(said(&output).contains("0.010"), "{}", said(&output));
    let question = asked(&["--all-genes"]);
    assert!(question.contains("\nRPS27,MT-CO1,CD3D\nLYZ,Rpl13a,RPS6KA1\n"), "{question}");
}

#[test]
fn an_ollama_server_is_asked_in_its_own_words() {
    let folder = markers();
    let server = Server::start(|_, _| {
        let answer = json!({"model": "llama3.1", "message": {"role": "assistant",
            "content": "<think>hm</think>- T cells\n- Monocytes"}, "done": true, "done_reason": "stop",
            "prompt_eval_count": 40, "eval_count": 6});
        Reply::new(200, answer.to_string())
    });
    let url = server.url();
    let arguments = [
        "annotate",
        "markers.csv",
        "--provider",
        "ollama",
        "--model",
        "llama3.1",
        "--base-url",
        &url,
        "--out",
        "named",
    ];
    let words = done(&screader(folder.path(), &arguments));
    assert_eq!(server.requests()[0].path, "/api/chat");
    assert!(words.contains("T cells") && words.contains("nothing left this machine"), "{words}");
}

#[test]
fn a_model_in_a_folder_is_asked_without_network_and_answers_in_its_form() {
    let (folder, model) = (markers(), talker::talker());
    let of = |out: &'static str, seed: &'static str| {
        let folder_of_model = model.path().to_str().unwrap();
        let arguments = [
            "annotate",
            "markers.csv",
            "--tissue",
            "PBMC",
            "--provider",
            "local",
            "--model",
            folder_of_model,
            "--prompt",
            "structured",
            "--temperature",
            "0.5",
            "--seed",
            seed,
            "--device",
            "cpu",
            "--out",
            out,
        ];
        let words = done(&screader(folder.path(), &arguments));
        assert!(words.contains("nothing left this machine"), "{words}");
        (words, std::fs::read(folder.path().join(out).join("annotations.json")).unwrap())
    };
    let (words, first) = of("first", "1");
    assert!(words.contains("no chat template"), "{words}");
    assert_eq!(of("second", "1").1, first, "the same seed");
    let found = read_annotations(&folder.path().join("first")).unwrap();
    assert!(found.usage.prompt_tokens > 100 && found.usage.completion_tokens > 10);
    assert_eq!(found.models, [model.path().file_name().unwrap().to_str().unwrap()]);
    let text = String::from_utf8(first).unwrap();
    assert!(!text.contains(model.path().to_str().unwrap()), "where it lies is not told");
    let line = refused(
        folder.path(),
        &["annotate", "markers.csv", "--provider", "local", "--model", "nowhere", "--out", "x"],
    );
    assert!(line.contains("nowhere") && line.contains("fetch backbone"), "{line}");
    let line =
        refused(folder.path(), &["annotate", "markers.csv", "--provider", "local", "--out", "x"]);
    assert!(line.contains("--model"), "{line}");
}

#[test]
fn a_dry_run_shows_the_questions_and_asks_none() {
    let (folder, server) = (markers(), server());
    let url = server.url();
    let arguments = [
        "annotate",
        "markers.csv",
        "--tissue",
        "PBMC",
        "--provider",
        "openai",
        "--model",
        "m",
        "--base-url",
        &url,
        "--dry-run",
        "--out",
        "named",
    ];
    let words = done(&screader(folder.path(), &arguments));
    assert!(words.contains("Identify cell types of PBMC cells") && words.contains(&url), "{words}");
    assert!(server.requests().is_empty());
    assert!(!folder.path().join("named").exists(), "nothing is written");
}

#[test]
fn what_cannot_be_done_is_said_in_one_line() {
    let folder = markers();
    let at = folder.path();
    let cells = demo::simulate(Species::Mouse, 7).unwrap();
    write_h5ad(&cells, &at.join("raw.h5ad")).unwrap();
    std::fs::write(at.join("known.csv"), "cell_type,gene\nT cell,CD3D\n").unwrap();
    let line = refused(at, &["annotate", "markers.csv", "--out", "x"]);
    assert!(line.contains("--marker-table"), "{line}");
    let line = refused(at, &["annotate", "raw.h5ad", "--marker-table", "known.csv", "--out", "x"]);
    assert!(line.contains("screader cluster") && line.contains("cell_type"), "{line}");
    let openai = ["annotate", "markers.csv", "--provider", "openai", "--out", "x"];
    let line = refused(at, &openai);
    assert!(line.contains("--model"), "{line}");
    let line = refused(at, &[&openai[..], &["--model", "gpt-4o"]].concat());
    assert!(line.contains("OPENAI_API_KEY"), "{line}");
    let line = refused(at, &[&openai[..], &["--model", "m", "--prompt", "nice"]].concat());
    assert!(line.contains("hou_ji"), "{line}");
    let line = refused(at, &["report", "x"]);
    assert!(line.contains("annotations.json"), "{line}");
    assert!(!at.join("x").exists(), "nothing is half written");
}

#[test]
fn an_ablation_compares_models_prompts_and_numbers_of_markers_and_asks_nothing_twice() {
    let (folder, server) = (markers(), server());
    let url = format!("{}/v1", server.url());
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("truth.csv", "cluster,type\n0,T cell\n1,macrophage\n");
    write("known.csv", "cell_type,gene\nT cell,CD3D\nT cell,IL7R\nmonocyte,LYZ\nmonocyte,S100A8\n");
    let ablate = [
        "ablate",
        "markers.csv",
        "--truth",
        "truth.csv",
        "--marker-table",
        "known.csv",
        "--base-url",
        &url,
        "--model",
        "m",
        "--prompt",
        "hou_ji",
        "--n-markers",
        "1,2",
        "--key-variable",
        "SOME_KEY",
        "--record",
        "run.jsonl",
        "--json",
        "--out",
        "ablation",
    ];
    let output = screader(folder.path(), &ablate);
    done(&output);
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let seen: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["model"].as_str().unwrap(),
                row["n_markers"].as_u64().unwrap(),
                row["right"].as_f64().unwrap(),
            )
        })
        .collect();
    // One marker alone names nothing by tables; the server's two answers take turns.
    let expected = [("tables", 1, 0.0), ("tables", 2, 0.5), ("m", 1, 0.5), ("m", 2, 1.0)];
    assert_eq!(seen, expected);
    assert_eq!((rows[3]["tokens"].as_u64(), rows[0]["tokens"].as_u64()), (Some(55), Some(0)));
    assert_eq!(server.requests().len(), 2);
    assert!(
        server.requests()[0].body.contains("CD3D") && !server.requests()[0].body.contains("IL7R")
    );
    let read =
        |name: &str| std::fs::read_to_string(folder.path().join("ablation").join(name)).unwrap();
    let labels = read("labels.csv");
    assert!(labels.contains("1,macrophage,unknown,monocyte,Monocytes,Macrophages\n"), "{labels}");
    let table = read("ablation.csv");

    // Stopped and begun again: everything is in the recording.
    done(&screader(folder.path(), &ablate));
    assert_eq!((server.requests().len(), read("ablation.csv")), (2, table));
    let nothing = ["ablate", "markers.csv", "--truth", "truth.csv", "--out", "other"];
    assert!(refused(folder.path(), &nothing).contains("--model"));
    let no_truth = [
        "ablate",
        "markers.csv",
        "--truth",
        "cell_type",
        "--marker-table",
        "known.csv",
        "--out",
        "other",
    ];
    assert!(refused(folder.path(), &no_truth).contains("no such file"));
}
