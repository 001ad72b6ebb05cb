//! Annotated copies keep everything else of their input.

use std::path::{Path, PathBuf};

use super::array::{Array, Element};
use super::hdf5::{Hdf5File, Node};
use super::{
    Annotations, Entry, Matrices, ReadOptions, Results, SpooledCsr, SpooledRows, read, read_uns,
    write_annotated, write_h5ad, write_h5ad_with,
};
use crate::cells::{Cells, Column, CsrMatrix, Dense, Frame, Raw};

fn small() -> Cells {
    let text = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let labels: Vec<Option<String>> = vec![Some("B".into()), None, Some("A".into())];
    let columns = vec![
        ("label".to_owned(), Column::categorical(&labels)),
        ("note".to_owned(), Column::Text(labels)),
        (
            "plain".to_owned(),
            Column::Text(vec![Some("ä".into()), Some(String::new()), Some("z".into())]),
        ),
        ("float".to_owned(), Column::Float(vec![0.5, -1.0, 2.0])),
        ("whole".to_owned(), Column::Integer(vec![Some(1), Some(2), Some(3)])),
        ("maybe".to_owned(), Column::Integer(vec![Some(-7), None, Some(3)])),
        ("flag".to_owned(), Column::Boolean(vec![Some(true), Some(false), None])),
        ("sure".to_owned(), Column::Boolean(vec![Some(true), Some(false), Some(true)])),
    ];
    let x = CsrMatrix {
        n_rows: 3,
        n_cols: 2,
        indptr: vec![0, 1, 1, 3],
        indices: vec![1, 0, 1],
        data: vec![1.5, 2.0, 3.0],
    };
    let dense = Dense { n_rows: 3, n_cols: 2, values: vec![1., 2., 3., 4., 5., 6.] };
    let var = Frame { index: text(&["Gad1", "Sst"]), columns: Vec::new() };
    Cells {
        x: x.clone(),
        obs: Frame { index: text(&["a", "b", "c"]), columns },
        var: var.clone(),
        layers: [("counts".to_owned(), x.clone())].into(),
        raw: Some(Raw { x, var }),
        obsm: [("X_pca".to_owned(), dense)].into(),
    }
}

/// Everything in a file: each key with its attributes and content as text.
fn walk(file: &Hdf5File, key: &str, all: &mut Vec<(String, String)>) {
    let attributes = file.attributes(key).unwrap().described();
    if key.is_empty() || file.node(key).unwrap() == Some(Node::Group) {
        all.push((key.to_owned(), attributes));
        for name in file.names(key).unwrap() {
            let child = if key.is_empty() { name } else { format!("{key}/{name}") };
            walk(file, &child, all);
        }
        return;
    }
    let array = Array::open(file, key).unwrap();
    let content = match array.element() {
        Element::Text => format!("{:?}", array.read_texts().unwrap()),
        Element::Other(_) => String::new(),
        // Addresses of texts, which move; `check_annotated.py` compares the texts.
        Element::Record(fields) if fields.iter().any(|field| field.element == Element::Text) => {
            String::new()
        }
        _ => format!("{:?}", array.read_records().unwrap()),
    };
    let shape = &array.shape;
    all.push((key.to_owned(), format!("{attributes} {shape:?} {:?} {content}", array.element())));
}

fn everything(path: &Path) -> Vec<(String, String)> {
    let mut all = Vec::new();
    walk(&Hdf5File::open(path).unwrap(), "", &mut all);
    all
}

fn states(n_obs: usize) -> Dense {
    let values = (0..n_obs * 4).map(|at| at as f32 * 0.5 - 7.0).collect();
    Dense { n_rows: n_obs, n_cols: 4, values }
}

fn spooled(dense: &Dense) -> SpooledRows {
    let mut rows = SpooledRows::beside(&std::env::temp_dir().join("any"), dense.n_cols).unwrap();
    let half = dense.n_rows / 2;
    let (first, second) = dense.values.split_at(half * dense.n_cols);
    for (n_rows, values) in [(half, first), (dense.n_rows - half, second)] {
        rows.append(&Dense { n_rows, n_cols: dense.n_cols, values: values.to_vec() }).unwrap();
    }
    rows
}

