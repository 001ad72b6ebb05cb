//! Which genes tell a group of cells from the others, as scanpy's `tl.rank_genes_groups` ranks them.

mod adjust;
mod logistic;
mod welch;
mod wilcoxon;

use std::ops::Range;

pub(crate) use adjust::benjamini_hochberg;
use rayon::prelude::*;

use crate::cells::CsrMatrix;
use crate::{Error, Result};

/// Added to both means before their ratio is taken; scanpy's number.
const NEVER_ZERO: f64 = 1e-9;
/// Values that a thread turns from rows into columns at once: 32 MB of them.
const VALUES_AT_ONCE: usize = 1 << 22;

/// How a group is compared with all other cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum GroupTest {
    /// Wilcoxon's rank sum with correction for ties, in its normal approximation: scanpy's
    /// `method="wilcoxon", tie_correct=True`.
    #[default]
    Wilcoxon,
    /// Welch's t-test: scanpy's `method="t-test"`.
    TTest,
    /// Coefficients of a multinomial logistic regression of all groups: scanpy's `method="logreg"`. It has no
    /// p-values.
    Logistic,
}

/// The genes of one group, the most telling first.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupGenes {
    /// Name of the group.
    pub group: String,
    /// Columns of the matrix.
    pub genes: Vec<u32>,
    /// What they are ranked by: a z-score, Welch's t, or a coefficient.
    pub scores: Vec<f32>,
    /// Logarithm to base 2 of the ratio of mean expression, in linear space, in the group and in all others.
    pub logfoldchanges: Vec<f32>,
    /// Two-sided p-values; 1 where the test has none.
    pub pvals: Vec<f64>,
    /// p-values adjusted for the number of genes (Benjamini and Hochberg 1995).
    pub pvals_adj: Vec<f64>,
}

/// Cells of each group.
struct Groups<'a> {
    of_cell: &'a [usize],
    sizes: Vec<usize>,
}

/// One gene in all cells: values that are stored, with the cells' groups.
struct GeneValues<'a> {
    values: &'a [f32],
    groups: &'a [u32],
}

/// What a test finds of one gene: a score and a p-value for each group.
type Found = Vec<(f64, f64)>;

/// Rank all genes for each group against all other cells.
///
/// `matrix` is log1p-normalised, `[cells, genes]`; `groups[cell]` is an index into `names`. Where scores tie,
/// the first gene comes first. The result does not depend on the number of threads.
///
/// # Errors
/// [`Error::Input`] if labels do not fit the cells, there are fewer than two groups, a group has fewer than two
/// cells, or a value is not finite.
pub fn rank_genes_groups(
    matrix: &CsrMatrix,
    groups: &[usize],
    names: &[String],
    test: GroupTest,
) -> Result<Vec<GroupGenes>> {
    let groups = check(matrix, groups, names)?;
    let sums = Sums::of(matrix, &groups, names.len());
    let found = match test {
        GroupTest::Logistic => logistic::coefficients(matrix, &groups, names.len())?,
        GroupTest::TTest => {
            of_genes(matrix, &groups, |gene, values| welch::compare(values, gene, &groups, &sums))
        }
        GroupTest::Wilcoxon => {
            of_genes(matrix, &groups, |_, values| wilcoxon::compare(values, &groups))
        }
    };
    let ranked = (0..names.len()).into_par_iter().map(|group| {
        let scores: Vec<(f64, f64)> = found.iter().map(|gene| gene[group]).collect();
        ranked(&names[group], group, &scores, &sums, &groups)
    });
    Ok(ranked.collect())
}

fn check<'a>(matrix: &CsrMatrix, groups: &'a [usize], names: &[String]) -> Result<Groups<'a>> {
    let wrong = |expected: &str, found: String, remedy: &str| {
        Err(Error::input("rank_genes_groups", expected, found, remedy))
    };
    if groups.len() != matrix.n_rows || groups.iter().any(|&group| group >= names.len()) {
        let found = format!("{} labels of {} cells", groups.len(), matrix.n_rows);
        return wrong("a group for each cell", found, "label all cells");
    }
    if let Some(value) = matrix.data.iter().find(|value| !value.is_finite()) {
        return wrong("finite values", value.to_string(), "remove such cells or genes");
    }
    let mut sizes = vec![0; names.len()];
    groups.iter().for_each(|&group| sizes[group] += 1);
    if names.len() < 2 {
        let found = format!("{} group", names.len());
        return wrong("at least two groups", found, "raise the resolution of the clustering");
    }
    if let Some(small) = sizes.iter().position(|&cells| cells < 2) {
        let found = format!("{} in group '{}'", sizes[small], names[small]);
        return wrong(
            "at least two cells in each group",
            found,
            "leave that group out, or join it with another",
        );
    }
    Ok(Groups { of_cell: groups, sizes })
}

