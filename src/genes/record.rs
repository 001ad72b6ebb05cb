//! What NCBI knows of a gene, gathered from several files by gene id.

use std::collections::HashMap;
use std::path::Path;

use super::names::GeneNames;
use super::species::Species;
use crate::{Error, Result};

/// One gene: its names and NCBI's fields. A field that no source had is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneRecord {
    /// NCBI gene id; `None` for genes of tables without one.
    pub gene_id: Option<u64>,
    /// What it is called.
    pub names: GeneNames,
    /// Its species.
    pub species: Species,
    /// "Official Full Name".
    pub full_name: String,
    /// "Gene type": `protein-coding`, `ncRNA`, `pseudo`.
    pub gene_type: String,
    /// "Primary source": `HGNC:HGNC:11998`, `MGI:MGI:98834`.
    pub primary_source: String,
    /// "See related": identifiers in other databases.
    pub see_related: String,
    /// "RefSeq status": `REVIEWED REFSEQ`.
    pub refseq_status: String,
    /// "Organism": the species. (The scReader paper explains it as organs; it never is.)
    pub organism: String,
    /// "Lineage".
    pub lineage: String,
    /// "Summary", cleaned; what is missing when a description is called missing.
    pub summary: String,
    /// "Annotation information".
    pub annotation: String,
    /// "Expression".
    pub expression: String,
}

impl GeneRecord {
    /// A gene with names and nothing else known but its species.
    pub fn new(species: Species, names: GeneNames) -> Self {
        Self {
            gene_id: None,
            names,
            species,
            full_name: String::new(),
            gene_type: String::new(),
            primary_source: String::new(),
            see_related: String::new(),
            refseq_status: String::new(),
            organism: species.scientific_name().into(),
            lineage: species.lineage().into(),
            summary: String::new(),
            annotation: String::new(),
            expression: String::new(),
        }
    }

    /// Take from `other` what this record lacks; names are united.
    fn merge(&mut self, other: Self) {
        let pairs = [
            (&mut self.full_name, other.full_name),
            (&mut self.gene_type, other.gene_type),
            (&mut self.primary_source, other.primary_source),
            (&mut self.see_related, other.see_related),
            (&mut self.refseq_status, other.refseq_status),
            (&mut self.summary, other.summary),
            (&mut self.annotation, other.annotation),
            (&mut self.expression, other.expression),
        ];
        for (mine, theirs) in pairs {
            if mine.is_empty() {
                *mine = theirs;
            }
        }
        let GeneNames { symbol, ensembl, aliases, retired } = other.names;
        match (&self.names.ensembl, ensembl) {
            (None, id) => self.names.ensembl = id,
            (Some(mine), Some(id)) if *mine != id => self.add_alias(id),
            _ => {}
        }
        if symbol != self.names.symbol {
            self.add_alias(symbol);
        }
        aliases.into_iter().for_each(|alias| self.add_alias(alias));
        retired.into_iter().for_each(|name| self.add_retired(name));
    }

    pub(super) fn add_alias(&mut self, name: String) {
        let names = &mut self.names;
        if !name.is_empty() && name != names.symbol && !names.aliases.contains(&name) {
            names.aliases.push(name);
        }
    }

    pub(super) fn add_retired(&mut self, name: String) {
        let names = &mut self.names;
        if !name.is_empty() && name != names.symbol && !names.retired.contains(&name) {
            names.retired.push(name);
        }
    }
}

/// The genes of one species, gathered from files in any order of merging but genes first.
#[derive(Debug, Clone)]
pub struct GeneRecords {
    species: Species,
    records: Vec<GeneRecord>,
    by_id: HashMap<u64, usize>,
    by_symbol: HashMap<String, usize>,
    sources: Vec<String>,
}

impl GeneRecords {
    /// Start with no gene.
    pub fn new(species: Species) -> Self {
        Self {
            species,
            records: Vec::new(),
            by_id: HashMap::new(),
            by_symbol: HashMap::new(),
            sources: Vec::new(),
        }
    }

    /// The species that rows of other species are told from.
    pub fn species(&self) -> Species {
        self.species
    }

    /// The genes, in the order they were first met.
    pub fn genes(&self) -> &[GeneRecord] {
        &self.records
    }

    /// Give the genes away.
    pub fn into_genes(self) -> Vec<GeneRecord> {
        self.records
    }

    /// Number of genes.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no gene.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Number of genes with a summary.
    pub fn with_summary(&self) -> usize {
        self.records.iter().filter(|gene| !gene.summary.is_empty()).count()
    }

    /// Keep the genes that `wanted` says, asked in order.
    pub fn keep(&mut self, wanted: impl FnMut(&GeneRecord) -> bool) {
        self.records.retain(wanted);
        self.by_id.clear();
        self.by_symbol.clear();
        for (at, gene) in self.records.iter().enumerate() {
            if let Some(id) = gene.gene_id {
                self.by_id.insert(id, at);
            }
            self.by_symbol.entry(gene.names.symbol.clone()).or_insert(at);
        }
    }

    /// File names that were read, in order.
    pub fn sources(&self) -> &[String] {
        &self.sources
    }

    pub(super) fn note_source(&mut self, path: &Path) {
        let name = path.file_name().unwrap_or(path.as_os_str());
        self.sources.push(name.to_string_lossy().into_owned());
    }

    /// Add a gene, or merge it into the one of the same id (or, without id, of the same symbol).
    pub fn add(&mut self, record: GeneRecord) {
        let known = match record.gene_id {
            Some(id) => self.by_id.get(&id),
            None => self.by_symbol.get(&record.names.symbol),
        };
        if let Some(&at) = known {
            self.records[at].merge(record);
            return;
        }
        let at = self.records.len();
        if let Some(id) = record.gene_id {
            self.by_id.insert(id, at);
        }
        self.by_symbol.entry(record.names.symbol.clone()).or_insert(at);
        self.records.push(record);
    }

    pub(super) fn by_id(&mut self, id: u64) -> Option<&mut GeneRecord> {
        self.by_id.get(&id).map(|&at| &mut self.records[at])
    }

    pub(super) fn genes_mut(&mut self) -> impl Iterator<Item = &mut GeneRecord> {
        self.records.iter_mut()
    }

    /// Refuse to go on without a gene of the species.
    ///
    /// # Errors
    /// [`Error::Input`] that names `path`.
    pub(super) fn require_some(&self, path: &Path, other_species: usize) -> Result<()> {
        if !self.is_empty() {
            return Ok(());
        }
        let species = self.species;
        let found = if other_species > 0 {
            format!("{other_species} genes of other species")
        } else {
            "no gene".into()
        };
        Err(Error::input(
            path.display(),
            format!("genes of {species} (tax_id {})", species.tax_id()),
            found,
            "check --species and the file",
        ))
    }
}
