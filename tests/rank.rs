//! Properties of the ranking that hold for any cells.

#![allow(clippy::unwrap_used)] // a test that cannot read its own input should panic

use proptest::prelude::*;
use screader::cells::CsrMatrix;
use screader::rank::{
    Expression, GeneMedians, GeneStatistics, NoMedian, RankConfig, RankedCells, Select, ValueScale,
    positional_encoding, rank_cells,
};

const TABLE_ROWS: usize = 40;

/// Build a matrix from dense rows; zeros are not stored.
fn csr(rows: &[Vec<f32>], n_cols: usize) -> CsrMatrix {
    let mut matrix =
        CsrMatrix { n_rows: rows.len(), n_cols, indptr: vec![0], ..Default::default() };
    for row in rows {
        for (column, &value) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
            matrix.indices.push(column as u32);
            matrix.data.push(value);
        }
        matrix.indptr.push(matrix.data.len());
    }
    matrix
}

/// Cells over `n_cols` genes, many of them zero, few distinct values so that ties are common.
fn some_cells(n_cols: usize) -> impl Strategy<Value = Vec<Vec<f32>>> {
    let value = prop_oneof![2 => Just(0.0f32), 3 => (1u32..40).prop_map(|v| v as f32 / 4.0)];
    prop::collection::vec(prop::collection::vec(value, n_cols), 1..12)
}

/// A partial map of columns to table rows, with two columns for some rows.
fn some_map(n_cols: usize) -> impl Strategy<Value = Vec<Option<u32>>> {
    prop::collection::vec(prop::option::weighted(0.9, 0..TABLE_ROWS as u32), n_cols)
}

fn fitted(matrix: &CsrMatrix, map: &[Option<u32>], config: &RankConfig) -> GeneStatistics {
    GeneStatistics::fit(matrix, map, TABLE_ROWS, config).unwrap()
}

