//! Every file of the shared data reads as anndata, scanpy and loompy read it, or is refused in one
//! line. The goldens come from `scripts/reference/read_goldens.py`.
#![allow(clippy::unwrap_used)] // a test may fail by panicking

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use screader::cells::{Cells, Column, CsrMatrix, Dense, Frame};
use screader::io::{ReadOptions, read};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn shared() -> PathBuf {
    let given = std::env::var_os("SCREADER_SHARED").map(PathBuf::from);
    given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"))
}

fn digest(texts: impl Iterator<Item = Option<String>>) -> String {
    let mut state = Sha256::new();
    for text in texts {
        match text {
            None => state.update(b"\x00"),
            Some(text) => {
                state.update(b"\x01");
                state.update(text.as_bytes());
            }
        }
        state.update(b"\n");
    }
    let hash = state.finalize();
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Complaints about one file, so that a run shows all of them.
#[derive(Default)]
struct Complaints(Vec<String>);

impl Complaints {
    fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, found: T, expected: T) {
        if found != expected {
            self.0.push(format!("{what}: {found:?}, the reference reads {expected:?}"));
        }
    }

    fn close(&mut self, what: &str, found: f64, expected: &Value, scale: &Value) {
        let (expected, scale) = (expected.as_f64().unwrap(), scale.as_f64().unwrap());
        if (found - expected).abs() > 1e-6 * scale + 1e-9 {
            self.0.push(format!("{what}: {found}, the reference reads {expected}"));
        }
    }

    fn entries(
        &mut self,
        what: &str,
        shape: (usize, usize),
        entries: impl Iterator<Item = (usize, usize, f32)>,
        golden: &Value,
    ) {
        let (mut nonzero, mut not_finite) = (0u64, 0u64);
        let (mut sum, mut placed) = (0f64, 0f64);
        for (row, column, value) in entries {
            nonzero += u64::from(value != 0.0);
            if value.is_finite() {
                let place = ((1 + row % 97) * (1 + column % 89)) as f64;
                sum += f64::from(value);
                placed += f64::from(value) * place;
            } else {
                not_finite += 1;
            }
        }
        let expected = &golden["shape"];
        let expected = (expected[0].as_u64().unwrap(), expected[1].as_u64().unwrap());
        self.same(&format!("{what} shape"), (shape.0 as u64, shape.1 as u64), expected);
        self.same(&format!("{what} nonzero"), Some(nonzero), golden["nonzero"].as_u64());
        self.same(&format!("{what} not finite"), Some(not_finite), golden["not_finite"].as_u64());
        self.close(&format!("{what} sum"), sum, &golden["sum"], &golden["absolute_sum"]);
        let scale = &golden["placed_absolute_sum"];
        self.close(&format!("{what} placed sum"), placed, &golden["placed_sum"], scale);
    }

    fn matrix(&mut self, what: &str, matrix: &CsrMatrix, golden: &Value) {
        if golden.is_null() {
            self.same(what, matrix.nnz(), 0);
            return;
        }
        let entries = (0..matrix.n_rows).flat_map(|row| {
            let (indices, data) = matrix.row(row);
            indices.iter().zip(data).map(move |(&column, &value)| (row, column as usize, value))
        });
        self.entries(what, (matrix.n_rows, matrix.n_cols), entries, golden);
        for row in 0..matrix.n_rows {
            assert!(matrix.row(row).0.windows(2).all(|pair| pair[0] < pair[1]), "{what}: unsorted");
        }
    }

    fn dense(&mut self, what: &str, dense: &Dense, golden: &Value) {
        let width = dense.n_cols.max(1);
        let values = dense.values.iter().enumerate();
        let entries = values.map(|(at, &value)| (at / width, at % width, value));
        self.entries(what, (dense.n_rows, dense.n_cols), entries, golden);
    }

    fn column(&mut self, what: &str, column: &Column, golden: &Value) {
        let kind = golden["kind"].as_str().unwrap();
        let texts = |column: &Column| {
            digest((0..column.len()).map(|row| column.text(row)).collect::<Vec<_>>().into_iter())
        };
        match column {
            Column::Categorical { categories, .. } => {
                self.same(what, "categorical", kind);
                self.same(what, Some(texts(column).as_str()), golden["hash"].as_str());
                let expected = golden["categories"].as_u64();
                self.same(&format!("{what} categories"), Some(categories.len() as u64), expected);
            }
            Column::Text(_) => {
                self.same(what, "text", kind);
                self.same(what, Some(texts(column).as_str()), golden["hash"].as_str());
            }
            Column::Float(values) => {
                self.same(what, "float", kind);
                let sum: f64 = values.iter().filter(|value| value.is_finite()).sum();
                let missing = values.iter().filter(|value| value.is_nan()).count() as u64;
                self.close(what, sum, &golden["sum"], &golden["absolute_sum"]);
                self.same(&format!("{what} missing"), Some(missing), golden["missing"].as_u64());
            }
            Column::Integer(values) => {
                self.same(what, "integer", kind);
                let sum: f64 = values.iter().flatten().map(|&value| value as f64).sum();
                let missing = values.iter().filter(|value| value.is_none()).count() as u64;
                self.close(what, sum, &golden["sum"], &golden["absolute_sum"]);
                self.same(&format!("{what} missing"), Some(missing), golden["missing"].as_u64());
            }
            Column::Boolean(values) => {
                self.same(what, "boolean", kind);
                let sum = values.iter().flatten().filter(|value| **value).count() as f64;
                let missing = values.iter().filter(|value| value.is_none()).count() as u64;
                self.close(what, sum, &golden["sum"], &golden["sum"]);
                self.same(&format!("{what} missing"), Some(missing), golden["missing"].as_u64());
            }
        }
    }

    fn frame(&mut self, what: &str, frame: &Frame, golden: &Value) {
        self.same(&format!("{what} rows"), Some(frame.len() as u64), golden["rows"].as_u64());
        let first = frame.index.first().map(String::as_str);
        self.same(&format!("{what} first"), first, golden["first"].as_str());
        let last = frame.index.last().map(String::as_str);
        self.same(&format!("{what} last"), last, golden["last"].as_str());
        let names = digest(frame.index.iter().cloned().map(Some));
        self.same(&format!("{what} names"), Some(names.as_str()), golden["names"].as_str());
        let columns: BTreeMap<&str, &Column> =
            frame.columns.iter().map(|(name, column)| (name.as_str(), column)).collect();
        let expected: Vec<&str> =
            golden["columns"].as_object().unwrap().keys().map(String::as_str).collect();
        self.same(&format!("{what} columns"), columns.keys().copied().collect(), expected);
        for (name, column) in columns {
            if let Some(golden) = golden["columns"].get(name) {
                self.column(&format!("{what}/{name}"), column, golden);
            }
        }
    }

    fn cells(&mut self, cells: &Cells, golden: &Value) {
        self.matrix("X", &cells.x, &golden["X"]);
        self.frame("obs", &cells.obs, &golden["obs"]);
        self.frame("var", &cells.var, &golden["var"]);
        self.same("raw", cells.raw.is_some(), !golden["raw"].is_null());
        if let (Some(raw), golden) = (&cells.raw, &golden["raw"]) {
            self.matrix("raw/X", &raw.x, &golden["X"]);
            self.frame("raw/var", &raw.var, &golden["var"]);
        }
        let names: Vec<&str> = cells.layers.keys().map(String::as_str).collect();
        let golden_layers = golden["layers"].as_object().unwrap();
        self.same("layers", names, golden_layers.keys().map(String::as_str).collect());
        for (name, layer) in &cells.layers {
            self.matrix(&format!("layers/{name}"), layer, &golden_layers[name]);
        }
        let names: Vec<&str> = cells.obsm.keys().map(String::as_str).collect();
        let golden_obsm = golden["obsm"].as_object().unwrap();
        self.same("obsm", names, golden_obsm.keys().map(String::as_str).collect());
        for (name, dense) in &cells.obsm {
            self.dense(&format!("obsm/{name}"), dense, &golden_obsm[name]);
        }
    }
}

