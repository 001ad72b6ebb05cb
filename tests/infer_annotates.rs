//! Train, then annotate: what is written, and that it does not depend on how it is read.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

use screader::cells::Column;
use screader::demo;
use screader::genes::Species;
use screader::io::{ReadOptions, read, write_h5ad};

fn screader(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_screader")).args(arguments).output().unwrap()
}

fn ok(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_trained_annotator_annotates_other_cells() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let said = ok(screader(&[
        "train",
        "--species",
        "mouse",
        "--device",
        "cpu",
        "--out",
        text(&run),
        "--set",
        "train.steps=60",
        "--set",
        "rank.top_genes=32",
        "--set",
        "train.warmup=5",
        "--set",
        "train.evaluate_every=20",
        "--set",
        "train.checkpoint_every=30",
    ]));
    for part in ["screader (random LLaMA)", "GenePT-w", "majority guess", "control", "annotated"] {
        assert!(said.contains(part), "{part}: {said}");
    }

    // Other cells of the same simulator, under another seed.
    let query = folder.path().join("query.h5ad");
    let cells = demo::simulate(Species::Mouse, 99).unwrap();
    write_h5ad(&cells, &query).unwrap();
    let before = std::fs::read(&query).unwrap();
    let out = folder.path().join("annotated.h5ad");
    let csv = folder.path().join("labels.csv");
    let parquet = folder.path().join("labels.parquet");
    let lines = folder.path().join("labels.jsonl");
    let json = folder.path().join("labels.json");
    ok(screader(&[
        "infer",
        "--checkpoint",
        text(&run),
        "--data",
        text(&query),
        "--out",
        text(&out),
        "--predictions",
        text(&csv),
        "--predictions",
        text(&parquet),
        "--predictions",
        text(&lines),
        "--predictions",
        text(&json),
        "--device",
        "cpu",
    ]));
    assert_eq!(std::fs::read(&query).unwrap(), before, "the input was changed");

    let annotated = read(&out, &ReadOptions::default()).unwrap();
    assert_eq!(annotated.x, cells.x);
    assert_eq!(annotated.obs.index, cells.obs.index);
    for (name, column) in &cells.obs.columns {
        let found = annotated.obs.column(name).unwrap();
        assert!((0..column.len()).all(|row| column.text(row) == found.text(row)), "obs/{name}");
    }
    let labels = annotated.obs.column("screader_cell_type").unwrap();
    assert!(matches!(labels, Column::Categorical { .. }));
    let truth = cells.obs.column("cell_type").unwrap();
    let best = annotated.obs.column("screader_best_cell_type").unwrap();
    let right = (0..cells.n_obs()).filter(|&row| best.text(row) == truth.text(row)).count();
    assert!(right * 2 > cells.n_obs(), "{right} of {} are right", cells.n_obs());
    let Column::Float(confidence) = annotated.obs.column("screader_confidence").unwrap() else {
        panic!("confidence is no float column");
    };
    assert!(confidence.iter().all(|c| (0.0..=1.0).contains(c)));
    assert_eq!(annotated.obsm["X_screader"].n_rows, cells.n_obs());

    let table = std::fs::read_to_string(&csv).unwrap();
    assert_eq!(table.lines().count(), cells.n_obs() + 1);
    for (row, line) in table.lines().skip(1).enumerate() {
        let mut fields = line.split(',');
        assert_eq!(fields.next(), Some(cells.obs.index[row].as_str()));
        assert_eq!(fields.next().map(String::from), labels.text(row));
    }
    let lines = std::fs::read_to_string(&lines).unwrap();
    assert_eq!(lines.lines().count(), cells.n_obs());
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["cell_type"].as_str().map(String::from), labels.text(0));
    let all: Vec<serde_json::Value> =
        serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!((all.len(), &all[0]), (cells.n_obs(), &first));
    let bytes = std::fs::read(&parquet).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));

    annotate_human_cells(folder.path(), &run);

    // The class state at the last token is worked out cell by cell, so company must not matter.
    let few = folder.path().join("few.h5ad");
    let mut part = cells.clone();
    let rows: Vec<usize> = (100..140).collect();
    part.x = part.x.select_rows(&rows);
    part.obs = part.obs.select_rows(&rows);
    part.layers.clear();
    write_h5ad(&part, &few).unwrap();
    let few_out = folder.path().join("few.annotated.h5ad");
    ok(screader(&[
        "infer",
        "--checkpoint",
        text(&run),
        "--data",
        text(&few),
        "--out",
        text(&few_out),
        "--device",
        "cpu",
    ]));
    let few = read(&few_out, &ReadOptions::default()).unwrap();
    for (place, &row) in rows.iter().enumerate() {
        let label = few.obs.column("screader_best_cell_type").unwrap().text(place);
        assert_eq!(label, best.text(row), "cell {row}");
    }
}

/// Annotate human cells with the mouse annotator in `run`, through the demo's own pairs of genes.
fn annotate_human_cells(folder: &Path, run: &Path) {
    let genes = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/genes.tsv");
    let pairs: String = std::fs::read_to_string(genes)
        .unwrap()
        .lines()
        .skip(1)
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .filter(|fields| !fields[0].is_empty() && !fields[3].is_empty())
        .map(|fields| format!("{}\t{}\n", fields[0], fields[3]))
        .collect();
    let orthologs = folder.join("homologs.tsv");
    std::fs::write(&orthologs, format!("MOUSE_GENE_SYM\tHUMAN_GENE_SYM\n{pairs}")).unwrap();
    let cells = demo::simulate(Species::Human, 5).unwrap();
    let query = folder.join("human.h5ad");
    write_h5ad(&cells, &query).unwrap();
    let out = folder.join("human.csv");
    ok(screader(&[
        "infer",
        "--checkpoint",
        text(run),
        "--data",
        text(&query),
        "--predictions",
        text(&out),
        "--orthologs",
        text(&orthologs),
        "--device",
        "cpu",
    ]));
    let truth = cells.obs.column("cell_type").unwrap();
    let table = std::fs::read_to_string(&out).unwrap();
    let lines = table.lines().skip(1).enumerate();
    let right = lines
        .filter(|(row, line)| line.split(',').nth(3).map(String::from) == truth.text(*row))
        .count();
    assert!(right * 2 > cells.n_obs(), "{right} of {} human cells", cells.n_obs());
}

#[test]
fn infer_refuses_what_it_cannot_use() {
    let folder = tempfile::tempdir().unwrap();
    let query = folder.path().join("query.h5ad");
    write_h5ad(&demo::simulate(Species::Mouse, 3).unwrap(), &query).unwrap();
    let out = folder.path().join("out.h5ad");
    let nowhere = folder.path().join("nowhere");
    let cases: [(&[&str], &str); 3] = [
        (&["--out", text(&out)], "checkpoint"),
        (&[], "--out"),
        (&["--predictions", "labels.docx"], ".csv"),
    ];
    for (more, expected) in cases {
        let mut arguments = vec![
            "infer",
            "--checkpoint",
            text(&nowhere),
            "--data",
            text(&query),
            "--device",
            "cpu",
        ];
        arguments.extend(more);
        let output = screader(&arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with("error: ") && said.contains(expected), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    assert!(!out.exists());
}
