//! Numbers by formula, the same here and in scripts/reference/score_goldens.py.

use screader::cells::Dense;

/// SplitMix64 of `seed`, number `place` of its stream, in [0, 1).
pub fn uniform(seed: u64, place: u64) -> f64 {
    let mut z = seed.wrapping_add((place + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z >> 11) as f64 / 2f64.powi(53)
}

/// A matrix of numbers in [-1, 1).
pub fn signed(seed: u64, n_rows: usize, n_cols: usize) -> Dense {
    let value = |place| (2.0 * uniform(seed, place) - 1.0) as f32;
    Dense { n_rows, n_cols, values: (0..(n_rows * n_cols) as u64).map(value).collect() }
}
