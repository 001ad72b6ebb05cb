//! The t-test for groups of unequal variance (Welch 1947).

use statrs::function::beta::beta_reg;

use super::{Found, GeneValues, Groups, Sums};

/// Compare every group with all other cells by one gene: t and two-sided p-value.
pub(super) fn compare(
    values: &GeneValues<'_>,
    gene: usize,
    groups: &Groups<'_>,
    sums: &Sums,
) -> Found {
    let mut squares = vec![0.0; groups.sizes.len()];
    for (&value, &group) in values.values.iter().zip(values.groups) {
        squares[group as usize] += f64::from(value).powi(2);
    }
    let all: f64 = squares.iter().sum();
    let cells = groups.of_cell.len();
    (0..groups.sizes.len())
        .map(|group| {
            let inside = groups.sizes[group] as f64;
            let outside = (cells - groups.sizes[group]) as f64;
            let [mean, rest] = sums.means(gene, group, groups);
            // Unbiased variances, each divided by its number of cells.
            let error = |squares: f64, mean: f64, n: f64| {
                ((squares - n * mean * mean) / (n - 1.0)).max(0.0) / n
            };
            let of_group = error(squares[group], mean, inside);
            let of_rest = error(all - squares[group], rest, outside);
            let both = of_group + of_rest;
            if both <= 0.0 {
                return (0.0, 1.0);
            }
            let t = (mean - rest) / both.sqrt();
            let freedom = both * both
                / (of_group * of_group / (inside - 1.0) + of_rest * of_rest / (outside - 1.0));
            (t, beta_reg(freedom / 2.0, 0.5, freedom / (freedom + t * t)))
        })
        .collect()
}
