//! Ensembl ids with GENCODE's names, without header: `ENSG00000223972,DDX11L1,…`.

use std::collections::{HashMap, HashSet};
use std::io::BufRead;
use std::path::Path;

use crate::genes::names::{is_ensembl_gene, strip_version};
use crate::genes::record::GeneRecords;
use crate::genes::text_file::{open_text, unreadable};
use crate::{Error, Result};

/// Give genes the Ensembl id of the only GENCODE gene with their symbol, and the GENCODE name of
/// their Ensembl id as an alias. An id that NCBI gives to several genes stays with the one that
/// GENCODE names by it, if that is one of them. No gene is added: GENCODE has no text.
pub(super) fn read(records: &mut GeneRecords, path: &Path) -> Result<()> {
    let mut names: HashMap<String, String> = HashMap::new();
    let mut ids: HashMap<String, Vec<String>> = HashMap::new();
    for (at, line) in open_text(path)?.lines().enumerate() {
        let line = line.map_err(unreadable(path))?;
        let mut fields = line.split([',', '\t']).map(str::trim);
        let (id, name) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        if !is_ensembl_gene(id) {
            return Err(Error::input(
                format!("{}: line {}", path.display(), at + 1),
                "an Ensembl gene id and a name",
                format!("{id:?}"),
                "mend the line",
            ));
        }
        let id = strip_version(id).to_string();
        if !name.is_empty() && !is_ensembl_gene(name) {
            ids.entry(name.to_string()).or_default().push(id.clone());
            names.insert(id, name.to_string());
        }
    }
    take_from_others(records, &names);
    let taken: HashSet<String> =
        records.genes().iter().filter_map(|gene| gene.names.ensembl.clone()).collect();
    for gene in records.genes_mut() {
        if gene.names.ensembl.is_none() {
            let known = std::iter::once(&gene.names.symbol).chain(&gene.names.aliases);
            // Only the symbol, or the mt- name that stands in for it, may lend an id.
            let mut known = known.filter(|name| {
                **name == gene.names.symbol || name.to_lowercase().starts_with("mt-")
            });
            let id = known.find_map(|name| match ids.get(name).map(Vec::as_slice) {
                Some([id]) if !taken.contains(id) => Some(id.clone()),
                _ => None,
            });
            gene.names.ensembl = id;
        }
        if let Some(name) = gene.names.ensembl.as_ref().and_then(|id| names.get(id)) {
            gene.add_alias(name.clone());
        }
    }
    records.require_some(path, 0)
}

/// Leave an id that several genes have to the one whose symbol GENCODE gives it.
fn take_from_others(records: &mut GeneRecords, names: &HashMap<String, String>) {
    let symbol_owns: HashSet<(String, String)> = records
        .genes()
        .iter()
        .filter_map(|gene| Some((gene.names.ensembl.clone()?, gene.names.symbol.clone())))
        .collect();
    for gene in records.genes_mut() {
        let Some(id) = &gene.names.ensembl else { continue };
        let Some(name) = names.get(id) else { continue };
        let owner = (id.clone(), name.clone());
        if *name != gene.names.symbol && symbol_owns.contains(&owner) {
            gene.names.ensembl = None;
        }
    }
}
