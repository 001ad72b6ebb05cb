//! Settings of the ranking.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Choose which genes of a cell are read, and in which order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Select {
    /// Expression over the gene's non-zero median in the training cells, as Geneformer ranks:
    /// housekeeping genes sink, genes that are high *for them* rise.
    #[default]
    MedianRank,
    /// Expression alone.
    RawRank,
    /// Only genes that are highly variable over the training cells, ordered as `median_rank`.
    Hvg,
}

/// Choose the value that travels with each selected gene. `x` is the log1p-CP10k expression.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueScale {
    /// `x` over the gene's non-zero median in the training cells.
    #[default]
    Log1pCp10kOverMedian,
    /// `x` itself.
    Log1pCp10k,
    /// The counts as stored, without normalisation; depends on sequencing depth.
    Raw,
    /// `1 - rank / top_genes`: 1 for the best gene, falling in even steps.
    Rank,
    /// 1 for every selected gene.
    Binary,
}

/// Choose what happens to a gene that no training cell expresses, and so has no median.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoMedian {
    /// Use a median of 1.
    #[default]
    One,
    /// Never select the gene.
    Drop,
}

/// How cells become ranked sequences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RankConfig {
    /// Which genes are read and in which order: `median_rank`, `raw_rank` or `hvg`.
    pub select: Select,
    /// Longest sequence, in genes; with `hvg` also the number of highly variable genes.
    pub top_genes: usize,
    /// Value beside each gene: `log1p_cp10k_over_median`, `log1p_cp10k`, `raw`, `rank` or `binary`.
    pub value: ValueScale,
    /// Genes that no training cell expresses: `one` (a median of 1) or `drop`.
    pub no_median: NoMedian,
}

impl Default for RankConfig {
    fn default() -> Self {
        Self {
            select: Select::default(),
            top_genes: 2048,
            value: ValueScale::default(),
            no_median: NoMedian::default(),
        }
    }
}

impl RankConfig {
    /// Check the settings.
    ///
    /// # Errors
    /// [`Error::Input`] if `top_genes` is 0.
    pub fn validate(&self) -> Result<()> {
        if self.top_genes == 0 {
            return Err(Error::input(
                "rank.top_genes",
                "at least 1 gene",
                "0",
                "set it to 2048, or to the longest sequence that fits in memory",
            ));
        }
        Ok(())
    }
}
