//! NCBI's `gene_orthologs`: pairs of gene ids of all species, human first.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;

use super::header::{Table, gene_id, required, words};
use crate::genes::orthologs::Orthologs;
use crate::genes::record::GeneRecords;
use crate::genes::species::Species;
use crate::genes::text_file::{open_text, unreadable};
use crate::{Error, Result};

impl Orthologs {
    /// Whether a file pairs gene ids rather than symbols.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read.
    pub fn is_by_id(path: &Path) -> Result<bool> {
        let mut first = String::new();
        open_text(path)?.read_line(&mut first).map_err(unreadable(path))?;
        Ok(words(&first).iter().any(|word| word == "other_geneid"))
    }

    /// Read NCBI's `gene_orthologs`; the records of the two species, in either order, give the
    /// symbols.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read; [`Error::Input`] if columns are missing or no pair is of
    /// the two species.
    pub fn read_by_id(path: &Path, one: &GeneRecords, other: &GeneRecords) -> Result<Self> {
        let (mut table, words) = Table::open(path)?;
        let from = (required(path, &words, "tax_id")?, required(path, &words, "geneid")?);
        let to = (required(path, &words, "other_tax_id")?, required(path, &words, "other_geneid")?);
        let symbols: HashMap<u64, (Species, &str)> = [one, other]
            .into_iter()
            .flat_map(GeneRecords::genes)
            .filter_map(|gene| Some((gene.gene_id?, (gene.species, gene.names.symbol.as_str()))))
            .collect();
        let tax_ids = [Species::Human, Species::Mouse].map(|species| species.tax_id().to_string());
        let mut pairs = Vec::new();
        while let Some((line, fields)) = table.next_row()? {
            let ours = |at: usize| tax_ids.iter().any(|tax_id| tax_id == fields[at]);
            if !ours(from.0) || !ours(to.0) {
                continue;
            }
            let left = symbols.get(&gene_id(path, line, fields[from.1])?);
            let right = symbols.get(&gene_id(path, line, fields[to.1])?);
            match (left, right) {
                (Some((Species::Human, human)), Some((Species::Mouse, mouse)))
                | (Some((Species::Mouse, mouse)), Some((Species::Human, human))) => {
                    pairs.push((*human, *mouse));
                }
                _ => {}
            }
        }
        if pairs.is_empty() {
            return Err(Error::input(
                path.display(),
                "pairs of human and mouse genes",
                "none",
                "give --ortholog-records of the other species, and NCBI's gene_orthologs",
            ));
        }
        Ok(Self::from_pairs(pairs))
    }
}
