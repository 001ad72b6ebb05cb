//! The genes that mark clusters, from tables as scanpy, Seurat and people write them.

use std::path::Path;

use crate::{Error, Result};

/// A cluster and its markers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterMarkers {
    /// Name of the cluster.
    pub cluster: String,
    /// Genes, best first.
    pub genes: Vec<String>,
}

/// Columns of a long table: of the cluster, and of the gene.
const CLUSTER_COLUMNS: [&str; 3] = ["group", "cluster", "clusters"];
const GENE_COLUMNS: [&str; 4] = ["names", "gene", "genes", "marker"];
/// Columns that say how much more a gene is expressed within; genes with less are left out.
const CHANGE_COLUMNS: [&str; 4] = ["avg_log2fc", "avg_logfc", "logfoldchanges", "scores"];

/// Read markers from a table, told by its header: scanpy's `rank_genes_groups_df`, Seurat's `FindAllMarkers`, any
/// long table with a column of clusters and one of genes, a column of genes a cluster, or lines as
/// `cluster: GENE1, GENE2`. Genes stay in the order of the file; those that are less expressed within are left out,
/// and so is what comes after `most` of a cluster.
///
/// # Errors
/// A file that cannot be read, or that holds no markers.
pub fn read_marker_table(path: &Path, most: usize) -> Result<Vec<ClusterMarkers>> {
    let bytes = std::fs::read(path).map_err(Error::io(path, "read"))?;
    let text = String::from_utf8_lossy(&bytes);
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("");
    let delimiter = if first.contains('\t') { b'\t' } else { b',' };
    let header: Vec<String> = first
        .trim_start_matches('\u{feff}')
        .split(char::from(delimiter))
        .map(|name| name.trim().trim_matches('"').to_lowercase())
        .collect();
    let column = |names: &[&str]| names.iter().find_map(|n| header.iter().position(|h| h == n));
    let mut found: Vec<ClusterMarkers> = Vec::new();
    let mut add = |cluster: &str, gene: &str| {
        let (cluster, gene) = (cluster.trim(), gene.trim());
        if cluster.is_empty() || gene.is_empty() || gene.eq_ignore_ascii_case("na") {
            return;
        }
        let at = found.iter().position(|one| one.cluster == cluster).unwrap_or_else(|| {
            found.push(ClusterMarkers { cluster: cluster.to_owned(), genes: Vec::new() });
            found.len() - 1
        });
        if found[at].genes.len() < most && !found[at].genes.iter().any(|one| one == gene) {
            found[at].genes.push(gene.to_owned());
        }
    };
    match (column(&CLUSTER_COLUMNS), column(&GENE_COLUMNS)) {
        (Some(of_cluster), Some(of_gene)) => {
            let of_change = column(&CHANGE_COLUMNS);
            for row in rows(path, &text, delimiter)? {
                let at = |column: usize| row.get(column).unwrap_or("");
                let change = of_change.and_then(|column| at(column).trim().parse::<f64>().ok());
                if change.is_none_or(|change| change > 0.0) {
                    add(at(of_cluster), at(of_gene));
                }
            }
        }
        _ if first.split(char::from(delimiter)).next().is_some_and(|name| name.contains(':')) => {
            for (cluster, genes) in text.lines().filter_map(|line| line.split_once(':')) {
                genes.split([',', ' ', '\t']).for_each(|gene| add(cluster, gene));
            }
        }
        _ if header.len() > 1 => {
            let names: Vec<&str> = first
                .split(char::from(delimiter))
                .map(|name| name.trim().trim_matches('"'))
                .collect();
            for row in rows(path, &text, delimiter)? {
                names.iter().zip(row.iter()).for_each(|(cluster, gene)| add(cluster, gene));
            }
        }
        _ => {}
    }
    found.retain(|one| !one.genes.is_empty());
    if found.is_empty() {
        return Err(Error::input(
            path.display(),
            "markers of clusters: columns cluster and gene, a column a cluster, or lines as 'cluster: GENE1, GENE2'",
            format!("a first line of '{}'", first.chars().take(80).collect::<String>()),
            "export them as csv: scanpy's get.rank_genes_groups_df or Seurat's FindAllMarkers",
        ));
    }
    Ok(found)
}

fn rows(path: &Path, text: &str, delimiter: u8) -> Result<Vec<csv::StringRecord>> {
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text.as_bytes());
    reader.records().collect::<std::result::Result<_, _>>().map_err(|error| {
        Error::input(path.display(), "a table", error, "quote entries that hold the delimiter")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<ClusterMarkers>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("markers.csv");
        std::fs::write(&path, text).unwrap();
        read_marker_table(&path, 3)
    }

    fn as_text(found: &[ClusterMarkers]) -> String {
        let one = |one: &ClusterMarkers| format!("{}={}", one.cluster, one.genes.join("+"));
        found.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_layout_is_told_by_its_header() {
        let scanpy = "group,names,scores,logfoldchanges,pvals,pvals_adj\n0,CD3D,30.1,2.0,0,0\n\
                      0,IL7R,20.0,1.5,0,0\n0,LYZ,-9.0,-3.0,0,0\n1,LYZ,40.0,4.0,0,0\n";
        assert_eq!(as_text(&read(scanpy).unwrap()), "0=CD3D+IL7R 1=LYZ");
        let seurat = "\"\",\"p_val\",\"avg_log2FC\",\"pct.1\",\"pct.2\",\"p_val_adj\",\"cluster\",\"gene\"\n\
                      \"LYZ\",0,3.1,1,0.3,0,\"Mono\",\"LYZ\"\n\"CD3D\",0,-1,0,1,0,\"Mono\",\"CD3D\"\n";
        assert_eq!(as_text(&read(seurat).unwrap()), "Mono=LYZ");
        assert_eq!(
            as_text(&read("a,b\nCD3D,LYZ\nIL7R,\nCCR7,S100A8\nTCF7,X\n").unwrap()),
            "a=CD3D+IL7R+CCR7 b=LYZ+S100A8+X"
        );
        assert_eq!(as_text(&read("c 1: CD3D, IL7R\nc 2: LYZ\n").unwrap()), "c 1=CD3D+IL7R c 2=LYZ");
        assert_eq!(as_text(&read("cluster\tgene\nx\tA\nx\tA\nx\tB\n").unwrap()), "x=A+B");
    }

    #[test]
    fn what_holds_no_markers_is_refused_in_one_line() {
        for text in ["", "hello\n", "cluster,gene\n", "p,q\n,\n"] {
            let error = read(text).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{text:?}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}
