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
        let keys = ["compared", "exact", "synonym", "descendant", "wrong", "unknown"];
        keys.map(|key| found[row][key].as_u64().unwrap())
    };
    assert_eq!(numbers(0), [3, 1, 1, 0, 1, 0]);
    assert_eq!(numbers(1), [3, 1, 0, 1, 0, 1]);
    // T cells is right, a T lymphocyte in no table, a T cell no B cell.
    assert!((found[0]["gptcelltype"].as_f64().unwrap() - 1.0 / 3.0).abs() < 1e-12);
    // A naive T cell is half a T cell, unknown is nothing, a B cell itself.
    assert!((found[1]["gptcelltype"].as_f64().unwrap() - 0.5).abs() < 1e-12);
    let pairs = std::fs::read_to_string(folder.path().join("pairs.csv")).unwrap();
    assert!(pairs.contains("other,T cell,naive T cells,descendant,0.5,1\n"), "{pairs}");
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
