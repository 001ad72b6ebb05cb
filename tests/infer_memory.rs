//! `screader infer` needs no more memory for a long file than for a short one, but names and labels.

#![allow(clippy::unwrap_used)] // a test may fail by panicking
#![cfg(target_os = "linux")] // where a process's peak can be read

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use screader::cells::{Cells, Column, CsrMatrix, Frame};
use screader::demo;
use screader::genes::Species;
use screader::io::write_h5ad;

/// Run the command and return its peak memory in bytes, as its last moments show it.
fn peak_of(args: &[&str]) -> usize {
    let mut child = Command::new(env!("CARGO_BIN_EXE_screader"))
        .args(args)
        .env("RAYON_NUM_THREADS", "2")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        if let Some(line) = text.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
            peak = line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024;
        }
        if let Some(ended) = child.try_wait().unwrap() {
            assert!(ended.success(), "{args:?}");
            return peak;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The demo's cells `times` over, every gene of each expressed.
fn long_file(cells: &Cells, times: usize, folder: &Path) -> PathBuf {
    let (n_obs, n_var) = (cells.n_obs() * times, cells.n_var());
    let values = |row: usize| {
        let (columns, values) = cells.x.row(row % cells.n_obs());
        let mut dense = vec![1f32; n_var];
        columns.iter().zip(values).for_each(|(&column, &value)| dense[column as usize] += value);
        dense
    };
    let x = CsrMatrix {
        n_rows: n_obs,
        n_cols: n_var,
        indptr: (0..=n_obs).map(|row| row * n_var).collect(),
        indices: (0..n_obs).flat_map(|_| 0..n_var as u32).collect(),
        data: (0..n_obs).flat_map(values).collect(),
    };
    let obs =
        Frame { index: (0..n_obs).map(|row| format!("cell {row}")).collect(), columns: vec![] };
    let path = folder.join(format!("{times}.h5ad"));
    write_h5ad(&Cells { x, obs, var: cells.var.clone(), ..Cells::default() }, &path).unwrap();
    path
}

#[test]
fn a_file_six_times_as_long_needs_no_more_memory_but_names_and_labels() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let trained = Command::new(env!("CARGO_BIN_EXE_screader"))
        .args(["train", "--species", "mouse", "--device", "cpu"])
        .args(["--set", "train.steps=1", "--set", "rank.top_genes=2", "--out"])
        .arg(&run)
        .output()
        .unwrap();
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));

    let cells = demo::simulate(Species::Mouse, 1).unwrap();
    let (short, long) = (8, 48);
    let peaks = [short, long].map(|times| {
        let data = long_file(&cells, times, folder.path());
        let out = folder.path().join(format!("{times}.annotated.h5ad"));
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let args =
            ["infer", "--device", "cpu", "--checkpoint", &text(&run), "--data", &text(&data)];
        let peak = peak_of(&[&args[..], &["--out", &text(&out)]].concat());
        let written = screader::io::read(&out, &screader::io::ReadOptions::default()).unwrap();
        assert_eq!(written.obsm["X_screader"].n_rows, cells.n_obs() * times);
        assert!(written.obsm["X_screader"].values.iter().all(|value| *value != 0.0));
        assert!(matches!(
            written.obs.column("screader_cell_type"),
            Some(Column::Categorical { .. })
        ));
        peak
    });
    let more_cells = cells.n_obs() * (long - short);
    // What is allowed: name, labels and the text of the best three types of each further cell, and a
    // little for the allocator. The matrix alone would be eight bytes a value.
    let allowed = more_cells * 400 + (8 << 20);
    assert!(more_cells * cells.n_var() * 8 > 3 * allowed, "the test would not notice");
    let grown = peaks[1].saturating_sub(peaks[0]);
    println!("peaks {peaks:?}, grown by {grown} for {more_cells} cells");
    assert!(grown < allowed, "{grown} bytes more for {more_cells} cells, {allowed} allowed");
}
