//! Real cells (three cell lines, Drop-seq): ranking and baselines agree with scanpy and scikit-learn.
//! Skipped where the test data is absent.

#![allow(clippy::unwrap_used)] // a test that cannot read its own input should panic

mod formula;

use std::io::Read;
use std::path::{Path, PathBuf};

use formula::signed;
use screader::baselines::{Denominator, GenePtConfig, KnnConfig, Metric, Normalize, genept_w, knn};
use screader::cells::{CsrMatrix, Dense};
use screader::prep::{HvgFlavor, highly_variable_genes};
use screader::rank::{GeneMedians, GeneStatistics, RankConfig, Select, rank_cells};
use serde_json::Value;

fn goldens() -> Value {
    serde_json::from_str(include_str!("goldens/rank.json")).unwrap()
}

/// The folder of test data, or `None` with a word why the test is skipped.
fn tables() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let shared = std::env::var_os("SCREADER_SHARED").map_or(default, PathBuf::from);
    let folder = shared.join("data/dev/tables");
    if folder.join("sc_dropseq.count.csv.gz").is_file() {
        return Some(folder);
    }
    eprintln!("skipped: no {}; set SCREADER_SHARED", folder.display());
    None
}

fn records(path: &Path) -> Vec<csv::StringRecord> {
    let mut text = Vec::new();
    let file = std::fs::File::open(path).unwrap();
    flate2::read::MultiGzDecoder::new(file).read_to_end(&mut text).unwrap();
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_slice());
    reader.records().map(Result::unwrap).collect()
}

/// Cells × genes as log1p-CP10k, and the sum of the counts.
fn log_normalised(folder: &Path) -> (CsrMatrix, f64) {
    let table = records(&folder.join("sc_dropseq.count.csv.gz"));
    let (n_rows, n_cols) = (table[0].len(), table.len() - 1);
    let mut matrix = CsrMatrix { n_rows, n_cols, indptr: vec![0], ..Default::default() };
    let mut sum = 0.0;
    for cell in 0..n_rows {
        let counts: Vec<f64> =
            table[1..].iter().map(|gene| gene[cell + 1].parse().unwrap()).collect();
        let total: f64 = counts.iter().sum();
        sum += total;
        for (gene, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0.0) {
            matrix.indices.push(gene as u32);
            matrix.data.push((count / (total / 1e4)).ln_1p() as f32);
        }
        matrix.indptr.push(matrix.data.len());
    }
    (matrix, sum)
}

fn classes(folder: &Path) -> Vec<usize> {
    let table = records(&folder.join("sc_dropseq.metadata.csv.gz"));
    let column = table[0].iter().position(|name| name == "cell_line").unwrap() + 1;
    let lines: Vec<&str> = table[1..].iter().map(|cell| &cell[column]).collect();
    let names: std::collections::BTreeSet<&str> = lines.iter().copied().collect();
    lines.iter().map(|line| names.iter().position(|name| name == line).unwrap()).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    let number = |item: &Value| item.as_f64().unwrap_or(f64::NAN);
    value.as_array().unwrap().iter().map(number).collect()
}

fn close(found: f64, wanted: f64, tolerance: f64) {
    let both_nan = found.is_nan() && wanted.is_nan();
    let near = (found - wanted).abs() <= tolerance * wanted.abs().max(1.0);
    assert!(both_nan || near, "{found} is not {wanted}");
}

fn nan_sum(values: &[f64]) -> f64 {
    values.iter().filter(|value| !value.is_nan()).sum()
}

#[test]
fn highly_variable_genes_agree_with_scanpy() {
    let (Some(folder), goldens) = (tables(), goldens()) else { return };
    let (matrix, counts_sum) = log_normalised(&folder);
    assert_eq!(counts_sum, goldens["counts_sum"].as_f64().unwrap());
    let wanted = &goldens["hvg"];
    let n_top = wanted["n_top_genes"].as_u64().unwrap() as usize;
    let found = highly_variable_genes(&matrix, n_top, HvgFlavor::Seurat).unwrap();
    let columns = [&found.means, &found.dispersions, &found.dispersions_norm];
    for (column, sum) in columns.iter().zip(numbers(&wanted["sums"])) {
        close(nan_sum(column), sum, 1e-5);
    }
    for (gene, row) in numbers(&wanted["shown"]).iter().zip(wanted["numbers"].as_array().unwrap()) {
        for (column, wanted) in columns.iter().zip(numbers(row)) {
            close(column[*gene as usize], wanted, 1e-5);
        }
    }
    let selected: Vec<f64> = (0..matrix.n_cols)
        .filter(|&gene| found.highly_variable[gene])
        .map(|gene| gene as f64)
        .collect();
    assert_eq!(selected, numbers(&wanted["selected"]));

    let columns: Vec<Option<u32>> = (0..matrix.n_cols as u32).map(Some).collect();
    let config = RankConfig { select: Select::Hvg, top_genes: n_top, ..Default::default() };
    let statistics = GeneStatistics::fit(&matrix, &columns, matrix.n_cols + 5, &config).unwrap();
    let rows: Vec<f64> =
        statistics.highly_variable.iter().flatten().map(|&row| f64::from(row)).collect();
    assert_eq!(rows, selected);
    let ranked = rank_cells(&matrix, &columns, &statistics, &config).unwrap();
    assert!(ranked.genes.iter().all(|&gene| selected.contains(&f64::from(gene))));
    let expressed = matrix.indices.iter().filter(|&&gene| found.highly_variable[gene as usize]);
    assert_eq!(ranked.genes.len(), expressed.count());
}