fn annotations(n_obs: usize) -> Annotations {
    let labels: Vec<Option<String>> =
        (0..n_obs).map(|row| (row % 3 != 2).then(|| format!("type {}", row % 2))).collect();
    Annotations {
        obs: vec![
            ("screader_cell_type".to_owned(), Column::categorical(&labels)),
            ("screader_confidence".to_owned(), Column::Float(vec![0.25; n_obs])),
        ],
        obsm: vec![("X_screader".to_owned(), spooled(&states(n_obs)))],
        uns: vec![("version".to_owned(), "0.1.0".to_owned())],
    }
}

/// Copy `input` twice over (the second run replaces what the first added) and compare.
fn check(input: &Path, folder: &Path) {
    let before = read(input, &ReadOptions::default()).unwrap();
    let name = input.file_name().unwrap().to_str().unwrap();
    let (first, output) = (folder.join(format!("first-{name}")), folder.join(name));
    let mut added = annotations(before.n_obs());
    write_annotated(input, &first, &added).unwrap();
    added.obs[1].1 = Column::Float(vec![0.75; before.n_obs()]);
    write_annotated(&first, &output, &added).unwrap();
    std::fs::remove_file(&first).unwrap();
    let after = read(&output, &ReadOptions::default()).unwrap();
    assert_eq!(after.obs.column("screader_confidence"), Some(&added.obs[1].1), "{name}");
    assert_eq!(after.obs.column("screader_cell_type"), Some(&added.obs[0].1), "{name}");
    assert_eq!(after.obsm.get("X_screader"), Some(&states(before.n_obs())), "{name}");
    let added_names = ["screader_cell_type", "screader_confidence"];
    let kept: Vec<&str> = after.obs.names().filter(|name| !added_names.contains(name)).collect();
    assert_eq!(kept, before.obs.names().collect::<Vec<_>>(), "{name}");
    assert_eq!(after.obs.index, before.obs.index, "{name}");
    let frames = |cells: &Cells| {
        let columns =
            cells.obs.columns.iter().filter(|(name, _)| !added_names.contains(&name.as_str()));
        format!("{:?} {:?} {:?}", columns.collect::<Vec<_>>(), cells.var, cells.raw)
    };
    assert_eq!(frames(&after), frames(&before), "{name}");
    let (old, new) = (everything(input), everything(&output));
    let is_records =
        |key: &str| old.iter().any(|(known, text)| known == key && text.contains("Record("));
    let mut compared = 0;
    let is_rewritten = |key: &str| {
        // Codes and `__categories` of anndata 0.7 may become categorical groups; compared as cells.
        let is_new = |key: &str| {
            new.iter().any(|(known, text)| known == key && text.contains("categorical"))
        };
        key.contains("__categories") && !new.iter().any(|(known, _)| known == key) || is_new(key)
    };
    for (key, text) in &old {
        if is_rewritten(key) && !text.contains("encoding-type=Some(VarLenString(\"categorical") {
            continue;
        }
        // These tables become groups; their content was compared above as cells.
        if key == "obs" || (is_records("obs") && key == "var") || is_records(key) && key == "obsm" {
            continue;
        }
        let found = new.iter().find(|(known, _)| known == key);
        assert_eq!(found.map(|found| &found.1), Some(text), "{name}: {key}");
        compared += 1;
    }
    assert!(compared > 3, "{name}: only {compared} compared");
}

#[test]
fn cells_written_read_back_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.h5ad");
    let cells = small();
    write_h5ad(&cells, &path).unwrap();
    let back = read(&path, &ReadOptions::default()).unwrap();
    assert_eq!((&back.x, &back.obs, &back.var), (&cells.x, &cells.obs, &cells.var));
    assert_eq!((&back.layers, &back.obsm), (&cells.layers, &cells.obsm));
    let (raw, expected) = (back.raw.unwrap(), cells.raw.unwrap());
    assert_eq!((raw.x, raw.var), (expected.x, expected.var));
    let layer = ReadOptions { layer: Some("counts".into()), ..ReadOptions::default() };
    assert_eq!(read(&path, &layer).unwrap().x, cells.x);
    let missing = ReadOptions { layer: Some("none".into()), ..ReadOptions::default() };
    assert!(read(&path, &missing).unwrap_err().to_string().contains("[counts]"));
}

#[test]
fn cells_without_cells_or_genes_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.h5ad");
    let mut cells = Cells::default();
    cells.x.indptr = vec![0];
    write_h5ad(&cells, &path).unwrap();
    let back = read(&path, &ReadOptions::default()).unwrap();
    assert_eq!((back.n_obs(), back.n_var(), back.x.nnz()), (0, 0, 0));
}

