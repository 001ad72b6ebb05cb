//! NCBI's `gene_summary`: `#tax_id GeneID Source Summary`, all species in one file.

use std::collections::HashMap;
use std::path::Path;

use super::header::{Table, gene_id, position, required};
use crate::Result;
use crate::genes::clean::{clean, unless_dash};
use crate::genes::record::GeneRecords;

/// Add summaries to genes that have none; of several for a gene RefSeq's is taken, else the first.
pub(super) fn read(records: &mut GeneRecords, path: &Path) -> Result<()> {
    let (mut table, words) = Table::open(path)?;
    let id_at = required(path, &words, "geneid")?;
    let summary_at = required(path, &words, "summary")?;
    let tax_at = position(&words, &["tax_id"]);
    let source_at = position(&words, &["source"]);
    let tax_id = records.species().tax_id().to_string();
    let mut best: HashMap<u64, (bool, String)> = HashMap::new();
    while let Some((line, fields)) = table.next_row()? {
        if tax_at.is_some_and(|at| fields[at] != tax_id) {
            continue;
        }
        let id = gene_id(path, line, fields[id_at])?;
        let summary = clean(unless_dash(fields[summary_at]));
        let refseq = source_at.is_some_and(|at| fields[at].eq_ignore_ascii_case("refseq"));
        let better = best.get(&id).is_none_or(|(known, _)| refseq && !known);
        if better && !summary.is_empty() {
            best.insert(id, (refseq, summary));
        }
    }
    for (id, (_, summary)) in best {
        if let Some(gene) = records.by_id(id)
            && gene.summary.is_empty()
        {
            gene.summary = summary;
        }
    }
    records.require_some(path, 0)
}