#[test]
fn medians_and_ranks_agree_with_numpy() {
    let (Some(folder), goldens) = (tables(), goldens()) else { return };
    let (matrix, _) = log_normalised(&folder);
    let columns: Vec<Option<u32>> = (0..matrix.n_cols as u32).map(Some).collect();
    let medians = GeneMedians::fit(&matrix, &columns, matrix.n_cols).unwrap();
    let of_gene = |gene: usize| medians.0[gene].map_or(f64::NAN, f64::from);
    let all: Vec<f64> = (0..matrix.n_cols).map(of_gene).collect();
    let wanted = &goldens["medians"];
    assert_eq!(
        all.iter().filter(|m| !m.is_nan()).count() as u64,
        wanted["expressed"].as_u64().unwrap()
    );
    close(nan_sum(&all), wanted["sum"].as_f64().unwrap(), 1e-6);
    for (gene, wanted) in numbers(&goldens["hvg"]["shown"]).iter().zip(numbers(&wanted["shown"])) {
        close(all[*gene as usize], wanted, 1e-6);
    }

    let config = RankConfig { top_genes: 12, ..Default::default() };
    let statistics =
        GeneStatistics { medians, highly_variable: None, spread: None, weights: None, types: None };
    let ranked = rank_cells(&matrix, &columns, &statistics, &config).unwrap();
    for (cell, best) in goldens["best"].as_array().unwrap().iter().enumerate() {
        let found: Vec<f64> = ranked.cell(cell).0.iter().map(|&gene| f64::from(gene)).collect();
        assert_eq!(found, numbers(best));
    }
}

#[test]
fn genept_w_agrees_with_scikit_learn() {
    let (Some(folder), goldens) = (tables(), goldens()) else { return };
    let (matrix, _) = log_normalised(&folder);
    let wanted = &goldens["genept"];
    let dim = wanted["dim"].as_u64().unwrap() as usize;
    let embeddings = signed(2024, matrix.n_cols, dim);
    let columns: Vec<Option<u32>> = (0..matrix.n_cols as u32).map(Some).collect();
    let embed = |normalize| {
        let config = GenePtConfig { normalize, ..Default::default() };
        genept_w(&matrix, &columns, &embeddings, &config).unwrap()
    };
    let (mean, unit) = (embed(Normalize::None), embed(Normalize::L2));
    for (cells, key) in [(&mean, "cell_3_mean"), (&unit, "cell_3_unit")] {
        for (found, wanted) in cells.values[3 * dim..].iter().zip(numbers(&wanted[key])) {
            assert!((f64::from(*found) - wanted).abs() < 2e-6, "{key}: {found} is not {wanted}");
        }
    }

    let labels = classes(&folder);
    let every_other = |first: usize| {
        let rows: Vec<usize> = (first..matrix.n_rows).step_by(2).collect();
        let values = rows.iter().flat_map(|row| mean.values[row * dim..][..dim].to_vec());
        Dense { n_rows: rows.len(), n_cols: dim, values: values.collect() }
    };
    let of_train: Vec<usize> = labels.iter().copied().step_by(2).collect();
    let config = KnnConfig { neighbours: 10, metric: Metric::Cosine };
    let found = knn(&every_other(0), &of_train, &every_other(1), 3, &config).unwrap().classes;
    let wanted = numbers(&wanted["predicted"]);
    assert_eq!(found.len(), wanted.len());
    let agreeing = found.iter().zip(&wanted).filter(|(a, b)| **a as f64 == **b).count();
    assert!(agreeing as f64 >= 0.995 * wanted.len() as f64, "{agreeing} of {}", wanted.len());
}

#[test]
fn denominators_differ_as_written() {
    let matrix = CsrMatrix {
        n_rows: 2,
        n_cols: 4,
        indptr: vec![0, 3, 4],
        indices: vec![0, 1, 3, 3],
        data: vec![1.0, 3.0, 5.0, 5.0],
    };
    let embeddings = Dense { n_rows: 3, n_cols: 2, values: vec![1.0, 0.0, 0.0, 1.0, 9.0, 9.0] };
    let rows = [Some(1), Some(0), Some(2), None];
    let embed = |denominator, normalize| {
        let config = GenePtConfig { denominator, normalize, ..Default::default() };
        genept_w(&matrix, &rows, &embeddings, &config).unwrap().values
    };
    assert_eq!(embed(Denominator::All, Normalize::None), [0.75, 0.25, 0.0, 0.0]);
    assert_eq!(embed(Denominator::Matched, Normalize::None), [1.0, 1.0 / 3.0, 0.0, 0.0]);
    assert_eq!(embed(Denominator::SumExpr, Normalize::None), [0.75, 0.25, 0.0, 0.0]);
    let unit = embed(Denominator::SumExpr, Normalize::L2);
    assert!((unit[0] - 3.0 / 10f32.sqrt()).abs() < 1e-6 && unit[2..] == [0.0, 0.0]);
    assert!(genept_w(&matrix, &rows[..3], &embeddings, &GenePtConfig::default()).is_err());
    assert!(genept_w(&matrix, &[Some(3); 4], &embeddings, &GenePtConfig::default()).is_err());
}
