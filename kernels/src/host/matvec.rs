//! A matrix times one vector, whose time is that of reading the matrix once.

use rayon::prelude::*;

use super::vector::vectorised;

/// Numbers summed side by side; two of the widest vectors would only add latency on short rows.
const LANES: usize = 16;

/// Rows read at once: their sums do not wait for each other.
const ROWS: usize = 4;

/// Numbers of the matrix that are worth a task.
const TASK_NUMBERS: usize = 1 << 16;

/// Compute `y = matrix · x` on all cores: `matrix` is row-major `[y.len(), x.len()]`.
///
/// Each row is summed by one task in an order of its own, so that the number of threads does not show.
pub(crate) fn matrix_vector(y: &mut [f32], matrix: &[f32], x: &[f32]) {
    let width = x.len();
    assert_eq!(matrix.len(), y.len() * width);
    if matrix.len() < 2 * TASK_NUMBERS {
        return row_dots(y, matrix, x);
    }
    let rows = TASK_NUMBERS.div_ceil(width).next_multiple_of(ROWS);
    y.par_chunks_mut(rows)
        .zip(matrix.par_chunks(rows * width))
        .for_each(|(y, matrix)| row_dots(y, matrix, x));
}

vectorised! {
    /// Compute `y = matrix · x` on the calling thread.
    pub(crate) fn row_dots(y: &mut [f32], matrix: &[f32], x: &[f32]) {
        let width = x.len();
        let (whole, rest) = x.as_chunks::<LANES>();
        let fours = y.len() / ROWS * ROWS;
        let (y_fours, y_rest) = y.split_at_mut(fours);
        let (matrix_fours, matrix_rest) = matrix.split_at(fours * width);
        for (y, rows) in y_fours.chunks_exact_mut(ROWS).zip(matrix_fours.chunks_exact(ROWS * width)) {
            let (top, bottom) = rows.split_at(2 * width);
            let ((a, b), (c, d)) = (top.split_at(width), bottom.split_at(width));
            let [a, b, c, d] = [a, b, c, d].map(|row| row.as_chunks::<LANES>());
            let mut sums = [[0.0_f32; LANES]; ROWS];
            for ((((x, a), b), c), d) in whole.iter().zip(a.0).zip(b.0).zip(c.0).zip(d.0) {
                for lane in 0..LANES {
                    sums[0][lane] += a[lane] * x[lane];
                    sums[1][lane] += b[lane] * x[lane];
                    sums[2][lane] += c[lane] * x[lane];
                    sums[3][lane] += d[lane] * x[lane];
                }
            }
            for (y, (sums, row)) in y.iter_mut().zip(sums.iter().zip([a.1, b.1, c.1, d.1])) {
                *y = finish(sums, row, rest);
            }
        }
        for (y, row) in y_rest.iter_mut().zip(matrix_rest.chunks_exact(width)) {
            let (row, row_rest) = row.as_chunks::<LANES>();
            let mut sums = [0.0_f32; LANES];
            for (x, row) in whole.iter().zip(row) {
                for lane in 0..LANES {
                    sums[lane] += row[lane] * x[lane];
                }
            }
            *y = finish(&sums, row_rest, rest);
        }
    }
}

/// Add the lanes up, and what is left of a row.
#[inline(always)]
fn finish(sums: &[f32; LANES], row: &[f32], x: &[f32]) -> f32 {
    let mut halves = [0.0_f32; LANES / 2];
    for (at, half) in halves.iter_mut().enumerate() {
        *half = sums[at] + sums[at + LANES / 2];
    }
    let rest: f32 = row.iter().zip(x).map(|(a, b)| a * b).sum();
    halves.iter().sum::<f32>() + rest
}

vectorised! {
    /// Compute `y = Σ weights[r] · rows[r]`: `rows` is row-major `[weights.len(), y.len()]`.
    pub(crate) fn weighted_sum(y: &mut [f32], weights: &[f32], rows: &[f32]) {
        y.fill(0.0);
        for (weight, row) in weights.iter().zip(rows.chunks_exact(y.len())) {
            for (y, x) in y.iter_mut().zip(row) {
                *y += weight * x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 31) % 17) as f32 - 8.0).collect()
    }

    #[test]
    fn products_are_those_of_whole_numbers_at_any_width_and_count_of_rows() {
        // Small whole numbers: every order of summation gives the same.
        for (rows, width) in [(1, 1), (3, 5), (4, 16), (7, 33), (130, 1100)] {
            let (matrix, x) = (numbers(rows * width), numbers(width));
            let mut y = vec![f32::NAN; rows];
            matrix_vector(&mut y, &matrix, &x);
            for (y, row) in y.iter().zip(matrix.chunks_exact(width)) {
                let expected: f32 = row.iter().zip(&x).map(|(a, b)| a * b).sum();
                assert_eq!(*y, expected, "{rows} x {width}");
            }
        }
    }

    #[test]
    fn weighted_sums_are_columns_times_weights() {
        let rows = numbers(5 * 3);
        let mut y = [f32::NAN; 3];
        weighted_sum(&mut y, &[1.0, 0.0, -2.0, 0.5, 4.0], &rows);
        for (column, y) in y.iter().enumerate() {
            let at = |row: usize| rows[row * 3 + column];
            assert_eq!(*y, at(0) - 2.0 * at(2) + 0.5 * at(3) + 4.0 * at(4));
        }
    }
}
