//! Sinusoidal positional encoding of ranks.

use crate::cells::Dense;

/// Tabulate the sinusoidal positional encoding, `[ranks, dim]` (Vaswani et al. 2017, section 3.5):
/// `PE(rank, 2i) = sin(rank / 10000^(2i / dim))`, `PE(rank, 2i + 1) = cos(rank / 10000^(2i / dim))`.
///
/// Ranks count from 0. An odd `dim` ends with a sine.
pub fn positional_encoding(ranks: usize, dim: usize) -> Dense {
    let mut values = Vec::with_capacity(ranks * dim);
    for rank in 0..ranks {
        for column in 0..dim {
            let exponent = (column - column % 2) as f64 / dim as f64;
            let angle = rank as f64 / 10_000f64.powf(exponent);
            values.push(if column % 2 == 0 { angle.sin() } else { angle.cos() } as f32);
        }
    }
    Dense { n_rows: ranks, n_cols: dim, values }
}
