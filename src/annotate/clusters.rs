//! Clusters and the genes that mark them: from tables as scanpy, Seurat and people write them, and from cells.

use std::path::Path;

use crate::cells::{Cells, Column, CsrMatrix, Frame, choose, log1p_cp10k};
use crate::prep::{GroupGenes, GroupTest, rank_genes_groups};
use crate::{Error, Result};

/// A cluster and its markers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterMarkers {
    /// Name of the cluster.
    pub cluster: String,
    /// Genes, best first.
    pub genes: Vec<String>,
}

/// Cells with clusters.
#[derive(Debug, Clone)]
pub struct ClusteredCells {
    /// The column of `obs` that the clusters are from.
    pub column: String,
    /// log1p-normalised expression, `[cells, genes]`.
    pub expression: CsrMatrix,
    /// Names of the genes.
    pub genes: Vec<String>,
    /// Names of the clusters.
    pub clusters: Vec<String>,
    /// Cluster of each cell, by its place in `clusters`; `None` where the cell has none.
    pub cluster_of: Vec<Option<usize>>,
}

/// Columns of `obs` that are looked for where none is named.
const USUAL: [&str; 5] = ["leiden", "louvain", "seurat_clusters", "cluster", "clusters"];
/// Columns of a long table: of the cluster, and of the gene.
const CLUSTER_COLUMNS: [&str; 3] = ["group", "cluster", "clusters"];
const GENE_COLUMNS: [&str; 4] = ["names", "gene", "genes", "marker"];
/// Columns that say how much more a gene is expressed within; genes with less are left out.
const CHANGE_COLUMNS: [&str; 4] = ["avg_log2fc", "avg_logfc", "logfoldchanges", "scores"];

impl ClusteredCells {
    /// Take the clusters from a column of `obs`, and the expression from where counts or log values lie.
    ///
    /// # Errors
    /// No such column, or expression that cannot be log-normalised.
    pub fn of(
        cells: &Cells,
        path: &Path,
        column: Option<&str>,
        layer: Option<&str>,
    ) -> Result<Self> {
        let (name, column) = cluster_column(&cells.obs, path, column)?;
        let texts: Vec<Option<String>> = (0..cells.n_obs()).map(|cell| column.text(cell)).collect();
        let clusters = match column {
            // The order that the file gives them, which is numeric where scanpy wrote them.
            Column::Categorical { categories, .. } => categories.clone(),
            _ => in_order(&texts),
        };
        let place = |text: &String| clusters.iter().position(|cluster| cluster == text);
        let cluster_of: Vec<Option<usize>> =
            texts.iter().map(|text| text.as_ref().and_then(place)).collect();
        if cluster_of.iter().flatten().next().is_none() {
            let place = format!("{}: obs/{name}", path.display());
            return Err(Error::input(place, "clusters", "no entry", "name another column"));
        }
        let chosen = choose(cells, layer)?;
        Ok(Self {
            column: name,
            expression: log1p_cp10k(chosen.matrix, chosen.state)?,
            genes: chosen.var.index.clone(),
            clusters,
            cluster_of,
        })
    }

    /// Number of cells of each cluster.
    pub fn sizes(&self) -> Vec<usize> {
        let mut sizes = vec![0; self.clusters.len()];
        self.cluster_of.iter().flatten().for_each(|&cluster| sizes[cluster] += 1);
        sizes
    }

    /// Rank the genes of every cluster that has two cells or more against all other cells.
    ///
    /// # Errors
    /// Those of [`rank_genes_groups`].
    pub fn rank(&self, test: GroupTest) -> Result<Vec<GroupGenes>> {
        let sizes = self.sizes();
        let mut to = vec![None; sizes.len()];
        let kept: Vec<usize> = (0..sizes.len()).filter(|&cluster| sizes[cluster] > 1).collect();
        kept.iter().enumerate().for_each(|(place, &cluster)| to[cluster] = Some(place));
        let of = |cell: usize| self.cluster_of[cell].and_then(|cluster| to[cluster]);
        let rows: Vec<usize> =
            (0..self.cluster_of.len()).filter(|&cell| of(cell).is_some()).collect();
        let groups: Vec<usize> = rows.iter().filter_map(|&cell| of(cell)).collect();
        let names: Vec<String> = kept.iter().map(|&one| self.clusters[one].clone()).collect();
        if rows.len() == self.expression.n_rows {
            return rank_genes_groups(&self.expression, &groups, &names, test);
        }
        rank_genes_groups(&self.expression.select_rows(&rows), &groups, &names, test)
    }

    /// The genes of a ranking that are more expressed within, at most `most` a cluster.
    pub fn markers(&self, ranked: &[GroupGenes], most: usize) -> Vec<ClusterMarkers> {
        let of = |group: &GroupGenes| {
            let higher = group.genes.iter().zip(&group.scores).filter(|(_, score)| **score > 0.0);
            let names = higher.map(|(&gene, _)| self.genes[gene as usize].clone());
            ClusterMarkers { cluster: group.group.clone(), genes: names.take(most).collect() }
        };
        ranked.iter().map(of).collect()
    }
}

fn cluster_column<'a>(
    obs: &'a Frame,
    path: &Path,
    wanted: Option<&str>,
) -> Result<(String, &'a Column)> {
    let named = match wanted {
        Some(name) => obs.column(name).map(|column| (name, column)),
        None => USUAL.into_iter().find_map(|name| Some((name, obs.column(name)?))),
    };
    named.map(|(name, column)| (name.to_owned(), column)).ok_or_else(|| {
        let columns: Vec<&str> = obs.names().collect();
        Error::input(
            format!("{}: obs", path.display()),
            wanted.map_or("a column of clusters".to_owned(), |name| format!("a column {name}")),
            format!("[{}]", columns.join(", ")).replace(['\n', '\r'], " "),
            "name one with --cluster, or make clusters with `screader cluster`",
        )
    })
}

/// Distinct texts in the order in which they come.
fn in_order(texts: &[Option<String>]) -> Vec<String> {
    let mut distinct = Vec::new();
    for text in texts.iter().flatten() {
        if !distinct.contains(text) {
            distinct.push(text.clone());
        }
    }
    distinct
}

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
