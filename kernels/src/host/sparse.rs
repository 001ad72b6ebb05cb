//! Products of a sparse matrix and a dense one: each row of the result is a weighted sum of rows of a table.

use super::vector::vectorised;

vectorised! {
    /// Sum rows of `table` `[rows, width]` into each row `r` of `target` `[starts.len() - 1, width]`:
    /// `target[r] = Σ values[e] · table[indices[e]]` over the entries `e` from `starts[r]` to
    /// `starts[r + 1]`, in their order.
    ///
    /// With a matrix by rows and weights as the table this is its product; with the same matrix by columns
    /// and gradients as the table, the gradient of those weights.
    ///
    /// # Panics
    /// If the slices do not fit one another.
    pub fn weighted_rows(
        target: &mut [f32],
        starts: &[usize],
        indices: &[u32],
        values: &[f32],
        table: &[f32],
        width: usize,
    ) {
        for (row, span) in target.chunks_exact_mut(width).zip(starts.windows(2)) {
            let entries = (&indices[span[0]..span[1]], &values[span[0]..span[1]]);
            let mut done = 0;
            // As many columns at a time as registers hold sums.
            while done < width {
                done += match width - done {
                    64.. => columns::<64>(row, done, entries, table, width),
                    48.. => columns::<48>(row, done, entries, table, width),
                    32.. => columns::<32>(row, done, entries, table, width),
                    24.. => columns::<24>(row, done, entries, table, width),
                    16.. => columns::<16>(row, done, entries, table, width),
                    8.. => columns::<8>(row, done, entries, table, width),
                    _ => columns::<1>(row, done, entries, table, width),
                };
            }
        }
    }
}

/// Sum the `N` columns from `first` on; gives `N`.
#[inline(always)]
fn columns<const N: usize>(
    row: &mut [f32],
    first: usize,
    (indices, values): (&[u32], &[f32]),
    table: &[f32],
    width: usize,
) -> usize {
    let mut sums = [0f32; N];
    for (&index, value) in indices.iter().zip(values) {
        let from = &table[index as usize * width + first..][..N];
        for (sum, from) in sums.iter_mut().zip(from) {
            *sum += value * from;
        }
    }
    row[first..first + N].copy_from_slice(&sums);
    N
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_gives_the_plain_sums() {
        let (starts, indices) = ([0, 3, 3, 5], [0, 2, 3, 1, 3]);
        let values = [1.5, -2.0, 0.25, 4.0, 0.5];
        for width in [1, 7, 8, 12, 16, 24, 31, 40, 64, 130] {
            let table: Vec<f32> = (0..4 * width).map(|at| ((at * 7) % 11) as f32 - 5.0).collect();
            let mut found = vec![f32::NAN; 3 * width];
            weighted_rows(&mut found, &starts, &indices, &values, &table, width);
            for row in 0..3 {
                for column in 0..width {
                    let entries = starts[row]..starts[row + 1];
                    let wanted: f32 = entries
                        .map(|e| values[e] * table[indices[e] as usize * width + column])
                        .sum();
                    assert_eq!(found[row * width + column], wanted);
                }
            }
        }
    }
}
