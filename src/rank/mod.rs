//! Ranked cells: a cell's expressed genes, best first, as the sequence that the network reads.
//!
//! The path is short: [`GeneStatistics::fit`] looks at the training cells once, [`rank_cells`] turns
//! any cells into [`RankedCells`]. How an embedding, its rank and its value become one vector is the
//! network's business ([`screader_models::reader::Combine`]); the sinusoids for it come from
//! [`positional_encoding`]. Beside the sequence, [`MeasuredCells`] hold what the path around the backbone
//! reads; [`ReadableCells`] are both. [`GeneWeights`] are what genes say by themselves, without text,
//! and [`TypeDistances`] how far a cell lies from every type that was learned.

mod config;
mod gene_map;
mod gene_weights;
mod hvg;
mod measured;
mod positions;
mod ranked;
mod readable;
mod statistics;
mod type_distances;

pub use config::{NoMedian, RankConfig, Select, ValueScale};
pub use gene_weights::GeneWeights;
pub use measured::{GeneSpread, MeasuredCells, SpreadSums};
pub use positions::positional_encoding;
pub use ranked::{Expression, RankedCells, rank_cells};
pub use readable::ReadableCells;
pub use statistics::{GeneMedians, GeneStatistics};
pub use type_distances::TypeDistances;
