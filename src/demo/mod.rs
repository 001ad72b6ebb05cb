//! The bundled demo: cells from a documented simulator over real gene symbols, and gene descriptions
//! written for it, all inside the binary, so that an installed `screader` can show itself offline.

mod gene_table;
mod simulator;
mod tissue;

use std::path::Path;

use crate::Result;
use crate::embed::EmbeddingTable;
use crate::genes::Species;

pub use gene_table::{DemoGene, demo_genes};
pub use simulator::{Parameters, simulate, simulate_with};
pub use tissue::{CELL_TYPES, DemoCellType, Programme};

/// The description table of a species, as `screader genes build` lays it out.
pub fn description_table(species: Species) -> &'static str {
    match species {
        Species::Mouse => include_str!("../../demo/genes_mouse.tsv"),
        Species::Human => include_str!("../../demo/genes_human.tsv"),
    }
}

/// The gene embeddings of a species' demo, made from its description table by `screader embed`.
///
/// # Errors
/// Those of [`EmbeddingTable::from_bytes`].
pub fn embeddings(species: Species) -> Result<EmbeddingTable> {
    let (name, bytes): (_, &[u8]) = match species {
        Species::Mouse => {
            ("demo/genes_mouse.safetensors", include_bytes!("../../demo/genes_mouse.safetensors"))
        }
        Species::Human => {
            ("demo/genes_human.safetensors", include_bytes!("../../demo/genes_human.safetensors"))
        }
    };
    EmbeddingTable::from_bytes(bytes, Path::new(name))
}
