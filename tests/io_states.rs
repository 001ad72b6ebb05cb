//! Real data sets: each matrix is told for what its source says it is, and the choice is named.
#![allow(clippy::unwrap_used)] // a test may fail by panicking

use std::path::{Path, PathBuf};

use screader::cells::{MatrixState, choose};
use screader::io::{CellBlocks, ReadOptions, read};

fn shared() -> PathBuf {
    let given = std::env::var_os("SCREADER_SHARED").map(PathBuf::from);
    given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"))
}

#[test]
fn real_matrices_are_told_and_chosen() {
    let folder = shared().join("data/dev/labelled");
    if !folder.is_dir() {
        println!("skipped: {} is absent (set SCREADER_SHARED)", folder.display());
        return;
    }
    for (name, from, state) in [
        ("10x_pbmc68k_reduced_2025.h5ad", "raw/X", MatrixState::LogNormalised),
        ("10x_pbmc68k_reduced_2018.h5ad", "raw/X", MatrixState::LogNormalised),
        ("pbmc3k_counts.h5ad", "X", MatrixState::Counts),
        ("mixology_sc_celseq2.h5ad", "X", MatrixState::Counts),
        ("mouse_pancreas_endocrinogenesis.h5ad", "X", MatrixState::Counts),
    ] {
        let path = folder.join(name);
        let cells = read(&path, &ReadOptions::default()).unwrap();
        let chosen = choose(&cells, None).unwrap();
        assert_eq!((chosen.name.to_string().as_str(), chosen.state), (from, state), "{name}");
        // Training reads a file whole, inference in blocks: both must take the same matrix.
        let streamed = CellBlocks::choose(&path, None).unwrap();
        assert_eq!((streamed.name, streamed.state), (chosen.name, state), "{name}");
        assert_eq!(streamed.blocks.var(), chosen.var, "{name}");
        assert!(CellBlocks::choose(&path, Some("no such layer")).is_err(), "{name}");
    }
    for (name, state) in [
        ("hnscc_tme_chetah.h5ad", MatrixState::LogNormalised),
        ("mouse_fetal_liver_gse87795.h5ad", MatrixState::LogNormalised),
        ("pancreas_xin.h5ad", MatrixState::LogNormalised),
        ("moscot_wot_reprogramming.h5ad", MatrixState::LogNormalised),
        ("pbmc_3tech_symphony.h5ad", MatrixState::LogNormalised),
        ("oligodendroglioma_infercnv.h5ad", MatrixState::Linear),
        ("mouse_esc_scmerge.h5ad", MatrixState::Counts),
    ] {
        let cells = read(&folder.join(name), &ReadOptions::default()).unwrap();
        assert_eq!(MatrixState::detect(&cells.x).unwrap(), state, "{name}");
    }
}

/// Blocks of any size add up to the whole, for rows, dense values and columns.
#[test]
fn blocks_add_up_to_the_whole() {
    let folder = shared().join("data/dev");
    if !folder.is_dir() {
        println!("skipped: {} is absent (set SCREADER_SHARED)", folder.display());
        return;
    }
    for name in [
        "labelled/mouse_kidney_tm_facs.h5ad",
        "labelled/10x_pbmc68k_reduced_2025.h5ad",
        "odd_files/tiledbsoma_testdata_pbmc-small-x-csc.h5ad",
        "odd_files/tiledbsoma_testdata_x-none.h5ad",
        "odd_files/scvi_pbmc_5k_protein_v3.h5ad",
        "odd_files/adata.csv",
    ] {
        let path = folder.join(name);
        let whole = read(&path, &ReadOptions::default()).unwrap();
        for rows in [7, 100, 1_000_000] {
            let mut blocks = CellBlocks::open(&path, &ReadOptions::default()).unwrap();
            assert_eq!((blocks.obs(), blocks.var()), (&whole.obs, &whole.var), "{name}");
            let mut start = 0;
            while let Some(block) = blocks.next_block(rows).unwrap() {
                let span: Vec<usize> = (start..start + block.n_rows).collect();
                assert_eq!(block, whole.x.select_rows(&span), "{name} from row {start}");
                start += block.n_rows;
            }
            assert_eq!(start, whole.n_obs(), "{name}");
        }
    }
}
