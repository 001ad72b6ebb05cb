//! Damaged and hostile h5ad files: each is read or refused; none panics, hangs or makes the reader
//! reserve more than four times what the file's arrays claim.
//!
//! `SCREADER_MUTATIONS` sets how many are made (2,000); the stream is seeded, so a failure's number
//! makes it again.
#![allow(clippy::unwrap_used)] // a test may fail by panicking

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use screader::cells::{Cells, Column, CsrMatrix, Dense, Frame, Raw};
use screader::io::{CellBlocks, ReadOptions, read, write_h5ad};

/// Counts what is allocated now, and the most there was.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grow(size: usize) {
    let now = NOW.fetch_add(size, Ordering::Relaxed) + size;
    PEAK.fetch_max(now, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator unchanged; only counters are kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grow(size);
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a reader may need beside the arrays: caches, buffers, threads.
const OVERHEAD: usize = 12 << 20;
const LONGEST: Duration = Duration::from_secs(10);

/// Cells with every kind of column, `[n_obs, n_var]`, one value in three stored.
fn cells(n_obs: usize, n_var: usize, random: &mut ChaCha8Rng) -> Cells {
    let mut x = CsrMatrix { n_rows: n_obs, n_cols: n_var, indptr: vec![0], ..CsrMatrix::default() };
    for _ in 0..n_obs {
        for column in 0..n_var {
            if random.random_bool(0.33) {
                x.indices.push(column as u32);
                x.data.push(random.random_range(1..50) as f32);
            }
        }
        x.indptr.push(x.data.len());
    }
    let labels: Vec<Option<String>> =
        (0..n_obs).map(|row| (row % 7 != 0).then(|| format!("type {}", row % 5))).collect();
    let columns = vec![
        ("label".to_owned(), Column::categorical(&labels)),
        ("text".to_owned(), Column::Text(labels)),
        ("float".to_owned(), Column::Float((0..n_obs).map(|row| row as f64).collect())),
        ("whole".to_owned(), Column::Integer((0..n_obs as i64).map(Some).collect())),
        ("flag".to_owned(), Column::Boolean((0..n_obs).map(|row| Some(row % 2 == 0)).collect())),
        (
            "maybe".to_owned(),
            Column::Boolean((0..n_obs).map(|row| (row % 3 != 0).then_some(true)).collect()),
        ),
    ];
    let names = |prefix: &str, count: usize| (0..count).map(|at| format!("{prefix}{at}")).collect();
    let var = Frame { index: names("gene", n_var), columns: Vec::new() };
    let values = (0..n_obs * 8).map(|at| at as f32).collect();
    Cells {
        x: x.clone(),
        obs: Frame { index: names("cell", n_obs), columns },
        var: var.clone(),
        layers: [("counts".to_owned(), x.clone())].into(),
        raw: Some(Raw { x, var }),
        obsm: [("X_pca".to_owned(), Dense { n_rows: n_obs, n_cols: 8, values })].into(),
    }
}

/// Damage `bytes` in one of several ways.
fn mutate(bytes: &mut Vec<u8>, random: &mut ChaCha8Rng) -> &'static str {
    let length = bytes.len();
    // Structures lie mostly near the beginning, so half of the damage goes there.
    let near = if random.random_bool(0.5) { length.min(8192) } else { length };
    match random.random_range(0..6) {
        0 => {
            bytes.truncate(random.random_range(0..length));
            "truncated"
        }
        1 => {
            for _ in 0..random.random_range(1..=16) {
                let at = random.random_range(0..near);
                bytes[at] ^= 1 << random.random_range(0..8);
            }
            "flipped bits"
        }
        2 => {
            let start = random.random_range(0..near);
            let end = (start + random.random_range(1..4096)).min(length);
            bytes[start..end].fill(0);
            "zeroed page"
        }
        3 => {
            // A field of a header: a length, a count or an address made absurd.
            let values: [u64; 7] =
                [0, 1, u64::MAX, i64::MAX as u64, u64::from(u32::MAX), 1 << 40, length as u64];
            let value = values.choose(random).copied().unwrap_or_default().to_le_bytes();
            let width = *[1, 2, 4, 8].choose(random).unwrap_or(&4);
            let at = random.random_range(0..near.saturating_sub(8).max(1));
            bytes[at..at + width].copy_from_slice(&value[..width]);
            "forged field"
        }
        4 => {
            // A known structure given another's content: pointers that cross.
            let from = random.random_range(0..near.saturating_sub(64).max(1));
            let to = random.random_range(0..near.saturating_sub(64).max(1));
            let piece = bytes[from..from + 64].to_vec();
            bytes[to..to + 64].copy_from_slice(&piece);
            "copied structure"
        }
        _ => {
            // The message of a data set's shape, found by its signature bytes, made large.
            let places: Vec<usize> = (0..length.saturating_sub(24))
                .filter(|&at| {
                    matches!(bytes[at], 1 | 2)
                        && matches!(bytes[at + 1], 1 | 2)
                        && bytes[at + 2] <= 1
                })
                .collect();
            if let Some(&at) = places.choose(random) {
                let extent: u64 = 1 << random.random_range(8..50);
                bytes[at + 4..at + 12].copy_from_slice(&extent.to_le_bytes());
            }
            "forged shape"
        }
    }
}

