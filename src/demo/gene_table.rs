//! The demo's genes: one table, written by hand, from which both species' tables derive.

use super::CELL_TYPES;
use super::tissue::Programme;
use crate::genes::Species;
use crate::{Error, Result};

/// Where each column of `demo/genes.tsv` stands.
const COLUMNS: usize = 8;
const PROGRAMME_COLUMN: usize = 6;
const TEXT_COLUMN: usize = 7;

/// One gene of the demo in one species.
#[derive(Debug, Clone, PartialEq)]
pub struct DemoGene {
    /// Official symbol: `Gcg` in mouse, `GCG` in human.
    pub symbol: String,
    /// NCBI GeneID.
    pub gene_id: u64,
    /// Ensembl gene id without version.
    pub ensembl: String,
    /// Where the simulator expresses it.
    pub programme: Programme,
    /// What the gene does, written for this demo.
    pub text: String,
}

/// Read the demo's genes of a species, in table order.
///
/// # Errors
/// [`Error::Input`] if the table inside the binary is malformed, which a test rules out.
pub fn demo_genes(species: Species) -> Result<Vec<DemoGene>> {
    let first = match species {
        Species::Mouse => 0,
        Species::Human => 3,
    };
    let mut genes = Vec::new();
    for (number, line) in include_str!("../../demo/genes.tsv").lines().enumerate().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let bad = |expected: &str, found: &str| {
            let place = format!("demo/genes.tsv: line {}", number + 1);
            Error::input(place, expected, format!("'{found}'"), "mend the line and rebuild")
        };
        if fields.len() != COLUMNS {
            return Err(bad("8 columns", line));
        }
        // A gene without an ortholog has empty names in the other species.
        if fields[first].is_empty() {
            continue;
        }
        let programme = Programme::parse(fields[PROGRAMME_COLUMN])
            .ok_or_else(|| bad("a programme of the simulator", fields[PROGRAMME_COLUMN]))?;
        genes.push(DemoGene {
            symbol: fields[first].to_string(),
            gene_id: fields[first + 1].parse().map_err(|_| bad("a GeneID", fields[first + 1]))?,
            ensembl: fields[first + 2].to_string(),
            programme,
            text: fields[TEXT_COLUMN].to_string(),
        });
    }
    Ok(genes)
}

impl DemoGene {
    /// Tell whether the gene is on in one or two cell types only, and which those are.
    pub fn marker_of(&self) -> Vec<usize> {
        let on: Vec<usize> =
            (0..CELL_TYPES.len()).filter(|&at| self.programme.level(at) >= 1.0).collect();
        if on.len() <= 2 { on } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_species_tables_follow_from_the_one_table() {
        for species in [Species::Mouse, Species::Human] {
            let mut lines = crate::demo::description_table(species).lines();
            assert_eq!(lines.next(), Some("# screader gene descriptions: 1"));
            assert_eq!(lines.next(), Some(format!("# species: {species}").as_str()));
            assert_eq!(lines.next(), Some("# template: own"));
            let header = "gene_id\tsymbol\tensembl\taliases\tretired\tsource\ttext";
            assert_eq!(lines.next(), Some(header));
            let genes = demo_genes(species).unwrap();
            let rows: Vec<&str> = lines.collect();
            assert_eq!(rows.len(), genes.len());
            for (row, gene) in rows.iter().zip(&genes) {
                let DemoGene { gene_id, symbol, ensembl, text, .. } = gene;
                let want = format!("{gene_id}\t{symbol}\t{ensembl}\t\t\town\t{symbol}: {text}");
                assert_eq!(*row, want, "run scripts/make-demo-tables");
            }
        }
    }

    #[test]
    fn the_tables_read_as_description_tables() {
        use crate::genes::DescriptionTable;
        for species in [Species::Mouse, Species::Human] {
            let path = format!("{}/demo/genes_{species}.tsv", env!("CARGO_MANIFEST_DIR"));
            let table = DescriptionTable::read(path.as_ref()).unwrap();
            assert_eq!(table.genes.len(), demo_genes(species).unwrap().len());
            assert_eq!(table.counts().get("own"), Some(&table.genes.len()));
            assert_eq!(table.species.to_string(), species.to_string());
        }
    }

    #[test]
    fn names_are_unique_and_of_their_species() {
        for (species, prefix) in [(Species::Mouse, "ENSMUSG"), (Species::Human, "ENSG")] {
            let genes = demo_genes(species).unwrap();
            assert!(genes.len() > 300, "{species}: {}", genes.len());
            let distinct = |key: fn(&DemoGene) -> String| {
                genes.iter().map(key).collect::<HashSet<_>>().len() == genes.len()
            };
            assert!(distinct(|gene| gene.symbol.clone()));
            assert!(distinct(|gene| gene.gene_id.to_string()));
            assert!(distinct(|gene| gene.ensembl.clone()));
            assert!(distinct(|gene| gene.text.clone()));
            for gene in &genes {
                let digits = gene.ensembl.strip_prefix(prefix).unwrap_or_default();
                assert!(digits.len() == 11 && digits.bytes().all(|byte| byte.is_ascii_digit()));
                assert!(gene.text.ends_with('.') && gene.text.len() > 30, "{}", gene.symbol);
                let upper = gene.symbol == gene.symbol.to_uppercase();
                assert_eq!(upper, species == Species::Human, "{}", gene.symbol);
            }
        }
    }

    #[test]
    fn every_type_has_markers_of_its_own() {
        for species in [Species::Mouse, Species::Human] {
            let genes = demo_genes(species).unwrap();
            for (at, kind) in CELL_TYPES.iter().enumerate() {
                let own = genes.iter().filter(|gene| gene.marker_of() == [at]).count();
                assert!(own >= 10, "{species} {}: {own}", kind.name);
            }
        }
    }
}
