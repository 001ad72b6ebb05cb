//! Ensembl ids with GENCODE's names, without header: `ENSG00000223972,DDX11L1,…`.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;

use crate::genes::names::{is_ensembl_gene, strip_version};
use crate::genes::record::GeneRecords;
use crate::genes::text_file::open_text;
use crate::{Error, Result};

/// Give genes the Ensembl id of the only GENCODE gene with their symbol, and the GENCODE name of
/// their Ensembl id as an alias. No gene is added: GENCODE has no text.
pub(super) fn read(records: &mut GeneRecords, path: &Path) -> Result<()> {
    let mut names: HashMap<String, String> = HashMap::new();
    let mut ids: HashMap<String, Vec<String>> = HashMap::new();
    for (at, line) in open_text(path)?.lines().enumerate() {
        let line = line.map_err(Error::io(path, "read"))?;
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
    let taken: std::collections::HashSet<String> =
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