/// The most that arrays of a file may claim and still be believed: gzip makes at most 1,032 of
/// one byte, and the file has `length` of them; `arrays` is what the sound file holds.
fn limit(arrays: usize) -> usize {
    4 * arrays + OVERHEAD
}

fn read_all(path: &Path) -> Result<usize, String> {
    let outcome = read(path, &ReadOptions::default()).map(|cells| cells.x.nnz());
    if let Ok(mut blocks) = CellBlocks::open(path, &ReadOptions::default()) {
        while let Ok(Some(_)) = blocks.next_block(16) {}
    }
    outcome.map_err(|error| error.to_string())
}

#[test]
fn damaged_files_are_read_or_refused() {
    let count: usize = std::env::var("SCREADER_MUTATIONS")
        .ok()
        .map_or(2000, |text| text.parse().expect("SCREADER_MUTATIONS is a number"));
    let folder = tempfile::tempdir().unwrap();
    let mut sources: Vec<(Vec<u8>, usize)> = Vec::new();
    let mut random = ChaCha8Rng::seed_from_u64(20_000);
    for (n_obs, n_var) in [(12, 9), (120, 60), (300, 200)] {
        let path = folder.path().join("sound.h5ad");
        write_h5ad(&cells(n_obs, n_var, &mut random), &path).unwrap();
        sources.push((std::fs::read(&path).unwrap(), n_obs * n_var * 16 * 3));
    }
    let shared = std::env::var_os("SCREADER_SHARED").map(std::path::PathBuf::from);
    let shared = shared.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"));
    for name in [
        "tiledbsoma_testdata_pbmc-small-x-csc.h5ad",
        "scp_anndata_boolean_test.h5ad",
        "anndata_archive_v0.11.4.h5ad",
        "ucsc_cellbrowser_pbmc_small.h5ad",
        "tiledbsoma_anndata_bruce-nan.h5ad",
        "scp_test_loom.loom",
    ] {
        match std::fs::read(shared.join("data/dev/odd_files").join(name)) {
            Ok(bytes) => {
                let arrays = 16 * bytes.len();
                sources.push((bytes, arrays));
            }
            Err(_) => println!("{name} is absent: not among the mutated files"),
        }
    }
    let (send_job, jobs) = mpsc::channel::<std::path::PathBuf>();
    let (send_result, results) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for path in jobs {
            let outcome = std::panic::catch_unwind(|| read_all(&path));
            if send_result.send(outcome).is_err() {
                return;
            }
        }
    });
    let (mut read_anyway, mut refused, mut most) = (0, 0, 0f64);
    for number in 0..count {
        let mut random = ChaCha8Rng::seed_from_u64(number as u64);
        let (sound, arrays) = &sources[number % sources.len()];
        let mut bytes = sound.clone();
        let kind = mutate(&mut bytes, &mut random);
        let path = folder.path().join(format!("mutated-{}.h5ad", number % 2));
        std::fs::write(&path, &bytes).unwrap();
        let before = NOW.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        send_job.send(path).unwrap();
        let outcome = results.recv_timeout(LONGEST);
        let peak = PEAK.load(Ordering::Relaxed).saturating_sub(before);
        most = most.max(peak as f64 / limit(*arrays) as f64);
        match outcome {
            Err(_) => panic!("mutation {number} ({kind}): still reading after {LONGEST:?}"),
            Ok(Err(_)) => panic!("mutation {number} ({kind}): the reader panicked"),
            Ok(Ok(Ok(_))) => read_anyway += 1,
            Ok(Ok(Err(line))) => {
                assert!(!line.contains('\n'), "mutation {number} ({kind}): {line}");
                refused += 1;
            }
        }
        assert!(
            peak <= limit(*arrays),
            "mutation {number} ({kind}): {peak} bytes allocated for arrays of {arrays}"
        );
    }
    drop(send_job);
    reader.join().unwrap();
    println!(
        "{count} mutations: {read_anyway} read, {refused} refused; peak {:.0} % of the limit",
        100.0 * most
    );
    assert!(refused * 10 > count, "the damage does not reach the reader");
}
