//! Which genes tell a group of cells from the others, as scanpy's `tl.rank_genes_groups` ranks them.

mod adjust;
pub(super) mod logistic;
mod welch;
mod wilcoxon;

use std::ops::Range;

pub(crate) use adjust::benjamini_hochberg;
use rayon::prelude::*;

use crate::cells::{CsrRows, Rows};
use crate::{Error, Result};

/// Added to both means before their ratio is taken; scanpy's number.
const NEVER_ZERO: f64 = 1e-9;
/// Values that a thread turns from rows into columns at once: 32 MB of them.
const VALUES_AT_ONCE: usize = 1 << 22;
/// So many times that in one pass over rows on disk, 1 GB: each pass reads them all.
const BLOCKS_OF_A_PASS: usize = 32;

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
    of_cell: &'a [Option<usize>],
    /// Cells that have a group.
    n_cells: usize,
    sizes: Vec<usize>,
}

/// One gene in all cells: values that are stored, with the cells' groups.
struct GeneValues<'a> {
    values: &'a [f32],
    groups: &'a [u32],
}

/// What a test finds of one gene: a score and a p-value for each group.
type Found = Vec<(f64, f64)>;

/// Rank all genes for each group against all other cells that have a group.
///
/// `matrix` is log1p-normalised, `[cells, genes]`; `groups[cell]` is an index into `names`, and a cell without one is
/// left out. Where scores tie, the first gene comes first. The result does not depend on the number of threads, nor
/// on where the matrix lies.
///
/// # Errors
/// [`Error::Input`] if labels do not fit the cells, there are fewer than two groups, a group has fewer than two
/// cells, a value is not finite, or a logistic regression is asked for of a matrix that is not in memory; if rows
/// cannot be read.
pub fn rank_genes_groups(
    matrix: &dyn Rows,
    groups: &[Option<usize>],
    names: &[String],
    test: GroupTest,
) -> Result<Vec<GroupGenes>> {
    let groups = check(matrix, groups, names)?;
    let sums = Sums::of(matrix, &groups)?;
    let found = match test {
        GroupTest::Logistic => logistic::coefficients(logistic::in_memory(matrix)?, &groups)?,
        GroupTest::TTest => of_genes(matrix, &groups, &sums, |gene, values| {
            welch::compare(values, gene, &groups, &sums)
        })?,
        GroupTest::Wilcoxon => {
            of_genes(matrix, &groups, &sums, |_, values| wilcoxon::compare(values, &groups))?
        }
    };
    let ranked = (0..names.len()).into_par_iter().map(|group| {
        let scores: Vec<(f64, f64)> = found.iter().map(|gene| gene[group]).collect();
        ranked(&names[group], group, &scores, &sums, &groups)
    });
    Ok(ranked.collect())
}

/// Leave out groups of fewer than two cells, which have no spread to compare: the groups of the cells, by their place
/// among the names that stay, and these names.
pub(crate) fn comparable(
    groups: &[Option<usize>],
    names: &[String],
) -> (Vec<Option<usize>>, Vec<String>) {
    let mut sizes = vec![0; names.len()];
    groups.iter().flatten().for_each(|&group| sizes[group] += 1);
    let stay: Vec<usize> = (0..names.len()).filter(|&group| sizes[group] > 1).collect();
    let mut place = vec![None; names.len()];
    stay.iter().enumerate().for_each(|(at, &group)| place[group] = Some(at));
    let groups = groups.iter().map(|group| group.and_then(|group| place[group])).collect();
    (groups, stay.iter().map(|&group| names[group].clone()).collect())
}

fn check<'a>(
    matrix: &dyn Rows,
    groups: &'a [Option<usize>],
    names: &[String],
) -> Result<Groups<'a>> {
    let wrong = |expected: &str, found: String, remedy: &str| {
        Err(Error::input("rank_genes_groups", expected, found, remedy))
    };
    let is_unknown = |group: &usize| *group >= names.len();
    if groups.len() != matrix.n_rows() || groups.iter().flatten().any(is_unknown) {
        let found = format!("{} labels of {} cells", groups.len(), matrix.n_rows());
        return wrong("a group for each cell", found, "label all cells");
    }
    let mut sizes = vec![0; names.len()];
    groups.iter().flatten().for_each(|&group| sizes[group] += 1);
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
    Ok(Groups { of_cell: groups, n_cells: sizes.iter().sum(), sizes })
}

