//! `screader cluster`: from raw counts to clusters, the same bytes on any number of threads.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use screader::cells::{Cells, Column, MatrixState};
use screader::demo;
use screader::genes::Species;
use screader::io::{ReadOptions, read, write_h5ad};

/// Run the command in `folder` on so many threads.
fn screader(folder: &Path, threads: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_screader"));
    command.current_dir(folder).env("RAYON_NUM_THREADS", threads).args(arguments);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    let (out, error) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(error))
}

#[track_caller]
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{}", said(output));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The demo's cells of eight types in a folder, as `raw.h5ad`.
fn folder() -> (tempfile::TempDir, Cells) {
    let folder = tempfile::tempdir().unwrap();
    let cells = demo::simulate(Species::Mouse, 7).unwrap();
    assert_eq!(MatrixState::detect(&cells.x).unwrap(), MatrixState::Counts);
    write_h5ad(&cells, &folder.path().join("raw.h5ad")).unwrap();
    (folder, cells)
}

fn types(cells: &Cells) -> Vec<String> {
    let column = cells.obs.column("cell_type").unwrap();
    (0..cells.n_obs()).map(|cell| column.text(cell).unwrap()).collect()
}

/// Part of the cells that are of the commonest type of their cluster.
fn purity(clusters: &Column, types: &[String]) -> f64 {
    let mut together = std::collections::BTreeMap::<(String, &str), usize>::new();
    for (cell, of_type) in types.iter().enumerate() {
        *together.entry((clusters.text(cell).unwrap(), of_type)).or_default() += 1;
    }
    let mut most = std::collections::BTreeMap::<&str, usize>::new();
    for ((cluster, _), cells) in &together {
        let best = most.entry(cluster).or_default();
        *best = (*best).max(*cells);
    }
    most.values().sum::<usize>() as f64 / types.len() as f64
}

const ARGUMENTS: [&str; 12] = [
    "cluster",
    "raw.h5ad",
    "--out",
    "out.h5ad",
    "--markers",
    "markers.csv",
    "--figures",
    "figures",
    "--min-genes",
    "20",
    "--seed",
    "3",
];

#[test]
fn counts_become_clusters_with_the_same_bytes_on_one_thread_and_two() {
    let (folder, cells) = folder();
    let path = |name: &str| folder.path().join(name);
    let outputs =
        ["out.h5ad", "markers.csv", "figures/barcode_curve.svg", "figures/genes_per_cell.svg"];
    let mut seen: Vec<Vec<Vec<u8>>> = Vec::new();
    for threads in ["1", "2"] {
        let output = screader(folder.path(), threads, &ARGUMENTS);
        assert!(output.status.success(), "{}", said(&output));
        seen.push(outputs.iter().map(|name| std::fs::read(path(name)).unwrap()).collect());
    }
    for (name, (one, two)) in outputs.iter().zip(seen[0].iter().zip(&seen[1])) {
        assert!(one == two, "{name} differs with the number of threads");
    }
    for drawing in &seen[0][2..] {
        let text = String::from_utf8(drawing.clone()).unwrap();
        let tree = roxmltree::Document::parse(&text).unwrap();
        assert!(tree.descendants().count() > 20);
        assert!(text.contains("standard"));
    }

    let found = read(&path("out.h5ad"), &ReadOptions::default()).unwrap();
    assert_eq!(MatrixState::detect(&found.x).unwrap(), MatrixState::LogNormalised);
    assert_eq!(MatrixState::detect(&found.layers["counts"]).unwrap(), MatrixState::Counts);
    let n_obs = found.n_obs();
    assert!(n_obs > 900 && found.n_var() > 100, "{n_obs} × {}", found.n_var());
    for name in ["n_genes_by_counts", "total_counts", "pct_counts_mt", "leiden", "cell_type"] {
        assert_eq!(found.obs.column(name).unwrap().len(), n_obs, "{name}");
    }
    for name in ["highly_variable", "means", "dispersions", "dispersions_norm", "n_cells_by_counts"]
    {
        assert_eq!(found.var.column(name).unwrap().len(), found.n_var(), "{name}");
    }
    assert_eq!((found.obsm["X_umap"].n_rows, found.obsm["X_umap"].n_cols), (n_obs, 2));
    assert_eq!(found.obsm["X_pca"].n_rows, n_obs);
    let Some(Column::Categorical { categories, .. }) = found.obs.column("leiden") else {
        panic!("leiden is not categorical")
    };
    assert!((4..=20).contains(&categories.len()), "{categories:?}");
    let pure = purity(found.obs.column("leiden").unwrap(), &types(&found));
    // The commonest type alone is 0.27 of the cells.
    assert!(pure > 0.7, "purity {pure}");

    let text = String::from_utf8(seen[0][1].clone()).unwrap();
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let header: Vec<String> = rows.headers().unwrap().iter().map(str::to_owned).collect();
    let wanted = ["group", "names", "scores", "logfoldchanges", "pvals", "pvals_adj"];
    assert_eq!(header, wanted);
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), categories.len() * found.n_var());
    let best = |row: &&csv::StringRecord| row[0] == *"0" && row[5].parse::<f64>().unwrap() < 1e-6;
    assert!(rows.iter().filter(best).count() >= 5);
    assert!(rows.iter().all(|row| found.var.index.contains(&row[1].to_owned())));
    results_lie_where_scanpy_looks(&path("out.h5ad"), found.n_var(), categories.len(), &rows);
    // The input is as it was.
    let again = read(&path("raw.h5ad"), &ReadOptions::default()).unwrap();
    assert_eq!((again.x, again.obs), (cells.x, cells.obs));
}