#[test]
fn the_input_is_never_the_output_and_a_failure_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.h5ad");
    write_h5ad(&small(), &path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let same = write_annotated(&path, &folder.path().join("./small.h5ad"), &annotations(3));
    assert!(same.unwrap_err().to_string().contains("the input is never changed"));
    let short = write_annotated(&path, &folder.path().join("out.h5ad"), &annotations(2));
    assert!(short.unwrap_err().to_string().contains("one per cell"));
    assert!(write_h5ad(&small(), &folder.path().join("absent/out.h5ad")).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn an_annotated_copy_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("input.h5ad");
    write_h5ad(&small(), &path).unwrap();
    let out = folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    check(&path, &out);
}

/// Real files, from every version of anndata. `SCREADER_KEEP` names a folder to keep the copies
/// in, for `scripts/reference/check_annotated.py`.
#[test]
fn annotated_copies_of_real_files_keep_everything() {
    let shared = std::env::var_os("SCREADER_SHARED").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"));
    let root = shared.join("data/dev");
    if !root.is_dir() {
        println!("skipped: {} is absent (set SCREADER_SHARED)", root.display());
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("SCREADER_KEEP").map(PathBuf::from);
    let folder = kept.unwrap_or_else(|| temporary.path().to_path_buf());
    std::fs::create_dir_all(&folder).unwrap();
    let mut inputs = Vec::new();
    for part in ["odd_files", "labelled"] {
        for entry in std::fs::read_dir(root.join(part)).unwrap() {
            let path = entry.unwrap().path();
            let is_small = path.metadata().unwrap().len() < 2_000_000;
            if is_small && path.extension().is_some_and(|ending| ending == "h5ad") {
                inputs.push(path);
            }
        }
    }
    inputs.sort();
    for input in &inputs {
        check(input, &folder);
    }
    println!("{} files copied", inputs.len());
    assert!(inputs.len() > 30);
}

#[test]
fn arrays_too_large_to_be_held_twice_are_copied_to_their_place() {
    // Just over the 16 million numbers from which on they are; a run of zeros lies in the middle.
    let (n_rows, n_cols) = (4_200, 4_000);
    let value = |at: usize| if (n_cols..2_000 * n_cols).contains(&at) { 0.0 } else { at as f32 };
    let x = CsrMatrix {
        n_rows,
        n_cols,
        indptr: (0..=n_rows).map(|row| row * n_cols).collect(),
        indices: (0..n_rows).flat_map(|_| 0..n_cols as u32).collect(),
        data: (0..n_rows * n_cols).map(value).collect(),
    };
    let names = |count: usize| (0..count).map(|at| at.to_string()).collect();
    let counts: Vec<f32> = x.data.iter().map(|value| value + 1.0).collect();
    let cells = Cells {
        x,
        obs: Frame { index: names(n_rows), columns: Vec::new() },
        var: Frame { index: names(n_cols), columns: Vec::new() },
        ..Cells::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.h5ad");
    let texts = vec![("version".to_owned(), Entry::Text("0".to_owned()))];
    let uns = vec![("screader".to_owned(), Entry::Dict(texts))];
    let results = Results { uns, ..Results::default() };
    write_h5ad_with(&cells, Matrices::InMemory(Some(&counts)), &results, &path).unwrap();
    let from_disk = folder.path().join("from_disk.h5ad");
    let mut spooled = SpooledCsr::beside(&from_disk, cells.x.n_cols, true).unwrap();
    spooled.append(&cells.x, Some(&counts)).unwrap();
    let without = Cells { obs: cells.obs.clone(), var: cells.var.clone(), ..Cells::default() };
    write_h5ad_with(&without, Matrices::OnDisk(&spooled), &results, &from_disk).unwrap();
    assert!(std::fs::read(&path).unwrap() == std::fs::read(&from_disk).unwrap(), "another file");
    let found = read(&path, &ReadOptions::default()).unwrap();
    assert!(found.x == cells.x, "X differs");
    assert!(found.layers["counts"].data == counts, "the layer differs");
    assert!(found.layers["counts"].indices == cells.x.indices, "its places differ");
    assert_eq!(read_uns(&path, "version").unwrap().as_deref(), Some("0"));
    assert_eq!(read_uns(&path, "other").unwrap(), None);
}
