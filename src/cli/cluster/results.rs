//! Results of the steps under the names that scanpy gives them, so that its verbs and plots go on from there.

use crate::cells::{Dense, Frame};
use crate::io::{Entry, Field, Results};
use crate::prep::{
    ClusterConfig, Clustered, GroupGenes, GroupTest, HvgFlavor, UmapConfig, find_ab_params,
};

/// Put together what scanpy keeps in `varm["PCs"]`, `obsp` and `uns`: the graph of `pp.neighbors`, the variances of
/// `pp.pca`, settings, and the table of `tl.rank_genes_groups`. That one is left out where a gene's name is not in
/// ASCII, since numpy reads no other from a table of that kind.
pub(super) fn results(found: &Clustered, config: &ClusterConfig, var: &Frame) -> Results {
    let mut uns = vec![
        ("hvg", dict(vec![("flavor", text(flavor(config.flavor)))])),
        ("log1p", dict(Vec::new())),
        ("pca", pca(found)),
        ("neighbors", neighbors(config)),
        ("leiden", dict(vec![("params", leiden(config))])),
        ("umap", dict(vec![("params", umap())])),
    ];
    if !found.markers.is_empty() && can_rank(var) {
        uns.push(("rank_genes_groups", ranking(&found.markers, config.test, var)));
    }
    let obsp = [
        ("connectivities", found.connectivities.clone()),
        ("distances", found.neighbors.distances()),
    ];
    Results {
        varm: named(vec![("PCs", loadings(found))]),
        obsp: named(obsp.into()),
        uns: named(uns),
    }
}

/// Whether names of genes can stand in a table of ranked ones.
pub(super) fn can_rank(var: &Frame) -> bool {
    var.index.iter().all(|name| name.is_ascii())
}

/// Loadings of all genes, `[genes, comps]`: zeros where a gene is not variable.
fn loadings(found: &Clustered) -> Dense {
    let chosen = &found.variable.highly_variable;
    let Dense { n_cols, values, .. } = &found.pca.loadings;
    let mut all =
        Dense { n_rows: chosen.len(), n_cols: *n_cols, values: vec![0.0; chosen.len() * n_cols] };
    let rows = all.values.chunks_exact_mut(*n_cols).zip(chosen).filter(|(_, chosen)| **chosen);
    for ((row, _), loadings) in rows.zip(values.chunks_exact(*n_cols)) {
        row.copy_from_slice(loadings);
    }
    all
}

fn pca(found: &Clustered) -> Entry {
    let params = dict(vec![
        ("zero_center", Entry::Boolean(true)),
        ("use_highly_variable", Entry::Boolean(true)),
        ("mask_var", text("highly_variable")),
    ]);
    dict(vec![
        ("params", params),
        ("variance", Entry::Floats(found.pca.variance.clone())),
        ("variance_ratio", Entry::Floats(found.pca.variance_ratio.clone())),
    ])
}

fn neighbors(config: &ClusterConfig) -> Entry {
    let params = dict(vec![
        ("n_neighbors", Entry::Integer(config.n_neighbors as i64)),
        ("method", text("umap")),
        ("metric", text("euclidean")),
        ("use_rep", text("X_pca")),
        ("random_state", Entry::Integer(0)),
    ]);
    dict(vec![
        ("connectivities_key", text("connectivities")),
        ("distances_key", text("distances")),
        ("params", params),
    ])
}

fn leiden(config: &ClusterConfig) -> Entry {
    dict(vec![
        ("resolution", Entry::Float(config.resolution)),
        ("random_state", Entry::Integer(config.seed as i64)),
    ])
}

fn umap() -> Entry {
    let UmapConfig { spread, min_dist, .. } = UmapConfig::default();
    let (a, b) = find_ab_params(spread, min_dist);
    dict(vec![("a", Entry::Float(a)), ("b", Entry::Float(b))])
}

/// The table of `tl.rank_genes_groups`: a column for each cluster, all genes, the best first.
fn ranking(groups: &[GroupGenes], test: GroupTest, var: &Frame) -> Entry {
    let column = |of: &dyn Fn(&GroupGenes) -> Field| {
        Entry::Records(groups.iter().map(|one| (one.group.clone(), of(one))).collect())
    };
    let name = |&gene: &u32| var.index[gene as usize].clone();
    let names = column(&|one| Field::Texts(one.genes.iter().map(name).collect()));
    let params = dict(vec![
        ("groupby", text("leiden")),
        ("reference", text("rest")),
        ("method", text(method(test))),
        ("use_raw", Entry::Boolean(false)),
        ("corr_method", text("benjamini-hochberg")),
    ]);
    let mut entries = vec![
        ("params", params),
        ("names", names),
        ("scores", column(&|one| Field::F32(one.scores.clone()))),
        ("logfoldchanges", column(&|one| Field::F32(one.logfoldchanges.clone()))),
    ];
    if test != GroupTest::Logistic {
        entries.push(("pvals", column(&|one| Field::F64(one.pvals.clone()))));
        entries.push(("pvals_adj", column(&|one| Field::F64(one.pvals_adj.clone()))));
    }
    dict(entries)
}

fn method(test: GroupTest) -> &'static str {
    match test {
        GroupTest::Wilcoxon => "wilcoxon",
        GroupTest::TTest => "t-test",
        GroupTest::Logistic => "logreg",
    }
}

fn flavor(flavor: HvgFlavor) -> &'static str {
    match flavor {
        HvgFlavor::Seurat => "seurat",
        HvgFlavor::CellRanger => "cell_ranger",
        HvgFlavor::SeuratV3 => "seurat_v3",
    }
}

fn text(text: &str) -> Entry {
    Entry::Text(text.to_owned())
}

fn dict(entries: Vec<(&str, Entry)>) -> Entry {
    Entry::Dict(named(entries))
}

fn named<T>(members: Vec<(&str, T)>) -> Vec<(String, T)> {
    members.into_iter().map(|(name, member)| (name.to_owned(), member)).collect()
}