/// The graph, the components and the table of ranked genes; scripts/reference/check_clustered.py has scanpy go on from
/// them.
fn results_lie_where_scanpy_looks(
    path: &Path,
    n_var: usize,
    n_clusters: usize,
    rows: &[csv::StringRecord],
) {
    let file = hdf5_pure::File::open(path).unwrap();
    let array = |key: &str| file.dataset(key).unwrap();
    let shape = array("obsm/X_pca").shape().unwrap();
    let (n_obs, n_comps) = (shape[0] as usize, shape[1]);
    assert_eq!(array("varm/PCs").shape().unwrap(), [n_var as u64, n_comps]);
    let starts = array("obsp/distances/indptr").read_i32().unwrap();
    assert!(starts.windows(2).all(|pair| pair[1] - pair[0] == 14) && starts.len() == n_obs + 1);
    let starts = array("obsp/connectivities/indptr").read_i32().unwrap();
    let columns = array("obsp/connectivities/indices").read_i32().unwrap();
    let weights = array("obsp/connectivities/data").read_f32().unwrap();
    let edges: std::collections::BTreeMap<(i32, i32), f32> = (0..n_obs)
        .flat_map(|row| (starts[row]..starts[row + 1]).map(move |at| (row as i32, at as usize)))
        .map(|(row, at)| ((row, columns[at]), weights[at]))
        .collect();
    let is_mirrored = |(&(row, column), weight): (&(i32, i32), &f32)| {
        row != column && edges[&(column, row)] == *weight && (0.0..=1.0).contains(weight)
    };
    assert!(edges.len() > 14 * n_obs / 2 && edges.iter().all(is_mirrored));
    for name in ["names", "scores", "logfoldchanges", "pvals", "pvals_adj"] {
        let table = array(&format!("uns/rank_genes_groups/{name}"));
        assert_eq!(table.shape().unwrap(), [n_var as u64], "{name}");
        let hdf5_pure::Datatype::Compound { members, .. } = table.datatype().unwrap() else {
            panic!("{name} is no table")
        };
        assert_eq!(members.len(), n_clusters);
    }
    // A record of the best genes of all clusters, the first cluster's first.
    let table = array("uns/rank_genes_groups/names").read_raw().unwrap();
    assert!(table.starts_with(rows[0][1].as_bytes()), "{}", &rows[0][1]);
}

#[test]
fn what_does_not_fit_into_memory_waits_on_disk_with_the_same_result() {
    let (folder, _) = folder();
    let path = |name: &str| folder.path().join(name);
    // The second filter leaves cells out, so that genes are counted before they are kept.
    let other = ["--filter", "inflection", "--inflection", "last"];
    let other = [&other[..], &["--flavor", "seurat_v3", "--test", "t-test"]].concat();
    for (more, all_stay) in [(&[][..], true), (&other, false)] {
        let mut seen = Vec::new();
        for (memory, is_on_disk) in [("4", false), ("0", true)] {
            let arguments = [&ARGUMENTS, more, &["--max-memory", memory]].concat();
            let output = screader(folder.path(), "2", &arguments);
            assert!(output.status.success(), "{}", said(&output));
            assert_eq!(said(&output).contains("on disk"), is_on_disk, "{}", said(&output));
            let found = read(&path("out.h5ad"), &ReadOptions::default()).unwrap();
            assert_eq!(found.n_obs() == 960, all_stay, "{}", found.n_obs());
            let texts = format!("{:?} {:?}", found.obs, found.var);
            let markers = std::fs::read(path("markers.csv")).unwrap();
            seen.push((found.x, found.layers, found.obsm, texts, markers));
        }
        assert!(seen[0] == seen[1], "{more:?}: another result from disk");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 4, "{left:?}");
    let arguments = [&ARGUMENTS[..], &["--max-memory", "0", "--test", "logistic"]].concat();
    let line = refused(&screader(folder.path(), "2", &arguments));
    assert!(line.contains("memory"), "{line}");
    let arguments = [&ARGUMENTS[..], &["--max-memory", "-1"]].concat();
    refused(&screader(folder.path(), "2", &arguments));
}

