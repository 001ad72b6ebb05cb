//! Quality control, choice of genes and scaling agree with scanpy, scikit-misc, kneed and scipy.
//!
//! The real data sets are other people's and stay outside the repository: `SCREADER_SHARED` names the
//! folder. What scripts/reference/cluster_goldens.py wrote about them is sums, hashes and a few numbers.

#![allow(clippy::unwrap_used)] // a test that cannot read its own input should panic

mod formula;

use std::path::{Path, PathBuf};

use formula::{signed, uniform};
use screader::cells::{CsrMatrix, MatrixState, log1p_cp10k};
use screader::genes::mitochondrial_genes;
use screader::io::{ReadOptions, read};
use screader::prep::{
    BarcodeCurve, CellFilter, FilterConfig, HvgFlavor, InflectionPoint, KneePoint, QcMetrics,
    calculate_qc_metrics, filter_cells, filter_genes, find_peaks, highly_variable_genes,
    inflection, inflections, knee, kneedle, savgol_filter, scale,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn goldens() -> Value {
    serde_json::from_str(include_str!("goldens/cluster.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|item| item.as_f64().unwrap_or(f64::NAN)).collect()
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

/// Both missing, or the same to `tolerance`, relative above 1.
#[track_caller]
fn close(found: f64, wanted: f64, tolerance: f64) {
    let both_missing = !found.is_finite() && !wanted.is_finite();
    let near = (found - wanted).abs() <= tolerance * wanted.abs().max(1.0);
    assert!(both_missing || near, "{found} is not {wanted}");
}

fn finite_sum(values: &[f64]) -> f64 {
    values.iter().filter(|value| value.is_finite()).sum()
}

/// Counts by formula; the twin is in scripts/reference/cluster_goldens.py.
fn formula_counts(cells: usize, genes: usize) -> CsrMatrix {
    let mut matrix =
        CsrMatrix { n_rows: cells, n_cols: genes, indptr: vec![0], ..CsrMatrix::default() };
    for cell in 0..cells {
        let depth = 0.3 + 1.4 * uniform(62, cell as u64);
        for gene in 0..genes {
            let rate = uniform(61, gene as u64);
            let rate = 0.3 + 9.0 * rate * rate * rate * rate;
            let u = uniform(63, (cell * genes + gene) as u64);
            let count = (depth * rate * 4.0 * (u * u * u)).floor() as f32;
            if count > 0.0 {
                matrix.indices.push(gene as u32);
                matrix.data.push(count);
            }
        }
        matrix.indptr.push(matrix.data.len());
    }
    matrix
}

/// Totals of a droplet run by formula: cells, then empty droplets; in no order.
fn formula_totals(cells: usize, barcodes: usize) -> Vec<f64> {
    let total = |place: usize| {
        let u = uniform(64, place as u64);
        match place % (barcodes / cells) {
            0 => 1500.0 + (9000.0 * u * u).floor(),
            _ => (1.0 + 90.0 * u * u * u).floor(),
        }
    };
    (0..barcodes).map(total).collect()
}

fn thresholds_agree(totals: &[f64], wanted: &Value) {
    let curve = BarcodeCurve::new(totals).unwrap();
    let kept = |least: f64| totals.iter().filter(|&&total| total >= least).count();
    let last = knee(&curve, KneePoint::Last).unwrap();
    assert_eq!(last, number(&wanted["knee"]));
    assert_eq!(knee(&curve, KneePoint::First), wanted["first_knee"].as_f64());
    assert_eq!(kept(last), whole(&wanted["kept"]["knee"]));
    let found = inflections(&curve).unwrap();
    assert_eq!(found.len(), whole(&wanted["inflections"]));
    for (name, which) in [
        ("first", InflectionPoint::First),
        ("last", InflectionPoint::Last),
        ("steepest", InflectionPoint::Steepest),
    ] {
        let least = inflection(&curve, which);
        assert_eq!(least.as_ref().ok().copied(), wanted[name].as_f64(), "{name}");
        if let Ok(least) = least {
            assert_eq!(kept(least), whole(&wanted["kept"][name]), "{name}");
        }
    }
    if !found.is_empty() {
        for (point, (rank, slope)) in
            found.iter().zip(numbers(&wanted["ranks"]).iter().zip(numbers(&wanted["slopes"])))
        {
            assert_eq!(point.rank, *rank);
            close(point.slope, slope, 1e-8);
        }
    }
}

fn steps_agree(counts: &CsrMatrix, mitochondrial: &[bool], case: &Value) {
    assert_eq!(counts.n_rows, whole(&case["cells"]));
    assert_eq!(counts.n_cols, whole(&case["genes"]));
    let metrics = calculate_qc_metrics(counts, mitochondrial).unwrap();
    let hashes = [
        ("n_genes_by_counts", &metrics.n_genes_by_counts),
        ("n_cells_by_counts", &metrics.n_cells_by_counts),
    ];
    for (name, values) in hashes {
        assert_eq!(digest(values.iter().copied()), case[name].as_str().unwrap(), "{name}");
    }
    close(metrics.total_counts.iter().sum(), number(&case["total_counts"]), 1e-6);
    close(finite_sum(&metrics.pct_counts_mt), number(&case["pct_counts_mt"]), 1e-5);
    if !case["thresholds"].is_null() {
        thresholds_agree(&metrics.total_counts, &case["thresholds"]);
    }

    let kept = filter_cells(&metrics, &FilterConfig::default()).unwrap().cells;
    let counts = counts.select_rows(&kept);
    let metrics = calculate_qc_metrics(&counts, mitochondrial).unwrap();
    let genes = filter_genes(&metrics.n_cells_by_counts, 3).unwrap();
    let counts = counts.select_columns(&genes);
    assert_eq!([kept.len(), genes.len()].map(|n| n as f64).to_vec(), numbers(&case["filtered"]));

    let normalised = log1p_cp10k(&counts, MatrixState::Counts).unwrap();
    let wide: Vec<f64> = normalised.data.iter().map(|&value| f64::from(value)).collect();
    close(wide.iter().sum(), number(&case["normalised"]["sum"]), 1e-6);
    close(wide.iter().map(|v| v * v).sum(), number(&case["normalised"]["squares"]), 1e-6);

    let mut chosen = Vec::new();
    for wanted in case["hvg"].as_array().unwrap() {
        let flavor = match wanted["flavor"].as_str().unwrap() {
            "seurat" => HvgFlavor::Seurat,
            "cell_ranger" => HvgFlavor::CellRanger,
            _ => HvgFlavor::SeuratV3,
        };
        let matrix = if flavor == HvgFlavor::SeuratV3 { &counts } else { &normalised };
        let found = highly_variable_genes(matrix, whole(&wanted["n_top_genes"]), flavor).unwrap();
        let columns = [&found.means, &found.dispersions, &found.dispersions_norm];
        for (column, sum) in columns.iter().zip(numbers(&wanted["sums"])) {
            close(finite_sum(column), sum, 1e-5);
        }
        for row in wanted["shown"].as_array().unwrap() {
            let row = numbers(row);
            for (column, wanted) in columns.iter().zip(&row[1..]) {
                close(column[row[0] as usize], *wanted, 1e-5);
            }
        }
        let genes: Vec<usize> =
            (0..matrix.n_cols).filter(|&gene| found.highly_variable[gene]).collect();
        assert_eq!(genes.len(), whole(&wanted["count"]), "{flavor:?}");
        // Where the last that is chosen and the first that is not tie, either choice is right.
        if !wanted["ties"].as_bool().unwrap() {
            let genes = genes.iter().map(|&gene| gene as u32);
            assert_eq!(digest(genes), wanted["genes"].as_str().unwrap(), "{flavor:?}");
        }
        if flavor == HvgFlavor::Seurat {
            chosen = genes;
        }
    }

    let scaled = scale(&normalised.select_columns(&chosen), Some(10.0)).unwrap().values;
    let wanted = &case["scaled"];
    let squares: f64 = scaled.values.iter().map(|&value| f64::from(value).powi(2)).sum();
    close(squares, number(&wanted["squares"]), 1e-5);
    let cut = scaled.values.iter().filter(|value| value.abs() == 10.0).count();
    assert_eq!(cut, whole(&wanted["cut"]));
    let [rows, columns] = numbers(&wanted["shape"])[..] else { panic!("two dimensions") };
    let shown = (0..rows as usize)
        .flat_map(|row| (0..columns as usize).map(move |column| (row * 97, column * 101)));
    for ((row, column), wanted) in shown.zip(numbers(&wanted["shown"])) {
        close(f64::from(scaled.values[row * scaled.n_cols + column]), wanted, 1e-5);
    }
}

#[test]
fn counts_by_formula_agree() {
    let counts = formula_counts(300, 900);
    let mitochondrial: Vec<bool> = (0..900).map(|gene| gene % 50 == 0).collect();
    steps_agree(&counts, &mitochondrial, &goldens()["formula"]);
}

#[test]
fn droplets_by_formula_agree() {
    let totals = formula_totals(500, 45_000);
    thresholds_agree(&totals, &goldens()["droplets"]);
    // What a user wants of a raw matrix: the 500 cells, and few empty droplets.
    let curve = BarcodeCurve::new(&totals).unwrap();
    for least in [
        inflection(&curve, InflectionPoint::Steepest).unwrap(),
        knee(&curve, KneePoint::First).unwrap(),
    ] {
        let kept = totals.iter().filter(|&&total| total >= least).count();
        assert!((490..700).contains(&kept), "{kept} kept at {least}");
    }
}

#[test]
fn smoothing_peaks_and_knees_agree() {
    let goldens = goldens();
    let mut values: Vec<f64> = signed(65, 1, 160).values.iter().map(|&v| f64::from(v)).collect();
    let mut sum = 0.0;
    for value in &mut values {
        sum += *value;
        *value = sum;
    }
    let wanted = &goldens["signal"];
    let smooth = savgol_filter(&values, 11, 3);
    smooth.iter().zip(numbers(&wanted["smooth"])).for_each(|(&a, b)| close(a, b, 1e-10));
    let wide = |peaks: Vec<usize>| -> Vec<f64> { peaks.iter().map(|&p| p as f64).collect() };
    assert_eq!(wide(find_peaks(&values, 0.7)), numbers(&wanted["peaks"]));
    let flat: Vec<f64> = values.iter().map(|value| value.floor()).collect();
    assert_eq!(wide(find_peaks(&flat, 1.0)), numbers(&wanted["flat"]));
    assert_eq!(savgol_filter(&values[..5], 11, 3), values[..5]);

    for case in goldens["knees"].as_array().unwrap() {
        let seed = case[0].as_u64().unwrap();
        let x: Vec<f64> = (1..=60).map(f64::from).collect();
        let y = |place: usize| {
            100.0 / (x[place] + 2.0 * (seed - 65) as f64) + 6.0 * uniform(seed, place as u64)
        };
        let mut y: Vec<f64> = (0..60).map(y).collect();
        y.sort_by(|a, b| b.total_cmp(a));
        let found = kneedle(&x, &y, 1.0, KneePoint::Last).map(|point| x[point]);
        assert_eq!(found, case[1].as_f64(), "seed {seed}");
    }
    assert_eq!(kneedle(&[1.0, 2.0], &[3.0, 3.0], 1.0, KneePoint::Last), None);
}

#[test]
fn filters_that_leave_too_little_are_refused_unless_forced() {
    let totals = formula_totals(500, 45_000);
    let mut metrics = QcMetrics::new(&[]);
    metrics.n_genes_by_counts = totals.iter().map(|&total| total as u32 / 2).collect();
    metrics.pct_counts_mt = (0..totals.len()).map(|cell| (cell % 20) as f64).collect();
    metrics.total_counts = totals;
    let first = CellFilter::Inflection(InflectionPoint::First);
    let config = FilterConfig { cells: first, min_genes: 0, ..FilterConfig::default() };
    let refused = filter_cells(&metrics, &config).unwrap_err();
    let line = refused.to_string();
    assert!(line.contains("10 %") && line.contains("109 of 45000"), "{line}");
    assert_eq!((refused.exit_code(), line.lines().count()), (2, 1));
    let forced = FilterConfig { force: true, ..config };
    assert_eq!(filter_cells(&metrics, &forced).unwrap().cells.len(), 109);
    // Force does not make cells of none.
    let none = FilterConfig { min_genes: u32::MAX, ..forced };
    assert!(filter_cells(&metrics, &none).is_err());
    let few = FilterConfig { max_pct_mt: Some(3.0), min_genes: 0, ..FilterConfig::default() };
    assert_eq!(filter_cells(&metrics, &few).unwrap().cells.len(), 9_000);
    assert!(filter_genes(&[0, 2], 3).is_err());
    assert!(inflections(&BarcodeCurve::new(&[5.0; 20]).unwrap()).is_err());
    assert!(BarcodeCurve::new(&[1.0, f64::NAN]).is_err());
}

#[test]
fn nonsense_is_refused_in_one_line() {
    let counts = formula_counts(20, 40);
    let mut broken = counts.clone();
    broken.data[3] = -1.0;
    assert!(calculate_qc_metrics(&broken, &[false; 40]).is_err());
    assert!(calculate_qc_metrics(&counts, &[false; 39]).is_err());
    let normalised = log1p_cp10k(&counts, MatrixState::Counts).unwrap();
    for (matrix, flavor) in [
        (&broken, HvgFlavor::Seurat),
        (&normalised, HvgFlavor::SeuratV3),
        (&counts.select_rows(&[0]), HvgFlavor::CellRanger),
    ] {
        let line = highly_variable_genes(matrix, 5, flavor).unwrap_err().to_string();
        assert_eq!(line.lines().count(), 1, "{line}");
    }
    assert!(scale(&normalised, Some(0.0)).is_err());
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

#[test]
fn real_cells_agree() {
    for case in goldens()["real"].as_array().unwrap() {
        let Some(path) = shared(case["file"].as_str().unwrap()) else { continue };
        let cells = read(&path, &ReadOptions::default()).unwrap();
        eprintln!("{}", path.display());
        let mitochondrial: Vec<bool> = match case["ensembl"].as_bool() {
            // scanpy's users know mitochondrial genes by symbol alone.
            Some(true) => vec![false; cells.n_var()],
            _ => mitochondrial_genes(&cells.var),
        };
        steps_agree(&cells.x, &mitochondrial, case);
    }
}
