//! The bundled demo: cells from a documented simulator over real gene symbols, and gene descriptions
//! written for it, all inside the binary, so that an installed `screader` can show itself offline.

mod gene_table;
mod simulator;
mod tissue;

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

pub use gene_table::{DemoGene, demo_genes};
pub use simulator::{Parameters, simulate, simulate_with};
pub use tissue::{CELL_TYPES, DemoCellType, Programme};

/// The species that the demo knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DemoSpecies {
    /// *Mus musculus*, with symbols of MGI.
    Mouse,
    /// *Homo sapiens*, with symbols of HGNC.
    Human,
}

impl DemoSpecies {
    /// Name the species as it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mouse => "mouse",
            Self::Human => "human",
        }
    }

    /// Return the description table of this species, as `screader genes build` lays it out.
    pub fn description_table(self) -> &'static str {
        match self {
            Self::Mouse => include_str!("../../demo/genes_mouse.tsv"),
            Self::Human => include_str!("../../demo/genes_human.tsv"),
        }
    }
}

impl fmt::Display for DemoSpecies {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for DemoSpecies {
    type Err = Error;

    /// Read a species as typed after `--species`.
    ///
    /// # Errors
    /// [`Error::Input`] for any other species.
    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "mouse" => Ok(Self::Mouse),
            "human" => Ok(Self::Human),
            _ => Err(Error::input(
                "--species",
                "mouse or human for the bundled demo",
                format!("'{text}'"),
                "name one of the two, or train on your own cells with --data",
            )),
        }
    }
}
