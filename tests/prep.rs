//! Principal components, neighbours, UMAP, silhouette and purity agree with scanpy, umap-learn and
//! scikit-learn.
//!
//! The real data sets are other people's and stay outside the repository: `SCREADER_SHARED` names the
//! folder. What scripts/reference/prep_goldens.py wrote about them is sums, hashes and a few numbers.

#![allow(clippy::unwrap_used)] // a test that cannot read its own input should panic

mod formula;

use std::path::{Path, PathBuf};

use formula::{signed, uniform};
use screader::cells::{Column, CsrMatrix, Dense, MatrixState, log1p_cp10k};
use screader::io::{ReadOptions, read};
use screader::prep::{
    HvgFlavor, Metric, N_COMPS, N_NEIGHBORS, UmapConfig, find_ab_params, highly_variable_genes,
    nearest, neighbors, pca, umap,
};
use screader::score::{neighbour_purity, silhouette};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn goldens() -> Value {
    serde_json::from_str(include_str!("goldens/prep.json")).unwrap()
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

fn digest(indices: impl Iterator<Item = u32>) -> String {
    let bytes: Vec<u8> = indices.flat_map(u32::to_le_bytes).collect();
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
fn close(found: f64, wanted: f64, tolerance: f64) {
    assert!((found - wanted).abs() <= tolerance, "{found} is not {wanted}");
}

#[track_caller]
fn all_close(found: &[f64], wanted: &[f64], tolerance: f64) {
    assert_eq!(found.len(), wanted.len());
    found.iter().zip(wanted).for_each(|(&found, &wanted)| close(found, wanted, tolerance));
}

fn wide(dense: &Dense) -> Vec<f64> {
    dense.values.iter().map(|&value| f64::from(value)).collect()
}

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

/// Three clouds by formula, with the twin in prep_goldens.py, and the cloud of each point.
fn clouds(n_rows: usize, n_cols: usize) -> (Dense, Vec<usize>) {
    let mut points = signed(31, n_rows, n_cols);
    let labels: Vec<usize> = (0..n_rows).map(|row| row % 3).collect();
    for (row, &label) in points.values.chunks_exact_mut(n_cols).zip(&labels) {
        row.iter_mut().for_each(|value| *value += 0.5 * label as f32);
    }
    (points, labels)
}

/// A sparse matrix by formula: about a third of the entries, genes of different spread.
fn sparse(n_rows: usize, n_cols: usize) -> CsrMatrix {
    let mut matrix = CsrMatrix { n_rows, n_cols, indptr: vec![0], ..CsrMatrix::default() };
    for row in 0..n_rows {
        for column in 0..n_cols {
            let place = (row * n_cols + column) as u64;
            if uniform(51, place) < 0.3 {
                let spread = 1.0 + 3.0 * uniform(53, column as u64);
                let shared = uniform(54, row as u64) * uniform(55, column as u64);
                matrix.indices.push(column as u32);
                matrix.data.push((spread * uniform(52, place) + 4.0 * shared) as f32);
            }
        }
        matrix.indptr.push(matrix.data.len());
    }
    matrix
}

fn graph_agrees(found: &CsrMatrix, wanted: &Value) {
    // Weights that vanish in single precision are edges to the one and none to the other.
    close(found.nnz() as f64, number(&wanted["edges"]), 2.0);
    let squares: f64 = found.data.iter().map(|&weight| f64::from(weight).powi(2)).sum();
    let sum: f64 = found.data.iter().map(|&weight| f64::from(weight)).sum();
    close(sum / number(&wanted["sum"]), 1.0, 1e-5);
    close(squares / number(&wanted["squares"]), 1.0, 1e-5);
    for row in wanted["rows"].as_array().unwrap() {
        let mut difference = vec![0.0; found.n_cols];
        let (columns, weights) = found.row(whole(&row[0]));
        for (&column, &weight) in columns.iter().zip(weights) {
            difference[column as usize] += f64::from(weight);
        }
        for (column, weight) in row[1].as_array().unwrap().iter().zip(numbers(&row[2])) {
            difference[whole(column)] -= weight;
        }
        let worst = difference.iter().fold(0f64, |worst, value| worst.max(value.abs()));
        assert!(worst < 1e-4, "row {}: {worst}", row[0]);
    }
    assert!(*found == found.transpose(), "the graph is not symmetric");
}

/// Trustworthiness (Venna and Kaski 2001): what the `k` nearest of each point in the layout are in the
/// order of the original distances; 1 where no stranger comes near.
fn trustworthiness(original: &Dense, layout: &Dense, k: usize) -> f64 {
    let n = original.n_rows;
    let near = nearest(layout, layout, k + 1, Metric::Euclidean).unwrap();
    let row = |cell: usize| &original.values[cell * original.n_cols..][..original.n_cols];
    let mut strangers = 0.0;
    for cell in 0..n {
        let own = row(cell);
        let distance = |other: usize| -> f32 {
            own.iter().zip(row(other)).map(|(a, b)| (a - b) * (a - b)).sum()
        };
        let distances: Vec<f32> = (0..n).map(distance).collect();
        let others = near.of(cell).0.iter().map(|&other| other as usize);
        for other in others.filter(|&other| other != cell).take(k) {
            let nearer = distances.iter().filter(|value| **value < distances[other]).count();
            // The point itself is among the nearer, so this is the rank among the others.
            strangers += nearer.saturating_sub(k) as f64;
        }
    }
    let n = n as f64;
    let k = k as f64;
    1.0 - strangers * 2.0 / (n * k * (2.0 * n - 3.0 * k - 1.0))
}

#[test]
fn neighbours_and_scores_of_three_clouds_agree() {
    let goldens = goldens();
    let case = &goldens["formula"];
    let (points, labels) = clouds(whole(&case["cells"]), whole(&case["dims"]));
    for (metric, name) in [(Metric::Euclidean, "euclidean"), (Metric::Cosine, "cosine")] {
        let found = neighbors(&points, N_NEIGHBORS, metric).unwrap();
        let wanted = &case["metrics"][name];
        assert_eq!(digest(found.indices.iter().copied()), wanted["indices"].as_str().unwrap());
        let sum: f64 = found.distances.iter().map(|&distance| f64::from(distance)).sum();
        close(sum / number(&wanted["distance_sum"]), 1.0, 1e-6);
        graph_agrees(&found.connectivities(), &wanted["graph"]);
    }
    close(silhouette(&points, &labels, 0).unwrap(), number(&case["silhouette"]), 1e-6);
    let k = whole(&goldens["purity_neighbours"]);
    close(neighbour_purity(&points, &labels, k).unwrap(), number(&case["purity"]), 1e-12);
}

#[test]
fn the_curve_agrees_with_umap_learn() {
    for case in goldens()["curves"].as_array().unwrap() {
        let case = numbers(case);
        let (a, b) = find_ab_params(case[0], case[1]);
        close(a / case[2], 1.0, 1e-4);
        close(b / case[3], 1.0, 1e-4);
    }
}

#[test]
fn equal_points_are_neighbours_of_themselves_first() {
    let points = Dense { n_rows: 20, n_cols: 2, values: vec![0.5; 40] };
    for metric in [Metric::Euclidean, Metric::Cosine] {
        let found = neighbors(&points, 4, metric).unwrap();
        assert!(found.indices.chunks_exact(4).zip(0..).all(|(row, cell)| row[0] == cell));
        let graph = found.connectivities();
        assert!(graph.data.iter().all(|&weight| weight == 1.0));
        assert!((0..20).all(|cell| !graph.row(cell).0.contains(&(cell as u32))));
        let layout = umap(&graph, &points, &UmapConfig::default()).unwrap();
        assert!(layout.values.iter().all(|value| value.is_finite()));
    }
}

#[test]
fn components_are_orthonormal_and_uncorrelated_from_either_side() {
    // More cells than genes, and fewer.
    for (cells, genes) in [(180, 60), (60, 180)] {
        let matrix = sparse(cells, genes);
        let found = pca(&matrix, 10).unwrap();
        assert_eq!((found.scores.n_rows, found.scores.n_cols), (cells, 10));
        assert_eq!((found.loadings.n_rows, found.loadings.n_cols), (genes, 10));
        let (scores, loadings) = (wide(&found.scores), wide(&found.loadings));
        let product = |values: &[f64], a: usize, b: usize| -> f64 {
            values.chunks_exact(10).map(|row| row[a] * row[b]).sum()
        };
        for a in 0..10 {
            close(scores.chunks_exact(10).map(|row| row[a]).sum::<f64>(), 0.0, 1e-3);
            for b in 0..10 {
                let same = f64::from(u8::from(a == b));
                close(product(&loadings, a, b), same, 1e-6);
                let covariance = product(&scores, a, b) / (cells - 1) as f64;
                close(covariance, same * found.variance[a], 1e-5 * found.variance[0]);
            }
            let column = || loadings.iter().skip(a).step_by(10);
            let largest =
                column().fold(0f64, |most, &v| if v.abs() > most.abs() { v } else { most });
            assert!(largest > 0.0, "component {a} points the other way");
        }
        assert!(found.variance.windows(2).all(|pair| pair[0] >= pair[1]));
        assert_eq!(found.transform(&matrix).unwrap(), found.scores);
        assert_eq!(on_threads(1, || pca(&matrix, 10).unwrap()), found);
        // All of them hold all of the variance.
        let all = pca(&matrix, 1000).unwrap();
        assert_eq!(all.variance.len(), 59);
        let ratio: f64 = all.variance_ratio.iter().sum();
        let lost =
            if cells > genes { all.variance[58] / all.variance.iter().sum::<f64>() } else { 0.0 };
        assert!(ratio <= 1.0 + 1e-9 && ratio >= 1.0 - lost - 1e-9, "{ratio}");
    }
}

#[test]
fn components_beyond_the_rank_are_zeros() {
    // Every cell is a multiple of the first.
    let first = sparse(1, 30);
    let mut matrix = CsrMatrix { n_rows: 0, n_cols: 30, indptr: vec![0], ..CsrMatrix::default() };
    for cell in 0..12 {
        matrix.indices.extend(&first.indices);
        matrix.data.extend(first.data.iter().map(|value| value * cell as f32));
        matrix.indptr.push(matrix.data.len());
        matrix.n_rows += 1;
    }
    let found = pca(&matrix, 5).unwrap();
    close(found.variance_ratio[0], 1.0, 1e-9);
    assert!(found.variance[1..].iter().all(|&variance| variance == 0.0));
    assert!(found.scores.values.chunks_exact(5).all(|row| row[1..] == [0.0; 4]));
    let constant = CsrMatrix { n_rows: 4, n_cols: 3, indptr: vec![0; 5], ..CsrMatrix::default() };
    let found = pca(&constant, 2).unwrap();
    assert_eq!((found.variance_ratio, found.scores.values), (vec![0.0; 2], vec![0.0; 8]));
}

#[test]
fn a_layout_keeps_clouds_apart_and_its_bytes() {
    let (points, labels) = clouds(300, 12);
    let near = neighbors(&points, N_NEIGHBORS, Metric::Euclidean).unwrap();
    let graph = near.connectivities();
    let config = UmapConfig { seed: 3, ..UmapConfig::default() };
    let lay = |config: &UmapConfig| umap(&graph, &points, config).unwrap();
    let layout = on_threads(1, || lay(&config));
    assert_eq!((layout.n_rows, layout.n_cols), (300, 2));
    assert_eq!(on_threads(2, || lay(&config)), layout);
    assert_ne!(lay(&UmapConfig { seed: 4, ..UmapConfig::default() }), layout);
    let apart = |points: &Dense| {
        let purity = neighbour_purity(points, &labels, 10).unwrap();
        (silhouette(points, &labels, 0).unwrap(), purity)
    };
    let (before, after) = (apart(&points), apart(&layout));
    eprintln!("silhouette and purity {before:?} before, {after:?} in the plane");
    assert!(after.0 > before.0 && after.1 > before.1 - 0.05);
    let kept = trustworthiness(&points, &layout, N_NEIGHBORS);
    assert!(kept > 0.8, "{kept}");
    let cube = lay(&UmapConfig { n_components: 3, n_epochs: Some(50), ..UmapConfig::default() });
    assert_eq!((cube.n_cols, cube.values.len()), (3, 900));
}

#[test]
fn few_cells_and_graphs_in_pieces_are_laid_out() {
    for cells in [1, 2, 3, 5, 12] {
        let (points, _) = clouds(cells, 4);
        let graph = match cells {
            1 => CsrMatrix { n_rows: 1, n_cols: 1, indptr: vec![0, 0], ..CsrMatrix::default() },
            _ => neighbors(&points, 2, Metric::Euclidean).unwrap().connectivities(),
        };
        let layout = umap(&graph, &points, &UmapConfig::default()).unwrap();
        assert_eq!(layout.values.len(), 2 * cells);
        assert!(layout.values.iter().all(|value| value.is_finite()));
    }
}

#[test]
fn nonsense_is_refused_in_one_line() {
    let refused = |error: screader::Error| {
        let line = error.to_string();
        assert!(error.exit_code() == 2 && !line.contains('\n'), "{line}");
        line
    };
    let matrix = sparse(6, 5);
    assert!(refused(pca(&matrix, 0).unwrap_err()).contains("n_comps"));
    assert!(refused(pca(&sparse(1, 5), 3).unwrap_err()).contains("1 cells"));
    let mut broken = matrix.clone();
    broken.data[0] = f32::NAN;
    assert!(refused(pca(&broken, 3).unwrap_err()).contains("cell "));
    let found = pca(&matrix, 3).unwrap();
    assert!(refused(found.transform(&sparse(6, 4)).unwrap_err()).contains("4 columns"));
    let (points, _) = clouds(12, 3);
    for k in [0, 1, 13] {
        let error = neighbors(&points, k, Metric::Euclidean).unwrap_err();
        assert!(refused(error).contains("n_neighbors"));
    }
    let graph = neighbors(&points, 4, Metric::Euclidean).unwrap().connectivities();
    let config = UmapConfig::default();
    assert!(umap(&graph, &clouds(11, 3).0, &config).is_err());
    let mut lopsided = graph.clone();
    lopsided.data[0] *= 0.5;
    assert!(refused(umap(&lopsided, &points, &config).unwrap_err()).contains("symmetric"));
    for config in [
        UmapConfig { n_components: 1, ..config.clone() },
        UmapConfig { min_dist: 1.5, ..config.clone() },
        UmapConfig { spread: f64::NAN, ..config.clone() },
        UmapConfig { negative_sample_rate: 0, ..config.clone() },
        UmapConfig { learning_rate: 0.0, ..config.clone() },
    ] {
        refused(umap(&graph, &points, &config).unwrap_err());
    }
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
    let wanted = case["genes"].as_str().unwrap();
    assert_eq!(digest(genes.iter().map(|&gene| gene as u32)), wanted, "other genes were chosen");
    let labels = match cells.obs.column("cell_type") {
        Some(Column::Categorical { codes, .. }) => {
            codes.iter().map(|&code| code as usize).collect()
        }
        other => panic!("cell_type is {other:?}"),
    };
    (matrix.select_columns(&genes), labels)
}

fn agrees_with_scanpy(case: usize) {
    let goldens = goldens();
    let case = &goldens["real"][case];
    let Some(path) = shared(case["file"].as_str().unwrap()) else { return };
    let (matrix, labels) = prepared(&path, case);
    assert_eq!(matrix.n_rows, whole(&case["cells"]));

    let found = pca(&matrix, N_COMPS).unwrap();
    let wanted = &case["pca"];
    for (found, wanted) in [
        (&found.variance, numbers(&wanted["variance"])),
        (&found.variance_ratio, numbers(&wanted["variance_ratio"])),
    ] {
        let relative: Vec<f64> = found.iter().zip(&wanted).map(|(a, b)| a / b).collect();
        all_close(&relative, &[1.0; N_COMPS], 1e-4);
    }
    let loadings = wide(&found.loadings);
    let probes = wide(&signed(41, 4, matrix.n_cols));
    let seen: Vec<f64> = (probes.chunks_exact(matrix.n_cols))
        .flat_map(|probe| {
            let mut seen = vec![0.0; N_COMPS];
            for (row, value) in loadings.chunks_exact(N_COMPS).zip(probe) {
                seen.iter_mut().zip(row).for_each(|(seen, entry)| *seen += value * entry);
            }
            seen
        })
        .collect();
    all_close(&seen, &numbers(&wanted["probes"]), 1e-4);
    let within = |row: &[f64]| row.iter().zip(&seen).map(|(entry, seen)| entry * seen).sum();
    let projected: Vec<f64> = loadings.chunks_exact(N_COMPS).take(40).map(within).collect();
    all_close(&projected, &numbers(&wanted["projected"]), 1e-4);
    let first = found.scores.values.chunks_exact(N_COMPS).take(5);
    let first: Vec<f64> = first.flat_map(|row| row[..10].iter().map(|&v| f64::from(v))).collect();
    all_close(&first, &numbers(&wanted["scores"]), 1e-4);

    let near = neighbors(&found.scores, N_NEIGHBORS, Metric::Euclidean).unwrap();
    let mut sets = near.indices.clone();
    sets.chunks_exact_mut(N_NEIGHBORS).for_each(<[u32]>::sort_unstable);
    let sets: Vec<String> = sets
        .chunks(100 * N_NEIGHBORS)
        .map(|rows| digest(rows.iter().copied())[..12].into())
        .collect();
    assert_eq!(sets, serde_json::from_value::<Vec<String>>(case["neighbours"].clone()).unwrap());
    let graph = near.connectivities();
    graph_agrees(&graph, &case["graph"]);

    close(silhouette(&found.scores, &labels, 0).unwrap(), number(&case["silhouette"]), 1e-6);
    let k = whole(&goldens["purity_neighbours"]);
    close(neighbour_purity(&found.scores, &labels, k).unwrap(), number(&case["purity"]), 1e-4);

    let layout = umap(&graph, &found.scores, &UmapConfig::default()).unwrap();
    let found = trustworthiness(&found.scores, &layout, N_NEIGHBORS);
    let wanted = number(&case["umap"]["trustworthiness"]);
    eprintln!("trustworthiness {found:.5}, umap-learn's {wanted:.5}");
    assert!(found >= wanted - 0.01, "{found} is below umap-learn's {wanted}");
}

#[test]
fn blood_cells_agree_with_scanpy() {
    agrees_with_scanpy(0);
}

#[test]
fn pancreas_cells_agree_with_scanpy() {
    agrees_with_scanpy(1);
}
