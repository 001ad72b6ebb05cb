//! The genes of every cluster as a table, in the layout of scanpy's `get.rank_genes_groups_df(group=None)`.

use std::path::Path;

use super::cells::Prepared;
use crate::prep::Clustered;
use crate::{Error, Result};

/// Make the table: `group,names,scores,logfoldchanges,pvals,pvals_adj`, clusters one after the other, best genes
/// first.
pub(super) fn table(prepared: &Prepared, found: &Clustered, path: &Path) -> Result<Vec<u8>> {
    let refuse = |error: csv::Error| Error::io(path, "write")(error.into());
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer
        .write_record(["group", "names", "scores", "logfoldchanges", "pvals", "pvals_adj"])
        .map_err(refuse)?;
    for group in &found.markers {
        for (place, &gene) in group.genes.iter().enumerate() {
            let row = [
                group.group.clone(),
                prepared.var.index[gene as usize].clone(),
                group.scores[place].to_string(),
                group.logfoldchanges[place].to_string(),
                number(group.pvals[place]),
                number(group.pvals_adj[place]),
            ];
            writer.write_record(row).map_err(refuse)?;
        }
    }
    writer.into_inner().map_err(|error| Error::io(path, "write")(error.into_error()))
}

/// Small numbers with an exponent: p-values go far below what zeros can be counted in.
fn number(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-4 { format!("{value:e}") } else { value.to_string() }
}
