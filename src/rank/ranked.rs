//! Cells as ranked sequences of genes.

use rayon::prelude::*;

use super::config::{RankConfig, Select, ValueScale};
use super::gene_map::{Addition, GeneMap, Slots, refuse_entry};
use super::statistics::GeneStatistics;
use crate::cells::CsrMatrix;
use crate::{Error, Result};

/// Cells are ranked in blocks of this many: large enough to share buffers, small enough to spread.
const CELLS_PER_BLOCK: usize = 128;

/// Cells as sequences of genes, best first; ragged, without padding.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RankedCells {
    /// Where each cell begins, `n_cells + 1` entries.
    pub indptr: Vec<usize>,
    /// Row of the embedding table of each gene; the rank is the position within the cell, from 0.
    pub genes: Vec<u32>,
    /// Value beside each gene, on the scale of [`ValueScale`].
    pub values: Vec<f32>,
}

/// The matrices a cell is ranked from, both `[cells, genes]` over the same cells and columns.
#[derive(Debug, Clone, Copy)]
pub struct Expression<'a> {
    /// log1p-CP10k expression; decides selection and order.
    pub log_normalised: &'a CsrMatrix,
    /// Counts as stored; needed by [`ValueScale::Raw`] only.
    pub raw: Option<&'a CsrMatrix>,
}

impl<'a> From<&'a CsrMatrix> for Expression<'a> {
    fn from(log_normalised: &'a CsrMatrix) -> Self {
        Self { log_normalised, raw: None }
    }
}

impl RankedCells {
    /// Number of cells.
    pub fn n_cells(&self) -> usize {
        self.indptr.len().saturating_sub(1)
    }

    /// Genes (rows of the embedding table, best first) and values of one cell.
    pub fn cell(&self, cell: usize) -> (&[u32], &[f32]) {
        let span = self.indptr[cell]..self.indptr[cell + 1];
        (&self.genes[span.clone()], &self.values[span])
    }
}

/// Rank the genes of every cell, best first, and keep at most `config.top_genes` of them.
///
/// `gene_rows` holds for each column the row of the embedding table, `None` for genes without an
/// embedding; columns of one gene are added before the logarithm. Genes that a cell does not express
/// are never selected, so a cell that expresses no known gene has an empty sequence. Genes of equal
/// score are ordered by their row, so that the result depends neither on the order of the columns nor
/// on the number of threads.
///
/// # Errors
/// [`Error::Input`] if an entry is negative or not finite, if shapes or rows do not fit together, if
/// `statistics` lack what `config` asks for, or if raw values are asked for and not given.
pub fn rank_cells<'a>(
    expression: impl Into<Expression<'a>>,
    gene_rows: &[Option<u32>],
    statistics: &GeneStatistics,
    config: &RankConfig,
) -> Result<RankedCells> {
    config.validate()?;
    let expression = expression.into();
    check_raw(expression, config)?;
    let n_cells = expression.log_normalised.n_rows;
    let ranker = Ranker::new(expression, gene_rows, statistics, config)?;
    let lengths: Vec<Result<Vec<usize>>> = (0..n_cells.div_ceil(CELLS_PER_BLOCK))
        .into_par_iter()
        .map_init(
            || ranker.map.slots(),
            |slots, block| {
                let first = block * CELLS_PER_BLOCK;
                let cells = first..n_cells.min(first + CELLS_PER_BLOCK);
                cells.map(|cell| ranker.length(cell, slots)).collect()
            },
        )
        .collect();
    let mut indptr = Vec::with_capacity(n_cells + 1);
    let mut end = 0;
    indptr.push(end);
    for block in lengths {
        for length in block? {
            end += length;
            indptr.push(end);
        }
    }
    let mut genes = vec![0; indptr[n_cells]];
    let mut values = vec![0.0; indptr[n_cells]];
    let ranked: Vec<Result<()>> = blocks(&indptr, &mut genes, &mut values)
        .into_par_iter()
        .map_init(|| ranker.workspace(), |workspace, block| ranker.rank_block(block, workspace))
        .collect();
    ranked.into_iter().collect::<Result<()>>()?;
    Ok(RankedCells { indptr, genes, values })
}

