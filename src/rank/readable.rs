//! Cells as the whole network reads them.

use super::config::RankConfig;
use super::measured::{GeneSpread, MeasuredCells};
use super::ranked::{Expression, RankedCells, rank_cells};
use super::statistics::GeneStatistics;
use crate::Result;
use crate::cells::Dense;

/// What the backbone reads of some cells, and what the path around it reads.
#[derive(Debug, Clone, Default)]
pub struct ReadableCells {
    /// The sequences of the backbone.
    pub ranked: RankedCells,
    /// Expression against its mean; no genes where the network has no such path.
    pub measured: MeasuredCells,
    /// Log-probabilities by each gene's own weights, `[cells, classes]`, where they are asked for and known.
    pub by_genes: Option<Dense>,
    /// Distance of each cell from the nearest type, where it is asked for and known.
    pub distances: Option<Vec<f32>>,
}

impl ReadableCells {
    /// Rank cells by `statistics`, and measure them by `spread` if the network is to read that.
    ///
    /// # Errors
    /// Those of [`rank_cells`] and [`MeasuredCells::new`].
    pub fn new(
        expression: Expression<'_>,
        gene_rows: &[Option<u32>],
        statistics: &GeneStatistics,
        spread: Option<&GeneSpread>,
        config: &RankConfig,
    ) -> Result<Self> {
        let measured = match spread {
            Some(spread) => MeasuredCells::new(expression.log_normalised, gene_rows, spread)?,
            None => MeasuredCells::default(),
        };
        let by_genes = statistics.weights.as_ref().and_then(|one| one.log_probabilities(&measured));
        let ranked = rank_cells(expression, gene_rows, statistics, config)?;
        let distances = statistics.types.as_ref().and_then(|types| types.nearest(&measured));
        Ok(Self { ranked, measured, by_genes, distances })
    }
}
