//! The published scores of GPTCelltype are reproduced, row by row.

#![allow(clippy::unwrap_used)] // a test may panic

use std::path::PathBuf;

use screader::score::{GptCellType, Meaning};

fn shared() -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folder = std::env::var_os("SCREADER_SHARED").map_or(root, PathBuf::from).join("data");
    let here = folder.join("dev/llm_bench/gptcelltype_dev.csv").exists();
    if !here {
        println!("skipped: no published scores at {}", folder.display());
    }
    here.then_some(folder)
}

fn tables(folder: &std::path::Path, relation: &std::path::Path) -> GptCellType {
    let labels = folder.join("common/llm_bench/gptcelltype_label_to_CL.csv");
    GptCellType::read(&labels, relation).unwrap()
}

/// Scores of ours that differ from the published ones, and how many there are.
fn differing(tables: &GptCellType, file: &std::path::Path, methods: &[&str]) -> (usize, usize) {
    let mut reader = csv::Reader::from_path(file).unwrap();
    let header = reader.headers().unwrap().clone();
    let (mut differ, mut all) = (0, 0);
    for row in reader.records().map(Result::unwrap) {
        let at = |name: String| {
            let column =
                header.iter().position(|one| one == name).unwrap_or_else(|| panic!("{name}"));
            row[column].to_owned()
        };
        let present = |text: String| (text != "NA" && !text.is_empty()).then_some(text);
        let meaning = |of: &str| Meaning {
            names: present(at(format!("{of}_CLname"))),
            broad: present(at(format!("{of}_broadtype"))),
        };
        let truth = at("manual_annotation".to_owned());
        for method in methods {
            let published = at(format!("{method}_agreement"));
            let answer = at(format!("{method}_annotation"));
            let ours = match (answer.as_str(), *method) {
                // Published without a score.
                ("NA", "SingleR" | "ScType") => "NA".to_owned(),
                ("NA", _) => "0".to_owned(),
                _ => tables
                    .score((&answer, &meaning(method)), (&truth, &meaning("manual")))
                    .to_string(),
            };
            all += 1;
            differ += usize::from(ours != published);
        }
    }
    (differ, all)
}

const METHODS: [&str; 6] =
    ["gpt4aug3", "gpt4mar23", "gpt3.5aug3", "CellMarker2.0", "SingleR", "ScType"];

#[test]
fn every_published_row_is_reproduced() {
    let Some(folder) = shared() else { return };
    let tables = tables(&folder, &folder.join("common/llm_bench/gptcelltype_cl_relation.csv"));
    let file = folder.join("dev/llm_bench/gptcelltype_dev.csv");
    assert_eq!(differing(&tables, &file, &METHODS), (0, 474 * 6));
}

#[test]
fn the_relation_of_broad_types_matters_and_so_does_its_order() {
    let Some(folder) = shared() else { return };
    let published = folder.join("common/llm_bench/gptcelltype_cl_relation.csv");
    let published = std::fs::read_to_string(published).unwrap();
    let turned: String = published
        .lines()
        .filter_map(|line| line.split_once(','))
        .map(|(one, other)| format!("{},{}\n", other.trim(), one.trim()))
        .collect();
    for relation in [String::new(), turned] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), relation).unwrap();
        let scores = folder.join("dev/llm_bench/gptcelltype_dev.csv");
        let (differ, _) = differing(&tables(&folder, file.path()), &scores, &METHODS);
        assert!(differ > 10, "{differ}");
    }
}

#[test]
fn labels_are_looked_up_as_the_authors_did() {
    let Some(folder) = shared() else { return };
    let tables = tables(&folder, &folder.join("common/llm_bench/gptcelltype_cl_relation.csv"));
    let mut reader =
        csv::Reader::from_path(folder.join("dev/llm_bench/gptcelltype_dev.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|one| one == name).unwrap();
    let columns = ["gpt4aug3_annotation", "gpt4aug3_CLname", "gpt4aug3_broadtype"].map(column);
    for row in reader.records().map(Result::unwrap) {
        let meaning = tables.meaning(&row[columns[0]]);
        let or_na = |text: Option<String>| text.unwrap_or("NA".to_owned());
        assert_eq!(or_na(meaning.names), row[columns[1]], "{}", &row[columns[0]]);
        assert_eq!(or_na(meaning.broad), row[columns[2]], "{}", &row[columns[0]]);
    }
}

#[test]
fn the_command_gives_the_published_means() {
    let Some(folder) = shared() else { return };
    let scores = folder.join("dev/llm_bench/gptcelltype_dev.csv");
    let mut reader = csv::Reader::from_path(&scores).unwrap();
    let header = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    for method in METHODS {
        let column = header.iter().position(|one| one == format!("{method}_agreement")).unwrap();
        let published: Vec<f64> = rows.iter().filter_map(|row| row[column].parse().ok()).collect();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_screader"));
        command.arg("evaluate").arg(&scores).args(["--truth", "manual_annotation", "--json"]);
        command.args(["--predicted", &format!("{method}_annotation")]);
        let tables = folder.join("common/llm_bench");
        command.arg("--gptcelltype").arg(tables.join("gptcelltype_label_to_CL.csv"));
        command.arg("--relation").arg(tables.join("gptcelltype_cl_relation.csv"));
        if matches!(method, "SingleR" | "ScType") {
            command.arg("--only-answered");
        }
        let output = command.output().unwrap();
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let mean = published.iter().sum::<f64>() / published.len() as f64;
        assert_eq!(found[0]["compared"], published.len(), "{method}");
        let ours = found[0]["gptcelltype"].as_f64().unwrap();
        assert!((ours - mean).abs() < 1e-9, "{method}: {ours} is not {mean}");
    }
}
