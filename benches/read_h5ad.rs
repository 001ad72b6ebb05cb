//! Reads the h5ad files named as arguments and prints one JSON line each: seconds, peak memory in
//! bytes, and the size of the matrix in memory. `scripts/bench-read` compares it with anndata.

use std::path::Path;
use std::time::Instant;

use screader::io::{ReadOptions, read};

/// The most memory this process has held, in bytes; 0 where the system does not tell.
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kibibytes.unwrap_or(0) * 1024
}

fn main() {
    for file in std::env::args().skip(1).filter(|argument| !argument.starts_with("--")) {
        let start = Instant::now();
        match read(Path::new(&file), &ReadOptions::default()) {
            Ok(cells) => {
                let seconds = start.elapsed().as_secs_f64();
                let (values, rows) = (cells.x.nnz(), cells.n_obs());
                let matrix = values * 8 + (rows + 1) * 8;
                let peak = peak_memory();
                println!(
                    r#"{{"seconds": {seconds:.3}, "peak": {peak}, "matrix": {matrix}, "values": {values}}}"#
                );
            }
            Err(error) => {
                eprintln!("{error}");
                std::process::exit(error.exit_code());
            }
        }
    }
}
