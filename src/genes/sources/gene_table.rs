//! Tables with a row a gene: NCBI's `gene_info`, the same with summaries, and users' own.

use std::path::Path;

use super::header::{Table, gene_id, position};
use crate::genes::clean::{clean, unless_dash};
use crate::genes::mitochondrial;
use crate::genes::names::{GeneNames, is_ensembl_gene, strip_version};
use crate::genes::record::{GeneRecord, GeneRecords};
use crate::genes::species::Species;
use crate::{Error, Result};

const SYMBOL: [&str; 5] = ["symbol", "official_symbol", "gene_symbol", "gene_name", "gene"];

/// Whether a header names the symbol.
pub(super) fn has_symbol(words: &[String]) -> bool {
    position(words, &SYMBOL).is_some()
}

/// Where each field stands in this table, if it does.
struct Columns {
    tax_id: Option<usize>,
    gene_id: Option<usize>,
    symbol: usize,
    official_symbol: Option<usize>,
    aliases: Option<usize>,
    retired: Option<usize>,
    cross_references: Option<usize>,
    ensembl: Option<usize>,
    description: Option<usize>,
    full_name: Option<usize>,
    gene_type: Option<usize>,
    primary_source: Option<usize>,
    see_related: Option<usize>,
    refseq_status: Option<usize>,
    summary: Option<usize>,
    annotation: Option<usize>,
    expression: Option<usize>,
}

impl Columns {
    fn of(path: &Path, words: &[String]) -> Result<Self> {
        let at = |names: &[&str]| position(words, names);
        let symbol = at(&SYMBOL).ok_or_else(|| {
            let expected = "a column symbol";
            Error::input(path.display(), expected, words.join(", "), "name the columns")
        })?;
        Ok(Self {
            tax_id: at(&["tax_id"]),
            gene_id: at(&["geneid", "gene_id", "ncbi_gene_id", "entrez"]),
            symbol,
            official_symbol: at(&["symbol_from_nomenclature_authority"]),
            aliases: at(&["synonyms", "aliases", "also_known_as"]),
            retired: at(&["retired", "previous_symbols", "prev_symbol"]),
            cross_references: at(&["dbxrefs"]),
            ensembl: at(&["ensembl", "ensembl_id", "ensembl_gene_id"]),
            description: at(&["description"]),
            full_name: at(&[
                "full_name_from_nomenclature_authority",
                "full_name",
                "official_full_name",
                "name",
            ]),
            gene_type: at(&["type_of_gene", "gene_type"]),
            primary_source: at(&["primary_source"]),
            see_related: at(&["see_related"]),
            refseq_status: at(&["refseq_status"]),
            summary: at(&["summary"]),
            annotation: at(&["annotation_information", "annotation"]),
            expression: at(&["expression"]),
        })
    }

    fn record(&self, species: Species, fields: &[&str]) -> GeneRecord {
        let get = |at: Option<usize>| at.map_or("", |at| unless_dash(fields[at]));
        let list = |at: Option<usize>| {
            get(at).split('|').map(str::trim).filter(|name| !name.is_empty()).map(str::to_string)
        };
        let ncbi_symbol = fields[self.symbol].trim();
        let symbol = match get(self.official_symbol) {
            "" => ncbi_symbol,
            official => official,
        };
        let mut record = GeneRecord::new(species, GeneNames::new(symbol));
        record.add_alias(ncbi_symbol.to_string());
        list(self.aliases).for_each(|name| record.add_alias(name));
        list(self.retired).for_each(|name| record.add_retired(name));
        record.full_name = match get(self.full_name) {
            "" => clean(get(self.description)),
            name => clean(name),
        };
        record.gene_type = get(self.gene_type).to_string();
        record.refseq_status = get(self.refseq_status).to_string();
        record.summary = clean(get(self.summary));
        record.annotation = clean(get(self.annotation));
        record.expression = clean(get(self.expression));
        record.primary_source = get(self.primary_source).to_string();
        record.see_related = get(self.see_related).to_string();
        self.add_ids(&mut record, get(self.cross_references), get(self.ensembl));
        if let Some(name) = mitochondrial::official_symbol(&record) {
            record.add_alias(name);
        }
        record
    }

    /// Sort identifiers of other databases into Ensembl ids, the primary source and the rest.
    fn add_ids(&self, record: &mut GeneRecord, cross_references: &str, ensembl: &str) {
        let mut ids: Vec<&str> = ensembl.split(['|', ',', ';']).map(str::trim).collect();
        let mut related = Vec::new();
        for reference in cross_references.split('|').filter(|text| !text.is_empty()) {
            if reference.starts_with("HGNC:") || reference.starts_with("MGI:") {
                if record.primary_source.is_empty() {
                    record.primary_source = reference.to_string();
                }
                continue;
            }
            ids.extend(reference.strip_prefix("Ensembl:"));
            related.push(reference);
        }
        if record.see_related.is_empty() {
            record.see_related = related.join("; ");
        }
        for id in ids.into_iter().filter(|id| is_ensembl_gene(id)) {
            let id = strip_version(id).to_string();
            match &record.names.ensembl {
                None => record.names.ensembl = Some(id),
                Some(first) if *first != id => record.add_alias(id),
                Some(_) => {}
            }
        }
    }
}

/// Read a gene table; rows of other species are passed over.
pub(super) fn read(records: &mut GeneRecords, path: &Path) -> Result<()> {
    let (mut table, words) = Table::open(path)?;
    let columns = Columns::of(path, &words)?;
    let species = records.species();
    let tax_id = species.tax_id().to_string();
    let mut others = 0;
    while let Some((line, fields)) = table.next_row()? {
        if columns.tax_id.is_some_and(|at| fields[at] != tax_id) {
            others += 1;
            continue;
        }
        // A row without a symbol cannot be told apart from any other.
        let symbol = fields[columns.symbol].trim();
        if symbol.is_empty() {
            continue;
        }
        let mut record = columns.record(species, &fields);
        record.gene_id = match columns.gene_id.map(|at| fields[at].trim()) {
            None | Some("") => None,
            Some(text) => Some(gene_id(path, line, text)?),
        };
        records.add(record);
    }
    records.require_some(path, others)
}