/// Ask `compare` about every gene, in the order of the columns.
///
/// Columns are gathered from rows in blocks, so that a large matrix is not held twice, each block by one thread.
fn of_genes(
    matrix: &CsrMatrix,
    groups: &Groups<'_>,
    compare: impl Fn(usize, &GeneValues<'_>) -> Found + Sync,
) -> Vec<Found> {
    let mut stored = vec![0; matrix.n_cols];
    matrix.indices.iter().for_each(|&column| stored[column as usize] += 1);
    let mut blocks = Vec::new();
    let (mut first, mut values) = (0, 0);
    for (gene, &stored) in stored.iter().enumerate() {
        if gene > first && values + stored > VALUES_AT_ONCE {
            blocks.push(first..gene);
            (first, values) = (gene, 0);
        }
        values += stored;
    }
    blocks.push(first..matrix.n_cols);
    let compared = |genes: Range<usize>| {
        let first = genes.start;
        let block = Columns::gather(matrix, groups, first, &stored[genes.clone()]);
        genes.map(|gene| compare(gene, &block.gene(gene - first))).collect::<Vec<_>>()
    };
    blocks.into_par_iter().flat_map_iter(compared).collect()
}

/// Some columns, one after the other.
struct Columns {
    starts: Vec<usize>,
    values: Vec<f32>,
    groups: Vec<u32>,
}

impl Columns {
    fn gather(matrix: &CsrMatrix, groups: &Groups<'_>, first: usize, stored: &[usize]) -> Self {
        let mut starts = vec![0];
        starts.extend(stored.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        }));
        let all = starts[stored.len()];
        let (mut next, mut values, mut of) = (starts.clone(), vec![0.0; all], vec![0; all]);
        for cell in 0..matrix.n_rows {
            let (columns, row) = matrix.row(cell);
            let from = columns.partition_point(|&column| (column as usize) < first);
            let to = columns.partition_point(|&column| (column as usize) < first + stored.len());
            for (&column, &value) in columns[from..to].iter().zip(&row[from..to]) {
                let place = &mut next[column as usize - first];
                (values[*place], of[*place]) = (value, groups.of_cell[cell] as u32);
                *place += 1;
            }
        }
        Self { starts, values, groups: of }
    }

    fn gene(&self, gene: usize) -> GeneValues<'_> {
        let span = self.starts[gene]..self.starts[gene + 1];
        GeneValues { values: &self.values[span.clone()], groups: &self.groups[span] }
    }
}

/// Sums over the cells of each group and over all, `[genes, groups]`.
struct Sums {
    n_groups: usize,
    of_groups: Vec<f64>,
    of_all: Vec<f64>,
}

impl Sums {
    fn of(matrix: &CsrMatrix, groups: &Groups<'_>, n_groups: usize) -> Self {
        let mut of_groups = vec![0.0; matrix.n_cols * n_groups];
        for cell in 0..matrix.n_rows {
            let group = groups.of_cell[cell];
            let (columns, values) = matrix.row(cell);
            for (&column, &value) in columns.iter().zip(values) {
                of_groups[column as usize * n_groups + group] += f64::from(value);
            }
        }
        let of_all = of_groups.chunks_exact(n_groups).map(|gene| gene.iter().sum()).collect();
        Self { n_groups, of_groups, of_all }
    }

    /// Mean of a gene in a group, and in all other cells.
    fn means(&self, gene: usize, group: usize, groups: &Groups<'_>) -> [f64; 2] {
        let sum = self.of_groups[gene * self.n_groups + group];
        let (cells, all) = (groups.sizes[group], groups.of_cell.len());
        [sum / cells as f64, (self.of_all[gene] - sum) / (all - cells) as f64]
    }
}

fn ranked(
    name: &str,
    group: usize,
    scores: &[(f64, f64)],
    sums: &Sums,
    groups: &Groups<'_>,
) -> GroupGenes {
    let mut order: Vec<u32> = (0..scores.len() as u32).collect();
    let score = |gene: u32| scores[gene as usize].0;
    order.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
    let pvals: Vec<f64> = scores.iter().map(|score| score.1).collect();
    let adjusted = benjamini_hochberg(&pvals);
    let change = |&gene: &u32| {
        let [inside, outside] = sums.means(gene as usize, group, groups).map(f64::exp_m1);
        ((inside + NEVER_ZERO) / (outside + NEVER_ZERO)).log2() as f32
    };
    GroupGenes {
        group: name.to_owned(),
        scores: order.iter().map(|&gene| score(gene) as f32).collect(),
        logfoldchanges: order.iter().map(change).collect(),
        pvals: order.iter().map(|&gene| pvals[gene as usize]).collect(),
        pvals_adj: order.iter().map(|&gene| adjusted[gene as usize]).collect(),
        genes: order,
    }
}
