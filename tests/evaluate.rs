//! `screader evaluate` as a user runs it.

#![allow(clippy::unwrap_used)] // a test may panic

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn evaluate(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_screader"));
    command.current_dir(folder).arg("evaluate").args(arguments).output().unwrap()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let table = "cluster,manual,one,other\n0,T cell,T cells,naive T cells\n1,T cell,T lymphocyte,unknown\n\
                 2,B cell,T cell,B cell\n3,,T cell,B cell\n";
    std::fs::write(folder.path().join("clusters.csv"), table).unwrap();
    let obo = "format-version: 1.2\n\n[Term]\nid: CL:1\nname: T cell\nsynonym: \"T-lymphocyte\" EXACT []\n\n\
               [Term]\nid: CL:2\nname: naive T cell\nis_a: CL:1\n\n[Term]\nid: CL:3\nname: B cell\n";
    std::fs::write(folder.path().join("cl.obo"), obo).unwrap();
    std::fs::write(
        folder.path().join("labels.csv"),
        "originalname,Clname,CLID,type\nt cell,T cell,CL:1,t/nk cell\nnaive t cell,naive T cell,CL:2,t/nk cell\n",
    )
    .unwrap();
    std::fs::write(folder.path().join("relation.csv"), "b cell,lymphocyte\n").unwrap();
    folder
}

#[test]
fn columns_are_compared_side_by_side_layer_by_layer() {
    let folder = folder();
    let arguments = [
        "clusters.csv",
        "--predicted",
        "one,other",
        "--truth",
        "manual",
        "--ontology",
        "cl.obo",
        "--gptcelltype",
        "labels.csv",
        "--relation",
        "relation.csv",
        "--out",
        "pairs.csv",
        "--json",
    ];
    let output = evaluate(folder.path(), &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let numbers = |row: usize| {
        let keys = ["compared", "exact", "synonym", "descendant", "fuzzy", "wrong", "unknown"];
        keys.map(|key| found[row][key].as_u64().unwrap())
    };
    assert_eq!(numbers(0), [3, 1, 1, 0, 0, 1, 0]);
    assert_eq!(numbers(1), [3, 1, 0, 1, 0, 0, 1]);
    // T cells is right, a T lymphocyte in no table, a T cell no B cell.
    assert!((found[0]["gptcelltype"].as_f64().unwrap() - 1.0 / 3.0).abs() < 1e-12);
    // A naive T cell is half a T cell, unknown is nothing, a B cell itself.
    assert!((found[1]["gptcelltype"].as_f64().unwrap() - 0.5).abs() < 1e-12);
    let pairs = std::fs::read_to_string(folder.path().join("pairs.csv")).unwrap();
    assert!(pairs.contains("other,rows,T cell,naive T cells,descendant,0.5,1\n"), "{pairs}");
}

#[test]
fn a_column_that_is_not_there_is_refused_with_those_that_are() {
    let folder = folder();
    let output = evaluate(folder.path(), &["clusters.csv", "--truth", "manual"]);
    assert_eq!(output.status.code(), Some(2));
    let line = String::from_utf8_lossy(&output.stderr);
    assert!(
        line.contains("screader_cell_type") && line.contains("[cluster, manual, one, other]"),
        "{line}"
    );
}

#[test]
fn clusters_speak_with_the_voice_of_most_of_their_cells() {
    let folder = folder();
    let table = "leiden,truth,given\n0,T cell,T cells\n0,T cell,hepatocite\n0,B cell,T cell\n1,hepatocyte,hepatocite\n";
    std::fs::write(folder.path().join("cells.csv"), table).unwrap();
    let run = |more: &[&str]| {
        let start = ["cells.csv", "--truth", "truth", "--predicted", "given"];
        evaluate(folder.path(), &[&start, more].concat())
    };
    let output = run(&["--clusters", "leiden", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let both = ["rows", "clusters"].iter().zip(found.as_array().unwrap());
    let seen: Vec<_> = both
        .map(|(of, one)| {
            assert_eq!(one["of"], *of);
            (
                one["compared"].as_u64().unwrap(),
                one["exact"].as_u64().unwrap(),
                one["fuzzy"].clone(),
            )
        })
        .collect();
    assert_eq!(seen, [(4, 1, 1.into()), (2, 1, 1.into())]);
    assert_eq!((found[0]["right"].as_f64(), found[0]["credit"].as_f64()), (Some(0.25), Some(0.5)));

    let output = run(&["--confusion", "confusion.csv"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let matrix = std::fs::read_to_string(folder.path().join("confusion.csv")).unwrap();
    let expected =
        "truth,T cells,hepatocite,T cell\nT cell,1,1,0\nB cell,0,0,1\nhepatocyte,0,1,0\n";
    assert_eq!(matrix, expected);
    for picture in ["confusion.svg", "confusion.png"] {
        let output = run(&["--confusion", picture]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let drawing = std::fs::read_to_string(folder.path().join("confusion.svg")).unwrap();
    roxmltree::Document::parse(&drawing).unwrap();
    assert!(drawing.contains("T cell, named hepatocite: 1 of 2 rows (50 %)"), "{drawing}");
    let picture = std::fs::read(folder.path().join("confusion.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
    let output = run(&["--clusters", "leiden", "--confusion", "other.csv"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!folder.path().join("other.csv").exists());
}

#[test]
fn markers_of_named_clusters_are_held_to_a_table() {
    let folder = folder();
    std::fs::write(
        folder.path().join("known.csv"),
        "cell_type,gene\nB cell,CD79A\nB cell,MS4A1\nT cell,CD3D\n",
    )
    .unwrap();
    let markers = "cluster,gene\n0,CD79A\n0,MS4A1\n1,CD3D\n1,XIST\n";
    std::fs::write(folder.path().join("markers.csv"), markers).unwrap();
    let mut annotate = Command::new(env!("CARGO_BIN_EXE_screader"));
    let annotate = annotate
        .current_dir(folder.path())
        .args(["annotate", "markers.csv", "--marker-table", "known.csv", "--out", "named.v1"])
        .output()
        .unwrap();
    assert!(annotate.status.success(), "{}", String::from_utf8_lossy(&annotate.stderr));
    let arguments = ["named.v1", "--marker-table", "known.csv", "--json", "--out", "overlap.csv"];
    let output = evaluate(folder.path(), &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found[0]["label"], "B cell");
    assert_eq!(found[0]["shared"], serde_json::json!(["CD79A", "MS4A1"]));
    assert_eq!(found[0]["jaccard"], 1.0);
    // One gene alone names nothing, and what is unknown is in no table.
    assert_eq!((found[1]["label"].as_str(), found[1]["p"].as_f64()), (Some("unknown"), Some(1.0)));
    let table = std::fs::read_to_string(folder.path().join("overlap.csv")).unwrap();
    assert!(table.contains("0,B cell,B cell,2,2,2,1.0000,"), "{table}");
    // What lies beside the annotations is not them.
    std::fs::write(folder.path().join("named.v1/other.json"), "{}").unwrap();
    for other in ["markers.csv", "named.v1/other.json"] {
        let output = evaluate(folder.path(), &[other, "--marker-table", "known.csv"]);
        assert_eq!(output.status.code(), Some(2), "{other}");
    }
    let by_file = ["named.v1/annotations.json", "--marker-table", "known.csv", "--json"];
    assert_eq!(evaluate(folder.path(), &by_file).stdout, output.stdout);
}
