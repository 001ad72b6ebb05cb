//! NCBI's `gene_history`: which id took the place of which, and the symbol it had.

use std::collections::HashMap;
use std::path::Path;

use super::header::{Table, gene_id, position, required};
use crate::Result;
use crate::genes::clean::unless_dash;
use crate::genes::record::GeneRecords;

/// Longest chain of replacements that is followed; a longer one is a loop.
const LONGEST_CHAIN: usize = 32;

/// Add the symbols of discontinued records to the genes that took their place.
pub(super) fn read(records: &mut GeneRecords, path: &Path) -> Result<()> {
    let (mut table, words) = Table::open(path)?;
    let id_at = required(path, &words, "geneid")?;
    let old_at = required(path, &words, "discontinued_geneid")?;
    let symbol_at = required(path, &words, "discontinued_symbol")?;
    let tax_at = position(&words, &["tax_id"]);
    let tax_id = records.species().tax_id().to_string();
    let mut replaced: HashMap<u64, u64> = HashMap::new();
    let mut symbols: Vec<(u64, String)> = Vec::new();
    while let Some((line, fields)) = table.next_row()? {
        if tax_at.is_some_and(|at| fields[at] != tax_id) {
            continue;
        }
        let (new, old) = (unless_dash(fields[id_at]), unless_dash(fields[old_at]));
        if new.is_empty() || old.is_empty() {
            continue;
        }
        let new = gene_id(path, line, new)?;
        let old = gene_id(path, line, old)?;
        replaced.insert(old, new);
        symbols.push((old, unless_dash(fields[symbol_at]).to_string()));
    }
    for (old, symbol) in symbols {
        let mut id = old;
        for _ in 0..LONGEST_CHAIN {
            match replaced.get(&id) {
                Some(&next) => id = next,
                None => break,
            }
        }
        if let Some(gene) = records.by_id(id) {
            gene.add_retired(symbol);
        }
    }
    records.require_some(path, 0)
}