/// Ask `compare` about every gene, in the order of the columns.
///
/// Columns are gathered from rows some at a time, so that a large matrix is not held twice, each block of genes by
/// one thread.
fn of_genes(
    matrix: &dyn Rows,
    groups: &Groups<'_>,
    sums: &Sums,
    compare: impl Fn(usize, &GeneValues<'_>) -> Found + Sync,
) -> Result<Vec<Found>> {
    let at_once = match matrix.in_memory() {
        Some(_) => 2 * rayon::current_num_threads(),
        None => BLOCKS_OF_A_PASS,
    };
    let mut found = Vec::with_capacity(matrix.n_cols());
    for blocks in blocks_of_genes(&sums.stored).chunks(at_once) {
        let room = |genes: &Range<usize>| Columns::room(genes.start, &sums.stored[genes.clone()]);
        let mut columns: Vec<Columns> = blocks.iter().map(room).collect();
        matrix.for_each_block(&mut |rows| {
            columns.par_iter_mut().for_each(|block| block.gather(rows, groups));
            Ok(())
        })?;
        let compared = |block: &Columns| {
            let genes = 0..block.next.len();
            genes.map(|gene| compare(block.first + gene, &block.gene(gene))).collect::<Vec<_>>()
        };
        found.par_extend(columns.par_iter().flat_map_iter(compared));
    }
    Ok(found)
}

/// Genes side by side that have [`VALUES_AT_ONCE`] values together, or one that has more.
fn blocks_of_genes(stored: &[usize]) -> Vec<Range<usize>> {
    let mut blocks = Vec::new();
    let (mut first, mut values) = (0, 0);
    for (gene, &stored) in stored.iter().enumerate() {
        if gene > first && values + stored > VALUES_AT_ONCE {
            blocks.push(first..gene);
            (first, values) = (gene, 0);
        }
        values += stored;
    }
    blocks.push(first..stored.len());
    blocks
}

/// Some columns, one after the other.
struct Columns {
    /// Number of the first.
    first: usize,
    starts: Vec<usize>,
    /// Where the next value of each goes.
    next: Vec<usize>,
    values: Vec<f32>,
    groups: Vec<u32>,
}

impl Columns {
    /// Room for columns with so many values.
    fn room(first: usize, stored: &[usize]) -> Self {
        let mut starts = vec![0];
        starts.extend(stored.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        }));
        let all = starts[stored.len()];
        let next = starts[..stored.len()].to_vec();
        Self { first, starts, next, values: vec![0.0; all], groups: vec![0; all] }
    }

    /// Take these columns' values of rows that have a group.
    fn gather(&mut self, rows: CsrRows<'_>, groups: &Groups<'_>) {
        let until = self.first + self.next.len();
        for at in 0..rows.n_rows() {
            let Some(group) = groups.of_cell[rows.first + at] else { continue };
            let (columns, row) = rows.row(at);
            let from = columns.partition_point(|&column| (column as usize) < self.first);
            let to = columns.partition_point(|&column| (column as usize) < until);
            for (&column, &value) in columns[from..to].iter().zip(&row[from..to]) {
                let place = &mut self.next[column as usize - self.first];
                (self.values[*place], self.groups[*place]) = (value, group as u32);
                *place += 1;
            }
        }
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
    /// Values of each gene.
    stored: Vec<usize>,
}

impl Sums {
    fn of(matrix: &dyn Rows, groups: &Groups<'_>) -> Result<Self> {
        let n_groups = groups.sizes.len();
        let mut of_groups = vec![0.0; matrix.n_cols() * n_groups];
        let mut stored = vec![0; matrix.n_cols()];
        matrix.for_each_block(&mut |rows| {
            if let Some(value) = rows.values().iter().find(|value| !value.is_finite()) {
                let remedy = "remove such cells or genes";
                return Err(Error::input("rank_genes_groups", "finite values", value, remedy));
            }
            for at in 0..rows.n_rows() {
                let Some(group) = groups.of_cell[rows.first + at] else { continue };
                let (columns, values) = rows.row(at);
                for (&column, &value) in columns.iter().zip(values) {
                    of_groups[column as usize * n_groups + group] += f64::from(value);
                    stored[column as usize] += 1;
                }
            }
            Ok(())
        })?;
        let of_all = of_groups.chunks_exact(n_groups).map(|gene| gene.iter().sum()).collect();
        Ok(Self { n_groups, of_groups, of_all, stored })
    }

    /// Mean of a gene in a group, and in all other cells.
    fn means(&self, gene: usize, group: usize, groups: &Groups<'_>) -> [f64; 2] {
        let sum = self.of_groups[gene * self.n_groups + group];
        let (cells, all) = (groups.sizes[group], groups.n_cells);
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
