//! The t-test for groups of unequal variance (Welch 1947).

use statrs::function::beta::beta_reg;

use super::{Found, GeneValues, Groups, Sums};

/// Means that differ by less, relatively, are one: they are sums of the same value.
const SAME: f64 = 1e-9;

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
    let cells = groups.n_cells;
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
                return without_spread(mean, rest);
            }
            let t = (mean - rest) / both.sqrt();
            let freedom = both * both
                / (of_group * of_group / (inside - 1.0) + of_rest * of_rest / (outside - 1.0));
            (t, beta_reg(freedom / 2.0, 0.5, freedom / (freedom + t * t)))
        })
        .collect()
}

/// A gene with one value in the group and one outside: they are the same, or the gene tells all, as for scanpy.
fn without_spread(mean: f64, rest: f64) -> (f64, f64) {
    if (mean - rest).abs() <= SAME * mean.abs().max(rest.abs()) {
        return (0.0, 1.0);
    }
    (f64::INFINITY.copysign(mean - rest), 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(values: &[f32]) -> Found {
        let of_cell = [0usize, 0, 0, 1, 1, 1, 1];
        let stored: Vec<usize> = (0..7).filter(|&cell| values[cell] != 0.0).collect();
        let kept: Vec<f32> = stored.iter().map(|&cell| values[cell]).collect();
        let of: Vec<u32> = stored.iter().map(|&cell| of_cell[cell] as u32).collect();
        let groups = Groups { of_cell: &[], n_cells: 7, sizes: vec![3, 4] };
        let sum = |group: usize| {
            (0..7).filter(|&cell| of_cell[cell] == group).map(|cell| f64::from(values[cell])).sum()
        };
        let of_groups: Vec<f64> = vec![sum(0), sum(1)];
        let of_all = vec![of_groups.iter().sum()];
        let sums = Sums { n_groups: 2, of_groups, of_all, stored: vec![kept.len()] };
        compare(&GeneValues { values: &kept, groups: &of }, 0, &groups, &sums)
    }

    #[test]
    fn a_gene_without_spread_tells_all_or_nothing() {
        let apart = found(&[1.5, 1.5, 1.5, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(apart, [(f64::INFINITY, 0.0), (f64::NEG_INFINITY, 0.0)]);
        assert_eq!(found(&[0.7; 7]), [(0.0, 1.0); 2]);
        assert_eq!(found(&[0.0; 7]), [(0.0, 1.0); 2]);
        let (t, p) = found(&[1.0, 2.0, 3.0, 0.0, 1.0, 0.0, 1.0])[0];
        // scipy.stats.ttest_ind([1, 2, 3], [0, 1, 0, 1], equal_var=False)
        assert!(
            (t - 2.32379000772445).abs() < 1e-9 && (p - 0.102728078858399).abs() < 1e-9,
            "{t} {p}"
        );
    }
}