fn check_raw(expression: Expression<'_>, config: &RankConfig) -> Result<()> {
    let log = expression.log_normalised;
    match (config.value, expression.raw) {
        (ValueScale::Raw, None) => Err(Error::input(
            "rank.value",
            "counts beside the log-normalised values, for value = \"raw\"",
            "none",
            "name the layer that holds counts, or choose another value",
        )),
        (ValueScale::Raw, Some(raw)) if (raw.n_rows, raw.n_cols) != (log.n_rows, log.n_cols) => {
            Err(Error::input(
                "rank.value",
                format!("counts of {} cells × {} genes", log.n_rows, log.n_cols),
                format!("{} × {}", raw.n_rows, raw.n_cols),
                "name a layer of the same shape",
            ))
        }
        _ => Ok(()),
    }
}

/// The sequences of a few consecutive cells, to be filled.
struct Block<'a> {
    first_cell: usize,
    /// Where each cell ends, counted from the beginning of the block.
    ends: Vec<usize>,
    genes: &'a mut [u32],
    values: &'a mut [f32],
}

/// Cut the output into blocks that threads can fill side by side.
fn blocks<'a>(
    indptr: &[usize],
    mut genes: &'a mut [u32],
    mut values: &'a mut [f32],
) -> Vec<Block<'a>> {
    let n_cells = indptr.len() - 1;
    let mut blocks = Vec::with_capacity(n_cells.div_ceil(CELLS_PER_BLOCK));
    for first_cell in (0..n_cells).step_by(CELLS_PER_BLOCK) {
        let last = n_cells.min(first_cell + CELLS_PER_BLOCK);
        let start = indptr[first_cell];
        let ends = indptr[first_cell + 1..=last].iter().map(|end| end - start).collect();
        let (of_genes, rest_of_genes) = genes.split_at_mut(indptr[last] - start);
        let (of_values, rest_of_values) = values.split_at_mut(indptr[last] - start);
        (genes, values) = (rest_of_genes, rest_of_values);
        blocks.push(Block { first_cell, ends, genes: of_genes, values: of_values });
    }
    blocks
}

/// Buffers of one thread. The per-gene arrays are written before they are read in every cell, so
/// they are never cleared.
struct Workspace {
    slots: Slots,
    keys: Vec<u64>,
    expression: Vec<f32>,
    raw: Vec<f32>,
}

/// Everything about a run of the ranking that does not change from cell to cell.
struct Ranker<'a> {
    expression: Expression<'a>,
    config: &'a RankConfig,
    map: GeneMap,
    /// What a gene's expression is divided by for its score; `NaN` for a gene never selected (half
    /// the size of an `Option`, and this array is read at random).
    score_divisors: Vec<f32>,
    /// What a gene's expression is divided by for its value.
    value_divisors: Vec<f32>,
}

impl<'a> Ranker<'a> {
    fn new(
        expression: Expression<'a>,
        gene_rows: &[Option<u32>],
        statistics: &GeneStatistics,
        config: &'a RankConfig,
    ) -> Result<Self> {
        let medians = &statistics.medians;
        let map = GeneMap::new(gene_rows, expression.log_normalised.n_cols, medians.len())?;
        let mut score_divisors = medians.divisors(config.no_median);
        match (config.select, &statistics.highly_variable) {
            (Select::MedianRank, _) => {}
            (Select::RawRank, _) => {
                score_divisors.iter_mut().flatten().for_each(|divisor| *divisor = 1.0);
            }
            (Select::Hvg, Some(genes)) => {
                let mut kept = vec![None; score_divisors.len()];
                for &gene in genes {
                    let Some(slot) = kept.get_mut(gene as usize) else {
                        return Err(Error::input(
                            "highly variable genes",
                            format!("rows of an embedding table of {} genes", medians.len()),
                            format!("row {gene}"),
                            "the statistics of the checkpoint are damaged: train again",
                        ));
                    };
                    *slot = score_divisors[gene as usize];
                }
                score_divisors = kept;
            }
            (Select::Hvg, None) => {
                return Err(Error::input(
                    "rank.select",
                    "statistics with highly variable genes, for select = \"hvg\"",
                    "statistics that were measured for another selection",
                    "train again with select = \"hvg\", or keep the selection of the checkpoint",
                ));
            }
        }
        let score_divisors =
            score_divisors.into_iter().map(|divisor| divisor.unwrap_or(f32::NAN)).collect();
        let value_divisors = medians.0.iter().map(|median| median.unwrap_or(1.0)).collect();
        Ok(Self { expression, config, map, score_divisors, value_divisors })
    }