#[test]
fn log_normalised_values_are_not_logged_again() {
    let (folder, mut cells) = folder();
    cells.x = screader::cells::log1p_cp10k(&cells.x, MatrixState::Counts).unwrap();
    write_h5ad(&cells, &folder.path().join("logged.h5ad")).unwrap();
    let run = |more: &[&str]| {
        let first = ["cluster", "logged.h5ad", "--out", "from_logged.h5ad", "--min-genes", "20"];
        screader(folder.path(), "2", &[&first[..], more].concat())
    };
    let output = run(&["--json"]);
    assert!(output.status.success(), "{}", said(&output));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["matrix"], "X (log-normalised)");
    let found = read(&folder.path().join("from_logged.h5ad"), &ReadOptions::default()).unwrap();
    assert!(found.layers.is_empty() && found.obs.column("total_counts").is_none());
    let largest =
        |matrix: &screader::cells::CsrMatrix| matrix.data.iter().copied().fold(0f32, f32::max);
    assert_eq!(largest(&found.x), largest(&cells.x));
    // The same cells from their counts give the same clusters.
    let output = screader(
        folder.path(),
        "2",
        &["cluster", "raw.h5ad", "--out", "from_counts.h5ad", "--min-genes", "20"],
    );
    assert!(output.status.success(), "{}", said(&output));
    let counted = read(&folder.path().join("from_counts.h5ad"), &ReadOptions::default()).unwrap();
    assert_eq!(counted.obs.column("leiden"), found.obs.column("leiden"));
    // What needs counts says so.
    for more in [&["--filter", "knee"][..], &["--max-mt", "5"], &["--flavor", "seurat_v3"]] {
        let line = refused(&run(more));
        assert!(line.contains("counts"), "{line}");
    }
}

#[test]
fn flavours_filters_and_scaling_run() {
    let (folder, _) = folder();
    for more in [
        &["--flavor", "seurat_v3", "--n-top-genes", "150"][..],
        &["--flavor", "cell-ranger", "--n-top-genes", "150", "--test", "t-test"],
        &["--scale", "10", "--n-top-genes", "150", "--n-comps", "20"],
        &["--filter", "knee"],
        &["--filter", "inflection", "--inflection", "last"],
    ] {
        let first = ["cluster", "raw.h5ad", "--out", "some.h5ad", "--min-genes", "20", "--json"];
        let output = screader(folder.path(), "2", &[&first[..], more].concat());
        assert!(output.status.success(), "{more:?}: {}", said(&output));
        let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(summary["clusters"].as_array().unwrap().len() > 1, "{more:?}: {summary}");
    }
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_written() {
    let (folder, cells) = folder();
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    let run = |arguments: &[&str]| refused(&screader(folder.path(), "2", arguments));
    let line = run(&["cluster", "raw.h5ad", "--out", "raw.h5ad"]);
    assert!(line.contains("input itself"), "{line}");
    let line = run(&["cluster", "raw.h5ad", "--out", "nowhere/out.h5ad"]);
    assert!(line.contains("nowhere"), "{line}");
    let line = run(&["cluster", "raw.h5ad", "--out", "a.h5ad", "--min-genes", "100000"]);
    assert!(line.contains("0 of 960 cells"), "{line}");
    let mut scaled = cells.clone();
    scaled.x.data.iter_mut().for_each(|value| *value -= 2.0);
    write_h5ad(&scaled, &path("scaled.h5ad")).unwrap();
    let line = run(&["cluster", "scaled.h5ad", "--out", "a.h5ad"]);
    assert!(line.contains("centred and scaled"), "{line}");
    assert!(!path("a.h5ad").exists());
}
