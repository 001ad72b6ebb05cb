//! Cell types without training: the markers of each cluster are matched with tables of known markers, or shown
//! to a language model that names it.

mod ask;
mod catalogue;
mod clustered_cells;
mod marker_table;
mod match_markers;
mod overlap;
mod parse;
mod prompt;
mod record;
mod vote;

pub use ask::{Asked, Questions, ask};
pub use catalogue::{Catalogue, CellTypeMarkers};
pub use clustered_cells::ClusteredCells;
pub use marker_table::{ClusterMarkers, read_marker_table};
pub use match_markers::{GENES_OF_A_GENOME, match_markers};
pub use overlap::{MarkerOverlap, marker_overlap};
pub use parse::parse_answers;
pub use prompt::Prompt;
pub use record::{
    ANNOTATIONS, Answer, ClusterAnnotation, ClusterAnnotations, UNKNOWN, read_annotations,
};
pub use vote::{normal_form, vote};
