//! The genes of groups agree with scanpy's, and communities are as good as igraph's.
//!
//! The real data sets are other people's and stay outside the repository: `SCREADER_SHARED` names the
//! folder. What scripts/reference/groups_goldens.py wrote about them is sums, hashes and short lists.

#![allow(clippy::unwrap_used)] // a test that cannot read its own input should panic

mod formula;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use formula::{signed, uniform};
use screader::cells::{Column, CsrMatrix, MatrixState, log1p_cp10k};
use screader::io::{ReadOptions, read};
use screader::prep::{
    GroupGenes, GroupTest, HvgFlavor, LeidenConfig, Metric, N_COMPS, N_NEIGHBORS,
    highly_variable_genes, leiden, modularity, neighbors, pca, rank_genes_groups,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Each test with scanpy's name for it, how far scores may be off, and by how much genes may differ that change places.
const TESTS: [(GroupTest, &str, [f64; 2]); 3] = [
    (GroupTest::Wilcoxon, "wilcoxon", [1e-4, 1e-5]),
    (GroupTest::TTest, "t-test", [1e-4, 1e-5]),
    // Coefficients, which end where a search for the optimum does.
    (GroupTest::Logistic, "logreg", [3e-3, 3e-3]),
];

fn goldens() -> Value {
    serde_json::from_str(include_str!("goldens/groups.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|item| item.as_f64().unwrap()).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn whole(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

/// A sparse matrix by formula, with the twin in groups_goldens.py, and the group of each cell.
fn sparse(n_rows: usize, n_cols: usize) -> (CsrMatrix, Vec<usize>) {
    let mut matrix = CsrMatrix { n_rows, n_cols, indptr: vec![0], ..CsrMatrix::default() };
    let labels: Vec<usize> = (0..n_rows).map(|row| row % 3).collect();
    for (row, label) in labels.iter().enumerate() {
        for column in 0..n_cols {
            let place = (row * n_cols + column) as u64;
            if uniform(61, place) < 0.4 {
                let own = column % 4 == 0 && column / 4 % 3 == *label;
                let raised = if own { 0.5 * uniform(63, column as u64) } else { 0.0 };
                let value = 0.25 + (uniform(62, place) * 8.0).floor() / 4.0 + raised;
                matrix.indices.push(column as u32);
                matrix.data.push(value as f32);
            }
        }
        matrix.indptr.push(matrix.data.len());
    }
    (matrix, labels)
}

/// p-values by their relative difference; where they are tiny, by that of their logarithms.
fn p_difference(found: f64, wanted: f64) -> f64 {
    // Below the least normal number there are few digits, or none.
    if found == wanted || found.max(wanted) < 1e-300 {
        0.0
    } else if wanted < 1e-30 {
        (found.ln() / wanted.ln() - 1.0).abs()
    } else {
        (found / wanted - 1.0).abs()
    }
}

/// The genes of one group; the largest differences of score, log fold change and p-values. A regression has none of
/// the last two.
fn genes_agree(found: &GroupGenes, wanted: &Value, of_ties: f64) -> [f64; 3] {
    let at: BTreeMap<u32, usize> = found.genes.iter().copied().zip(0..).collect();
    let genes = numbers(&wanted["genes"]);
    let scores = numbers(&wanted["scores"]);
    let [changes, pvals, adjusted] =
        ["logfoldchanges", "pvals", "pvals_adj"].map(|key| wanted.get(key).map(numbers));
    let mut worst = [0f64; 3];
    for (place, &gene) in genes.iter().enumerate() {
        let own = at[&(gene as u32)];
        let score = f64::from(found.scores[own]);
        // Its place may differ only where scores tie.
        let there = f64::from(found.scores[place]);
        assert!(
            (there - score).abs() < of_ties * score.abs().max(1.0),
            "gene {gene} is at {own}: {score}, and {there} there; scanpy has {}",
            scores[place]
        );
        worst[0] = worst[0].max((score - scores[place]).abs());
        if let Some(changes) = &changes {
            let change = f64::from(found.logfoldchanges[own]);
            worst[1] = worst[1].max((change - changes[place]).abs());
        }
        for (own, wanted) in [(found.pvals[own], &pvals), (found.pvals_adj[own], &adjusted)] {
            let differs = wanted.as_ref().map(|wanted| p_difference(own, wanted[place]));
            worst[2] = worst[2].max(differs.unwrap_or(0.0));
        }
    }
    worst
}

/// Every test of every group, on one thread and on two.
fn groups_agree(matrix: &CsrMatrix, labels: &[usize], case: &Value) {
    let labels: Vec<Option<usize>> = labels.iter().copied().map(Some).collect();
    for (test, name, [tolerance, of_ties]) in TESTS {
        let wanted = case["groups"][name].as_array().unwrap();
        let names: Vec<String> = (0..wanted.len()).map(|group| group.to_string()).collect();
        let rank = || rank_genes_groups(matrix, &labels, &names, test).unwrap();
        let found = on_threads(1, rank);
        assert!(on_threads(2, rank) == found, "{name} depends on the threads");
        let mut worst = [0f64; 5];
        for (found, wanted) in found.iter().zip(wanted) {
            let differences = genes_agree(found, wanted, of_ties);
            (0..3).for_each(|one| worst[one] = worst[one].max(differences[one]));
            if let Some(sum) = wanted.get("sum") {
                let own: f64 = found.scores.iter().map(|&score| f64::from(score)).sum();
                worst[3] = worst[3].max((own - number(sum)).abs() / found.scores.len() as f64);
            }
            if let Some(significant) = wanted.get("significant") {
                let own = found.pvals_adj.iter().filter(|p| **p < 0.05).count();
                worst[4] = worst[4].max((own as f64 - number(significant)).abs());
            }
        }
        let [score, change, p, mean, count] = worst;
        eprintln!(
            "{name}: scores differ by {score:.1e} (in the mean {mean:.1e}), log fold changes by \
             {change:.1e}, p-values by {p:.1e} of theirs, significant genes by {count}"
        );
        let scores_agree = score < tolerance && mean < tolerance;
        assert!(scores_agree && change < 1e-4 && p < 1e-6 && count <= 2.0, "{name}");
    }
}

/// Adjusted Rand index (Hubert and Arabie 1985) of two ways to part the same cells.
fn adjusted_rand(one: &[usize], other: &[u32]) -> f64 {
    let pairs = |counts: &BTreeMap<(usize, u32), usize>| -> f64 {
        counts.values().map(|&n| (n * n.saturating_sub(1)) as f64 / 2.0).sum()
    };
    let count = |key: &dyn Fn(usize) -> (usize, u32)| {
        let mut counts = BTreeMap::new();
        (0..one.len()).for_each(|cell| *counts.entry(key(cell)).or_insert(0) += 1);
        pairs(&counts)
    };
    let both = count(&|cell| (one[cell], other[cell]));
    let (first, second) = (count(&|cell| (one[cell], 0)), count(&|cell| (0, other[cell])));
    let by_chance = first * second / (one.len() * (one.len() - 1)) as f64 * 2.0;
    (both - by_chance) / ((first + second) / 2.0 - by_chance)
}

fn communities_are_as_good(graph: &CsrMatrix, labels: &[usize], case: &Value) {
    let case = &case["leiden"];
    let find = || leiden(graph, &LeidenConfig::default()).unwrap();
    let found = on_threads(1, find);
    assert!(on_threads(2, find) == found, "communities depend on the threads");
    let reached = modularity(graph, &found, 1.0).unwrap();
    let agreement = adjusted_rand(labels, &found);
    let [mean, max, ari] =
        ["modularity_mean", "modularity_max", "ari_mean"].map(|key| number(&case[key]));
    eprintln!(
        "modularity {reached:.5}, igraph's {mean:.5} (at most {max:.5}); ARI {agreement:.4}, \
         igraph's {ari:.4}; {} communities, igraph's {}",
        found.iter().max().unwrap() + 1,
        case["communities"]
    );
    assert!(reached >= mean, "{reached} is below igraph's {mean}");
    assert!(agreement >= ari - 0.05, "{agreement} is below igraph's {ari}");
}

#[test]
fn genes_by_formula_agree_with_scanpy() {
    let goldens = goldens();
    let (matrix, labels) = sparse(whole(&goldens["cells"]), whole(&goldens["genes"]));
    groups_agree(&matrix, &labels, &goldens["formula"]);
}

#[test]
fn coefficients_of_two_groups_are_scikit_learns_log_odds() {
    let goldens = goldens();
    let (matrix, _) = sparse(whole(&goldens["cells"]), whole(&goldens["genes"]));
    let labels: Vec<Option<usize>> = (0..matrix.n_rows).map(|row| Some(row % 2)).collect();
    let names = ["a", "b"].map(String::from);
    let found = rank_genes_groups(&matrix, &labels, &names, GroupTest::Logistic).unwrap();
    let wanted = numbers(&goldens["formula"]["of_two"]);
    for (group, sign) in found.iter().zip([-1.0, 1.0]) {
        for (&gene, &score) in group.genes.iter().zip(&group.scores) {
            let wanted = sign * wanted[gene as usize];
            assert!((f64::from(score) - wanted).abs() < 1e-3, "{gene}: {score} is not {wanted}");
        }
    }
}

#[test]
fn communities_of_three_clouds_are_as_good_as_igraphs() {
    let goldens = goldens();
    let mut points = signed(31, whole(&goldens["cells"]), 8);
    let labels: Vec<usize> = (0..points.n_rows).map(|row| row % 3).collect();
    for (row, &label) in points.values.chunks_exact_mut(8).zip(&labels) {
        row.iter_mut().for_each(|value| *value += 0.5 * label as f32);
    }
    let graph = neighbors(&points, N_NEIGHBORS, Metric::Euclidean).unwrap().connectivities();
    communities_are_as_good(&graph, &labels, &goldens["formula"]);
}

/// The folder of data sets, or `None` after saying that the test is skipped.
fn shared(file: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("SCREADER_SHARED").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"));
    let path = shared.join(file);
    if !path.is_file() {
        eprintln!("skipped: {} is not there (set SCREADER_SHARED)", path.display());
        return None;
    }
    Some(path)
}

/// Log-normalised cells of highly variable genes, and the class of each cell.
fn prepared(path: &Path, case: &Value) -> (CsrMatrix, Vec<usize>) {
    let cells = read(path, &ReadOptions::default()).unwrap();
    let matrix = log1p_cp10k(&cells.x, MatrixState::detect(&cells.x).unwrap()).unwrap();
    let genes: Vec<usize> = match whole(&case["n_top_genes"]) {
        0 => (0..matrix.n_cols).collect(),
        n_top_genes => {
            let chosen = highly_variable_genes(&matrix, n_top_genes, HvgFlavor::Seurat)
                .unwrap()
                .highly_variable;
            (0..matrix.n_cols).filter(|&gene| chosen[gene]).collect()
        }
    };
    let bytes: Vec<u8> = genes.iter().flat_map(|&gene| (gene as u32).to_le_bytes()).collect();
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, case["genes"].as_str().unwrap(), "other genes were chosen");
    let labels = match cells.obs.column("cell_type") {
        Some(Column::Categorical { codes, .. }) => {
            codes.iter().map(|&code| code as usize).collect()
        }
        other => panic!("cell_type is {other:?}"),
    };
    (matrix.select_columns(&genes), labels)
}

fn real_cells_agree(case: usize) {
    let goldens = goldens();
    let case = &goldens["real"][case];
    let Some(path) = shared(case["file"].as_str().unwrap()) else { return };
    let (matrix, labels) = prepared(&path, case);
    let scores = pca(&matrix, N_COMPS).unwrap().scores;
    let graph = neighbors(&scores, N_NEIGHBORS, Metric::Euclidean).unwrap().connectivities();
    communities_are_as_good(&graph, &labels, case);
    groups_agree(&matrix, &labels, case);
}

#[test]
fn blood_cells_agree() {
    real_cells_agree(0);
}

#[test]
fn kidney_cells_agree() {
    real_cells_agree(2);
}

#[test]
fn pancreas_cells_agree() {
    real_cells_agree(1);
}
