//! The rank sum of each group (Wilcoxon 1945; Mann and Whitney 1947), with correction for ties.

use statrs::function::erf::erfc;

use super::{Found, GeneValues, Groups};

/// Compare every group with all other cells by one gene: z-score and two-sided p-value.
///
/// Of `N` cells, `n` of the group, with rank sum `W`: `z = (W − n (N + 1) / 2) / sqrt(T n (N − n) (N + 1) / 12)`,
/// where `T = 1 − Σ (t³ − t) / (N³ − N)` over the sizes `t` of ties. Zeros are not stored and are one tie.
pub(super) fn compare(gene: &GeneValues<'_>, groups: &Groups<'_>) -> Found {
    let all = groups.n_cells;
    // Values that sort as they are, with the group of their cell.
    let mut sorted: Vec<u64> = gene
        .values
        .iter()
        .zip(gene.groups)
        .filter(|(value, _)| **value != 0.0)
        .map(|(&value, &group)| u64::from(rising(value)) << 32 | u64::from(group))
        .collect();
    sorted.sort_unstable();
    let zeros = all - sorted.len();
    let below = sorted.partition_point(|&one| ((one >> 32) as u32) < rising(0.0));

    let mut sums = vec![0.0; groups.sizes.len()];
    let mut stored = vec![0usize; groups.sizes.len()];
    let cubes = |tie: usize| (tie as f64).powi(3) - tie as f64;
    let mut ties = cubes(zeros);
    let mut from = 0;
    while from < sorted.len() {
        let value = sorted[from] >> 32;
        let to = from + sorted[from..].iter().take_while(|&&one| one >> 32 == value).count();
        // Ranks count from 1; a tie has the mean of its ranks.
        let before = if from < below { from } else { from + zeros };
        let rank = before as f64 + (to - from + 1) as f64 / 2.0;
        for &one in &sorted[from..to] {
            let group = (one & u64::from(u32::MAX)) as usize;
            sums[group] += rank;
            stored[group] += 1;
        }
        ties += cubes(to - from);
        from = to;
    }
    let rank_of_zeros = below as f64 + (zeros + 1) as f64 / 2.0;
    let n = all as f64;
    let correction = 1.0 - ties / (n.powi(3) - n);
    groups
        .sizes
        .iter()
        .zip(sums.iter().zip(&stored))
        .map(|(&size, (&sum, &stored))| {
            let inside = size as f64;
            let sum = sum + (size - stored) as f64 * rank_of_zeros;
            let variance = correction * inside * (n - inside) * (n + 1.0) / 12.0;
            match variance > 0.0 {
                true => {
                    let z = (sum - inside * (n + 1.0) / 2.0) / variance.sqrt();
                    (z, erfc(z.abs() / std::f64::consts::SQRT_2))
                }
                // One value in all cells.
                false => (0.0, 1.0),
            }
        })
        .collect()
}

/// The bits of a finite value, which rise with it.
fn rising(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ranks by counting, for every cell.
    fn plain(values: &[f64], inside: &[bool]) -> f64 {
        let rank = |value: f64| {
            let less = values.iter().filter(|&&other| other < value).count() as f64;
            let equal = values.iter().filter(|&&other| other == value).count() as f64;
            less + (equal + 1.0) / 2.0
        };
        let n = values.len() as f64;
        let m = inside.iter().filter(|inside| **inside).count() as f64;
        let sum: f64 =
            values.iter().zip(inside).filter(|(_, inside)| **inside).map(|(&v, _)| rank(v)).sum();
        let mut distinct = values.to_vec();
        distinct.sort_by(f64::total_cmp);
        distinct.dedup();
        let ties: f64 = distinct
            .iter()
            .map(|one| values.iter().filter(|other| *other == one).count() as f64)
            .map(|tie| tie.powi(3) - tie)
            .sum();
        let variance = (1.0 - ties / (n.powi(3) - n)) * m * (n - m) * (n + 1.0) / 12.0;
        (sum - m * (n + 1.0) / 2.0) / variance.sqrt()
    }

    #[test]
    fn zeros_that_are_not_stored_have_their_ranks() {
        let values = [0.0, 2.5, 0.0, -1.0, 2.5, 1.0, 0.0, 3.0, -1.0, 0.5];
        let labels = [0usize, 0, 1, 1, 0, 2, 2, 0, 1, 2];
        let stored: Vec<usize> = (0..10).filter(|&cell| values[cell] != 0.0).collect();
        let kept: Vec<f32> = stored.iter().map(|&cell| values[cell] as f32).collect();
        let of: Vec<u32> = stored.iter().map(|&cell| labels[cell] as u32).collect();
        let groups = Groups { of_cell: &[], n_cells: 10, sizes: vec![4, 3, 3] };
        let found = compare(&GeneValues { values: &kept, groups: &of }, &groups);
        for (group, (z, _)) in found.iter().enumerate() {
            let inside: Vec<bool> = labels.iter().map(|&label| label == group).collect();
            assert!((z - plain(&values, &inside)).abs() < 1e-12, "{group}: {z}");
        }
    }

    #[test]
    fn a_gene_that_is_the_same_everywhere_tells_nothing() {
        let groups = Groups { of_cell: &[], n_cells: 4, sizes: vec![2, 2] };
        let found = compare(&GeneValues { values: &[], groups: &[] }, &groups);
        assert_eq!(found, [(0.0, 1.0); 2]);
    }

    #[test]
    fn far_tails_do_not_vanish() {
        // scipy.stats.norm.sf(30) · 2
        let p = erfc(30.0 / std::f64::consts::SQRT_2);
        assert!((p / 9.813427854297537e-198 - 1.0).abs() < 1e-9, "{p:e}");
    }
}
