//! Cells ranked per second: `cargo bench --bench rank [cells]`.
//!
//! Cells express 2,000 of 23,000 genes; the 2,048 best are kept. The goal is 20,000 cells/s on 2 cores.

use std::time::Instant;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use screader::cells::CsrMatrix;
use screader::rank::{GeneStatistics, RankConfig, Select, rank_cells};

const GENES: usize = 23_000;
const EXPRESSED: usize = 2_000;
const ROUNDS: usize = 5;

/// Cells of counts 1, 2, 3, … (each half as common as the one before) in evenly spread genes.
fn cells(n_rows: usize) -> CsrMatrix {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut matrix = CsrMatrix { n_rows, n_cols: GENES, indptr: vec![0], ..Default::default() };
    for _ in 0..n_rows {
        let depth = 4_000.0 + f64::from(rng.next_u32() % 4_000);
        for place in 0..EXPRESSED {
            let (from, to) = (place * GENES / EXPRESSED, (place + 1) * GENES / EXPRESSED);
            matrix.indices.push((from + rng.next_u32() as usize % (to - from)) as u32);
            let count = f64::from(1 + rng.next_u32().trailing_zeros());
            matrix.data.push((count / depth * 1e4).ln_1p() as f32);
        }
        matrix.indptr.push(matrix.data.len());
    }
    matrix
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let n_cells = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(20_000);
    let matrix = cells(n_cells);
    let columns: Vec<Option<u32>> = (0..GENES as u32).map(Some).collect();
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        for select in [Select::MedianRank, Select::RawRank, Select::Hvg] {
            let config = RankConfig { select, ..RankConfig::default() };
            let started = Instant::now();
            let statistics =
                pool.install(|| GeneStatistics::fit(&matrix, &columns, GENES, &config))?;
            let fitted = started.elapsed().as_secs_f64();
            let mut seconds = Vec::with_capacity(ROUNDS);
            for _ in 0..ROUNDS {
                let started = Instant::now();
                let ranked =
                    pool.install(|| rank_cells(&matrix, &columns, &statistics, &config))?;
                seconds.push(started.elapsed().as_secs_f64());
                assert_eq!(std::hint::black_box(ranked).n_cells(), n_cells);
            }
            seconds.sort_by(f64::total_cmp);
            let rate = n_cells as f64 / seconds[ROUNDS / 2];
            println!(
                "{threads} threads  {select:?}  {rate:.0} cells/s (median of {ROUNDS}), fit {fitted:.2} s"
            );
        }
    }
    Ok(())
}
