//! `screader genes coverage`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::name_list::genes_of;
use crate::Result;
use crate::genes::{DescriptionTable, MINIMUM_SHARE, Orthologs, check_species};

/// Report which genes of a data set a description table knows, and how.
#[derive(Debug, Args)]
pub(super) struct CoverageArgs {
    /// Description table made by `screader genes build`.
    #[arg(long, value_name = "TABLE")]
    genes: PathBuf,
    /// The data set, or a .txt or .list file with a gene name a line.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// The data are of the other species (human for a mouse table): match through this table of
    /// one-to-one orthologs.
    #[arg(long, value_name = "FILE")]
    homologs: Option<PathBuf>,
    /// Print the report as JSON, with every ambiguous and doubled name.
    #[arg(long)]
    json: bool,
}

impl CoverageArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        let table = DescriptionTable::read(&self.genes)?;
        let matcher = table.matcher();
        let var = genes_of(&self.data)?;
        let matched = match &self.homologs {
            Some(path) => {
                let pairs = Orthologs::read(path)?;
                matcher.match_frame_through(&var, &pairs, table.species.other(), None)
            }
            None => matcher.match_frame(&var),
        };
        let coverage = matched.genes.coverage;
        if self.json {
            let report = json!({
                "species": table.species,
                "found": coverage.found(),
                "share": coverage.share(),
                "coverage": coverage,
            });
            println!("{report}");
        } else {
            println!("{coverage}");
        }
        let place = self.data.display().to_string();
        match self.homologs {
            Some(_) => coverage.require(MINIMUM_SHARE, place),
            None => check_species(&place, &matched.names, table.species, &coverage, MINIMUM_SHARE),
        }
    }
}