fn on_threads(threads: usize, work: impl FnOnce() -> RankedCells + Send) -> RankedCells {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

/// The definition, without care for speed: score every gene, sort everything, cut.
fn by_definition(row: &[f32], map: &[Option<u32>], medians: &GeneMedians, top: usize) -> Vec<u32> {
    let mut expression = vec![0f64; TABLE_ROWS];
    for (&value, target) in row.iter().zip(map) {
        if let Some(target) = target {
            expression[*target as usize] += f64::from(value).exp_m1();
        }
    }
    let score = |gene: usize| (expression[gene].ln_1p() as f32) / medians.0[gene].unwrap_or(1.0);
    let mut genes: Vec<usize> = (0..TABLE_ROWS).filter(|&gene| expression[gene] > 0.0).collect();
    genes.sort_by(|&a, &b| score(b).total_cmp(&score(a)).then(a.cmp(&b)));
    genes.into_iter().take(top).map(|gene| gene as u32).collect()
}

proptest! {
    #[test]
    fn each_cell_is_its_expressed_genes_sorted(
        rows in some_cells(30), map in some_map(30), top in 1usize..35, raw_rank: bool,
    ) {
        let select = if raw_rank { Select::RawRank } else { Select::MedianRank };
        let config = RankConfig { select, top_genes: top, ..Default::default() };
        let matrix = csr(&rows, 30);
        // A shared gene's sum passes through exp and ln here and in the product; values of one
        // column are compared exactly.
        let mut seen = std::collections::BTreeSet::new();
        let map: Vec<Option<u32>> = map.iter().map(|row| row.filter(|&r| seen.insert(r))).collect();
        let statistics = fitted(&matrix, &map, &config);
        let ranked = rank_cells(&matrix, &map, &statistics, &config).unwrap();
        prop_assert_eq!(ranked.n_cells(), rows.len());
        for (cell, row) in rows.iter().enumerate() {
            let (genes, values) = ranked.cell(cell);
            let expression = |gene: u32| {
                row[map.iter().position(|target| *target == Some(gene)).unwrap()]
            };
            let score = |gene: u32| match select {
                Select::RawRank => expression(gene),
                _ => expression(gene) / statistics.medians.0[gene as usize].unwrap(),
            };
            for pair in genes.windows(2) {
                let (first, second) = (score(pair[0]), score(pair[1]));
                prop_assert!(first > second || (first == second && pair[0] < pair[1]));
            }
            let expressed = map.iter().zip(row).filter(|(t, v)| t.is_some() && **v > 0.0).count();
            prop_assert_eq!(genes.len(), expressed.min(top));
            for (&gene, &value) in genes.iter().zip(values) {
                let median = statistics.medians.0[gene as usize].unwrap();
                prop_assert_eq!(value, expression(gene) / median);
            }
            let worst = genes.last().map(|&gene| score(gene));
            for (target, &value) in map.iter().zip(row) {
                if let Some(gene) = target && value > 0.0 && !genes.contains(gene) {
                    prop_assert!(Some(score(*gene)) <= worst);
                }
            }
        }
    }

    #[test]
    fn columns_of_one_gene_count_as_one(rows in some_cells(60), map in some_map(60)) {
        let config = RankConfig { top_genes: 10, ..Default::default() };
        let matrix = csr(&rows, 60);
        let statistics = fitted(&matrix, &map, &config);
        let ranked = rank_cells(&matrix, &map, &statistics, &config).unwrap();
        // Sums of logarithms are not exact, so compare the sets where scores are well apart.
        for (cell, row) in rows.iter().enumerate() {
            let wanted = by_definition(row, &map, &statistics.medians, TABLE_ROWS);
            let (genes, values) = ranked.cell(cell);
            prop_assert_eq!(genes.len(), wanted.len().min(10));
            let full = RankConfig { top_genes: TABLE_ROWS, ..config.clone() };
            let all = rank_cells(&matrix, &map, &statistics, &full).unwrap();
            let mut sorted = all.cell(cell).0.to_vec();
            sorted.sort_unstable();
            let mut wanted = wanted;
            wanted.sort_unstable();
            prop_assert_eq!(sorted, wanted);
            prop_assert!(values.windows(2).all(|pair| pair[0] >= pair[1]));
            prop_assert_eq!(&all.cell(cell).0[..genes.len()], genes);
        }
    }

    #[test]
    fn one_thread_and_two_give_the_same_bytes(rows in some_cells(30), map in some_map(30)) {
        let rows: Vec<Vec<f32>> = rows.iter().cycle().take(700).cloned().collect();
        let config = RankConfig { top_genes: 12, ..Default::default() };
        let matrix = csr(&rows, 30);
        let statistics = fitted(&matrix, &map, &config);
        let rank = || rank_cells(&matrix, &map, &statistics, &config).unwrap();
        prop_assert_eq!(on_threads(1, rank), on_threads(2, rank));
    }

    #[test]
    fn the_order_of_columns_does_not_matter(
        rows in some_cells(30), map in some_map(30),
        order in Just((0..30usize).collect::<Vec<_>>()).prop_shuffle(),
        hvg: bool,
    ) {
        let select = if hvg && rows.len() > 1 { Select::Hvg } else { Select::MedianRank };
        let config = RankConfig { select, top_genes: 9, ..Default::default() };
        let (matrix, moved_map) = (csr(&rows, 30), order.iter().map(|&c| map[c]).collect::<Vec<_>>());
        let moved: Vec<Vec<f32>> =
            rows.iter().map(|row| order.iter().map(|&column| row[column]).collect()).collect();
        let moved = csr(&moved, 30);
        let statistics = fitted(&matrix, &map, &config);
        prop_assert_eq!(&statistics, &fitted(&moved, &moved_map, &config));
        prop_assert_eq!(
            rank_cells(&matrix, &map, &statistics, &config).unwrap(),
            rank_cells(&moved, &moved_map, &statistics, &config).unwrap()
        );
    }

    #[test]
    fn scaling_a_cell_keeps_its_raw_order(rows in some_cells(30), power in -8i32..8) {
        let config = RankConfig { select: Select::RawRank, top_genes: 20, ..Default::default() };
        let map: Vec<Option<u32>> = (0..30).map(Some).collect();
        let factor = 2f32.powi(power);
        let scaled: Vec<Vec<f32>> =
            rows.iter().map(|row| row.iter().map(|value| value * factor).collect()).collect();
        let (matrix, scaled) = (csr(&rows, 30), csr(&scaled, 30));
        let statistics = fitted(&matrix, &map, &config);
        prop_assert_eq!(
            rank_cells(&matrix, &map, &statistics, &config).unwrap().genes,
            rank_cells(&scaled, &map, &statistics, &config).unwrap().genes
        );
    }
}

/// Two cells, four columns; the last column has no embedding.
fn small() -> (CsrMatrix, Vec<Option<u32>>) {
    let rows = [vec![1.0, 2.0, 0.0, 9.0], vec![3.0, 0.0, 0.5, 9.0]];
    (csr(&rows, 4), vec![Some(5), Some(0), Some(2), None])
}

#[test]
fn medians_are_of_the_non_zero_values() {
    let (matrix, map) = small();
    let medians = GeneMedians::fit(&matrix, &map, 6).unwrap();
    assert_eq!(medians.0, vec![Some(2.0), None, Some(0.5), None, None, Some(2.0)]);
    let text = serde_json::to_string(&medians).unwrap();
    assert_eq!(text, "[2.0,null,0.5,null,null,2.0]");
    assert_eq!(serde_json::from_str::<GeneMedians>(&text).unwrap(), medians);
}

#[test]
fn values_come_on_the_scale_asked_for() {
    let (matrix, map) = small();
    let counts = csr(&[vec![10.0, 20.0, 0.0, 7.0], vec![30.0, 0.0, 5.0, 7.0]], 4);
    let both = Expression { log_normalised: &matrix, raw: Some(&counts) };
    let values = |value| {
        let config = RankConfig { value, top_genes: 4, ..Default::default() };
        let statistics = GeneStatistics::fit(&matrix, &map, 6, &config).unwrap();
        let ranked = rank_cells(both, &map, &statistics, &config).unwrap();
        assert_eq!(ranked.indptr, [0, 2, 4]);
        assert_eq!(ranked.genes, [0, 5, 5, 2]);
        ranked.values
    };
    assert_eq!(values(ValueScale::Log1pCp10kOverMedian), [1.0, 0.5, 1.5, 1.0]);
    assert_eq!(values(ValueScale::Log1pCp10k), [2.0, 1.0, 3.0, 0.5]);
    assert_eq!(values(ValueScale::Raw), [20.0, 10.0, 30.0, 5.0]);
    assert_eq!(values(ValueScale::Rank), [1.0, 0.75, 1.0, 0.75]);
    assert_eq!(values(ValueScale::Binary), [1.0; 4]);
}

#[test]
fn genes_without_a_median_are_kept_or_dropped_as_asked() {
    let (train, map) = small();
    let query = csr(&[vec![1.0, 0.0, 0.0, 4.0]], 4);
    let map_of_query = vec![Some(5), None, None, Some(1)];
    let genes = |no_median| {
        let config = RankConfig { no_median, ..Default::default() };
        let statistics = GeneStatistics::fit(&train, &map, 6, &config).unwrap();
        rank_cells(&query, &map_of_query, &statistics, &config).unwrap().genes
    };
    assert_eq!(genes(NoMedian::One), [1, 5]);
    assert_eq!(genes(NoMedian::Drop), [5]);
}

#[test]
fn what_cannot_be_ranked_is_refused_in_one_line() {
    let (good, map) = small();
    let config = RankConfig::default();
    let statistics = GeneStatistics::fit(&good, &map, 6, &config).unwrap();
    let refuse = |matrix: &CsrMatrix, map: &[Option<u32>], config: &RankConfig| {
        let error = rank_cells(matrix, map, &statistics, config).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let line = error.to_string();
        assert!(!line.contains('\n'), "{line}");
        line
    };
    let spoiled = |value| csr(&[vec![1.0, 0.0, 0.0, 0.0], vec![0.0, value, 0.0, 0.0]], 4);
    assert!(refuse(&spoiled(f32::NAN), &map, &config).contains("cell 1, column 1"));
    assert!(refuse(&spoiled(f32::INFINITY), &map, &config).contains("cell 1, column 1"));
    assert!(refuse(&spoiled(-0.5), &map, &config).contains("scaling"));
    assert!(refuse(&good, &map[..3], &config).contains("gene rows"));
    assert!(refuse(&good, &[Some(6), None, None, None], &config).contains("row 6"));
    let of = |change: fn(&mut RankConfig)| {
        let mut config = RankConfig::default();
        change(&mut config);
        config
    };
    assert!(refuse(&good, &map, &of(|c| c.select = Select::Hvg)).contains("hvg"));
    assert!(refuse(&good, &map, &of(|c| c.value = ValueScale::Raw)).contains("counts"));
    assert!(refuse(&good, &map, &of(|c| c.top_genes = 0)).contains("top_genes"));
}

#[test]
fn settings_read_back_and_unknown_keys_are_errors() {
    let config =
        RankConfig { select: Select::Hvg, value: ValueScale::Binary, ..Default::default() };
    let text = toml::to_string(&config).unwrap();
    assert_eq!(toml::from_str::<RankConfig>(&text).unwrap(), config);
    assert_eq!(toml::from_str::<RankConfig>("").unwrap(), RankConfig::default());
    assert!(toml::from_str::<RankConfig>("top_gene = 3").is_err());
}

#[test]
fn positional_encoding_follows_the_formula() {
    let table = positional_encoding(3, 4);
    let wanted = [
        [0.0, 1.0, 0.0, 1.0],
        [1f64.sin(), 1f64.cos(), 0.01f64.sin(), 0.01f64.cos()],
        [2f64.sin(), 2f64.cos(), 0.02f64.sin(), 0.02f64.cos()],
    ];
    assert_eq!((table.n_rows, table.n_cols), (3, 4));
    for (found, wanted) in table.values.iter().zip(wanted.iter().flatten()) {
        assert!((f64::from(*found) - wanted).abs() < 1e-7, "{found} is not {wanted}");
    }
    // 10000^(4/5) = 1584.893192461113 for the last column of five.
    let odd = positional_encoding(2, 5);
    assert!((f64::from(odd.values[9]) - (1.0f64 / 1_584.893_192_461_113).sin()).abs() < 1e-9);
}