#[test]
fn real_files_read_as_the_reference_reads_them() {
    let root = shared().join("data/dev");
    if !root.is_dir() {
        println!("skipped: {} is absent (set SCREADER_SHARED)", root.display());
        return;
    }
    let goldens: BTreeMap<String, Value> =
        serde_json::from_str(include_str!("goldens/read.json")).unwrap();
    assert!(goldens.len() > 80, "{} goldens", goldens.len());
    let mut failures = Vec::new();
    let (mut agreed, mut refused) = (0, 0);
    for (name, golden) in &goldens {
        let path = root.join(name);
        match (read(&path, &ReadOptions::default()), golden.get("read")) {
            (Ok(cells), Some(golden)) => {
                let mut complaints = Complaints::default();
                complaints.cells(&cells, golden);
                agreed += 1;
                failures.extend(complaints.0.into_iter().map(|line| format!("{name}: {line}")));
            }
            (Err(error), Some(_)) => failures.push(format!("{name}: refused: {error}")),
            (Ok(cells), None) => {
                println!("{name}: {} × {}, the reference fails", cells.n_obs(), cells.n_var());
            }
            (Err(error), None) => {
                let line = error.to_string();
                println!("{line}");
                refused += 1;
                if line.contains('\n') || !line.contains(path.to_str().unwrap()) {
                    failures.push(format!("{name}: not one line that names it: {line}"));
                }
            }
        }
    }
    println!("{agreed} files agree with the reference, {refused} are refused as there");
    assert!(failures.is_empty(), "{} differences\n{}", failures.len(), failures.join("\n"));
}

/// A file whose filter is unknown, made from a gzip-compressed one by changing the filter's number.
#[test]
fn an_unknown_filter_is_named_with_the_line_that_mends_it() {
    let path = shared().join("data/dev/labelled/mouse_brain_zeisel_mini.h5ad");
    let Ok(mut bytes) = std::fs::read(&path) else {
        println!("skipped: {} is absent (set SCREADER_SHARED)", path.display());
        return;
    };
    let mut changed = 0;
    for at in 8..bytes.len() - 8 {
        // The number of a filter lies 8 bytes before its name in a message of version 1.
        if bytes[at..].starts_with(b"deflate\0") && bytes[at - 8..at - 6] == [1, 0] {
            bytes[at - 8..at - 6].copy_from_slice(&32001u16.to_le_bytes());
            changed += 1;
        }
    }
    assert!(changed > 0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blosc.h5ad");
    std::fs::write(&path, &bytes).unwrap();
    let line = read(&path, &ReadOptions::default()).unwrap_err().to_string();
    let place = path.to_str().unwrap();
    assert!(line.starts_with(place) && line.contains("filter blosc"), "{line}");
    assert!(line.contains(&format!("h5repack -f GZIP=4 {place}")), "{line}");
    assert!(!line.contains('\n'), "{line}");
}