    fn workspace(&self) -> Workspace {
        let genes = self.score_divisors.len();
        let raw = if self.config.value == ValueScale::Raw { genes } else { 0 };
        Workspace {
            slots: self.map.slots(),
            keys: Vec::new(),
            expression: vec![0.0; genes],
            raw: vec![0.0; raw],
        }
    }

    /// Length of the sequence of one cell.
    fn length(&self, cell: usize, slots: &mut Slots) -> Result<usize> {
        let mut length = 0;
        let row = self.expression.log_normalised.row(cell);
        self.map
            .visit(row, Addition::Log1p, slots, |gene, _| {
                length += usize::from(!self.score_divisors[gene as usize].is_nan());
            })
            .map_err(|entry| refuse_entry("expression", cell, entry))?;
        Ok(length.min(self.config.top_genes))
    }

    fn rank_block(&self, block: Block<'_>, workspace: &mut Workspace) -> Result<()> {
        let mut start = 0;
        for (place, &end) in block.ends.iter().enumerate() {
            let cell = block.first_cell + place;
            self.sort_genes(cell, workspace)?;
            if self.config.value == ValueScale::Raw {
                self.look_up_raw(cell, workspace)?;
            }
            let of_cell = block.genes[start..end].iter_mut().zip(&mut block.values[start..end]);
            for ((rank, &key), (gene, value)) in workspace.keys.iter().enumerate().zip(of_cell) {
                *gene = gene_of(key);
                *value = self.value(*gene as usize, rank, workspace);
            }
            start = end;
        }
        Ok(())
    }

    /// Leave the keys of the selected genes in `workspace.keys`, best first.
    fn sort_genes(&self, cell: usize, workspace: &mut Workspace) -> Result<()> {
        let Workspace { slots, keys, expression, .. } = workspace;
        keys.clear();
        let row = self.expression.log_normalised.row(cell);
        self.map
            .visit(row, Addition::Log1p, slots, |gene, value| {
                let divisor = self.score_divisors[gene as usize];
                if !divisor.is_nan() {
                    expression[gene as usize] = value;
                    keys.push(key(value / divisor, gene));
                }
            })
            .map_err(|entry| refuse_entry("expression", cell, entry))?;
        let top = self.config.top_genes;
        if keys.len() > top {
            keys.select_nth_unstable(top);
            keys.truncate(top);
        }
        keys.sort_unstable();
        Ok(())
    }

    fn look_up_raw(&self, cell: usize, workspace: &mut Workspace) -> Result<()> {
        let Workspace { slots, keys, raw, .. } = workspace;
        let Some(matrix) = self.expression.raw else { return Ok(()) };
        keys.iter().for_each(|&key| raw[gene_of(key) as usize] = 0.0);
        self.map
            .visit(matrix.row(cell), Addition::Plain, slots, |gene, value| {
                raw[gene as usize] = value;
            })
            .map_err(|entry| refuse_entry("counts", cell, entry))?;
        match keys.iter().find(|&&key| raw[gene_of(key) as usize] == 0.0) {
            None => Ok(()),
            Some(&key) => Err(Error::input(
                format!("counts, cell {cell}"),
                "a count wherever the log-normalised value is above 0",
                format!("0 for the gene of embedding row {}", gene_of(key)),
                "name the layer that the normalised values were made from",
            )),
        }
    }

    fn value(&self, gene: usize, rank: usize, workspace: &Workspace) -> f32 {
        match self.config.value {
            ValueScale::Log1pCp10kOverMedian => {
                workspace.expression[gene] / self.value_divisors[gene]
            }
            ValueScale::Log1pCp10k => workspace.expression[gene],
            ValueScale::Raw => workspace.raw[gene],
            ValueScale::Rank => 1.0 - rank as f32 / self.config.top_genes as f32,
            ValueScale::Binary => 1.0,
        }
    }
}

/// Pack score and gene into a number that sorts as wanted: high scores first, then low gene rows.
/// The bits of positive floats rise with the float.
fn key(score: f32, gene: u32) -> u64 {
    (u64::from(!score.to_bits()) << 32) | u64::from(gene)
}

fn gene_of(key: u64) -> u32 {
    key as u32
}
