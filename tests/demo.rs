//! The demo's simulator: reproducible, labelled as it says, distributed as it says, and neither
//! trivial nor hopeless to classify.

#![allow(clippy::unwrap_used)] // a test may panic

use std::collections::HashMap;

use screader::cells::{Cells, Column};
use screader::demo::{CELL_TYPES, Parameters, demo_genes, simulate, simulate_with};
use screader::genes::Species;

const SPECIES: [Species; 2] = [Species::Mouse, Species::Human];

/// Label of each cell as an index into `CELL_TYPES`.
fn labels(cells: &Cells) -> Vec<usize> {
    let column = cells.obs.column("cell_type").unwrap();
    let label = |row| CELL_TYPES.iter().position(|kind| Some(kind.name.into()) == column.text(row));
    (0..cells.n_obs()).map(|row| label(row).unwrap()).collect()
}

/// Counts as dense rows, each scaled to 1,000 and logged.
fn log_normalised(cells: &Cells) -> Vec<Vec<f64>> {
    let row = |row: usize| {
        let (indices, data) = cells.x.row(row);
        let sum: f64 = data.iter().map(|&value| f64::from(value)).sum();
        let mut dense = vec![0.0; cells.n_var()];
        for (&at, &value) in indices.iter().zip(data) {
            dense[at as usize] = (1.0 + 1000.0 * f64::from(value) / sum).ln();
        }
        dense
    };
    (0..cells.n_obs()).map(row).collect()
}

fn mean_rows<'a>(rows: impl Iterator<Item = &'a Vec<f64>>, genes: usize) -> Vec<f64> {
    let (mut mean, mut count) = (vec![0.0; genes], 0.0);
    for row in rows {
        mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        count += 1.0;
    }
    mean.iter_mut().for_each(|value| *value /= count);
    mean
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_does_not() {
    for species in SPECIES {
        let bits = |cells: &Cells| cells.x.data.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let first = simulate(species, 7).unwrap();
        let again = simulate(species, 7).unwrap();
        assert_eq!(bits(&first), bits(&again));
        assert_eq!(first.x.indices, again.x.indices);
        assert_eq!((&first.obs, &first.var), (&again.obs, &again.var));
        assert_ne!(bits(&first), bits(&simulate(species, 8).unwrap()));
    }
}

#[test]
fn the_matrix_is_well_formed_counts() {
    for species in SPECIES {
        let cells = simulate(species, 1).unwrap();
        assert_eq!((cells.x.n_rows, cells.x.n_cols), (960, cells.n_var()));
        assert_eq!(cells.x.indptr.len(), 961);
        assert_eq!((cells.n_obs(), cells.n_var()), (960, demo_genes(species).unwrap().len()));
        assert!(cells.x.data.iter().all(|&value| value >= 1.0 && value.fract() == 0.0));
        for row in 0..960 {
            let (indices, _) = cells.x.row(row);
            assert!(indices.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(indices.len() > 60, "cell {row} expresses only {} genes", indices.len());
        }
    }
}

#[test]
fn types_and_donors_have_their_shares() {
    let cells = simulate(Species::Mouse, 1).unwrap();
    let mut counts = [0usize; 8];
    labels(&cells).into_iter().for_each(|label| counts[label] += 1);
    for (kind, count) in CELL_TYPES.iter().zip(counts) {
        assert!((count as f64 - 960.0 * kind.share).abs() <= 1.0, "{}: {count}", kind.name);
    }
    let majority = *counts.iter().max().unwrap() as f64 / 960.0;
    assert!((0.25..=0.30).contains(&majority), "{majority}");
    let mut seen = HashMap::new();
    for (row, label) in labels(&cells).into_iter().enumerate() {
        *seen.entry((label, cells.obs.column("donor").unwrap().text(row))).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 16, "both donors hold every type");
    let Some(Column::Categorical { categories, .. }) = cells.obs.column("donor") else {
        panic!("donor is not categorical");
    };
    assert_eq!(categories, &["donor_1", "donor_2"]);
}

#[test]
fn markers_are_up_in_their_type() {
    for species in SPECIES {
        let cells = simulate(species, 3).unwrap();
        let (rows, labels) = (log_normalised(&cells), labels(&cells));
        let means: Vec<Vec<f64>> = (0..8)
            .map(|kind| {
                let own = rows.iter().zip(&labels).filter(|(_, label)| **label == kind);
                mean_rows(own.map(|(row, _)| row), cells.n_var())
            })
            .collect();
        let (mut up, mut markers) = (0, 0);
        for (at, gene) in demo_genes(species).unwrap().iter().enumerate() {
            let types = gene.marker_of();
            for &kind in &types {
                let elsewhere = (0..8)
                    .filter(|other| !types.contains(other) && gene.programme.level(*other) == 0.0);
                let highest = elsewhere.map(|other| means[other][at]).fold(0.0, f64::max);
                markers += 1;
                up += usize::from(means[kind][at] > highest);
            }
        }
        // A fold change is drawn per gene, so a few markers are poor, as in tissue.
        assert!(up as f64 >= 0.93 * f64::from(markers), "{species}: {up} of {markers}");
    }
}

#[test]
fn housekeeping_counts_are_overdispersed_as_documented() {
    // Without identity, ambient, batch, depth and dropout, what is left is the negative binomial.
    let pure = Parameters {
        cells: 4000,
        median_counts: [2000.0; 2],
        counts_sigma: 0.0,
        batch_sigma: 0.0,
        identity: [1e6, 1e-3],
        ambient: [1e-3, 1e6],
        dropout_midpoint: 1e-9,
        ..Parameters::default()
    };
    let cells = simulate_with(Species::Mouse, 5, &pure).unwrap();
    let (labels, genes) = (labels(&cells), demo_genes(Species::Mouse).unwrap());
    let betas: Vec<usize> = (0..cells.n_obs()).filter(|&row| labels[row] == 1).collect();
    let (mut sum, mut number) = (0.0, 0.0);
    for (at, gene) in genes.iter().enumerate() {
        if gene.programme != screader::demo::Programme::Ribosome {
            continue;
        }
        let counts: Vec<f64> = betas
            .iter()
            .map(|&row| {
                let (indices, data) = cells.x.row(row);
                indices.binary_search(&(at as u32)).map_or(0.0, |place| f64::from(data[place]))
            })
            .collect();
        let mean = counts.iter().sum::<f64>() / counts.len() as f64;
        let variance =
            counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / (counts.len() - 1) as f64;
        assert!(variance > 1.5 * mean, "{}: {mean} {variance}", gene.symbol);
        sum += (variance - mean) / (mean * mean);
        number += 1.0;
    }
    // φ = 0.3; varying stress and mitochondrial activity moves every share a little.
    let dispersion = sum / number;
    assert!((0.26..0.40).contains(&dispersion), "{dispersion}");
}

#[test]
fn the_second_donor_is_shallower_and_male() {
    let cells = simulate(Species::Human, 2).unwrap();
    let xist = cells.var.index.iter().position(|name| name == "XIST").unwrap() as u32;
    let (mut depth, mut xists) = ([0.0; 2], [0.0; 2]);
    for row in 0..cells.n_obs() {
        let donor = cells.obs.column("donor").unwrap().text(row).unwrap();
        let donor = usize::from(donor == "donor_2");
        let (indices, data) = cells.x.row(row);
        depth[donor] += f64::from(data.iter().sum::<f32>());
        xists[donor] += indices.binary_search(&xist).map_or(0.0, |place| f64::from(data[place]));
    }
    assert!(depth[1] < 0.85 * depth[0], "{depth:?}");
    assert!(xists[0] > 100.0 && xists[1] == 0.0, "{xists:?}");
}

#[test]
fn a_simple_classifier_is_good_and_not_perfect() {
    for species in SPECIES {
        let cells = simulate(species, 1).unwrap();
        let (rows, labels) = (log_normalised(&cells), labels(&cells));
        // Every fifth cell is held out; the order of cells is random.
        let centroids: Vec<Vec<f64>> = (0..8)
            .map(|kind| {
                let own = (0..rows.len()).filter(|row| row % 5 != 0 && labels[*row] == kind);
                mean_rows(own.map(|row| &rows[row]), cells.n_var())
            })
            .collect();
        let distance =
            |row: &[f64], to: &[f64]| row.iter().zip(to).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        let held: Vec<usize> = (0..rows.len()).filter(|row| row % 5 == 0).collect();
        let right = held.iter().filter(|&&row| {
            let nearest = (0..8).min_by(|&a, &b| {
                distance(&rows[row], &centroids[a]).total_cmp(&distance(&rows[row], &centroids[b]))
            });
            nearest == Some(labels[row])
        });
        let accuracy = right.count() as f64 / held.len() as f64;
        assert!((0.80..0.985).contains(&accuracy), "{species}: {accuracy}");
    }
}

#[test]
fn meaningless_parameters_are_refused_by_name() {
    let cases = [
        ("dispersion", Parameters { dispersion: -1.0, ..Parameters::default() }),
        ("batch_sigma", Parameters { batch_sigma: f64::NAN, ..Parameters::default() }),
        ("fold_change", Parameters { fold_change: 0.0, ..Parameters::default() }),
        ("ambient", Parameters { ambient: [0.0, 1.0], ..Parameters::default() }),
    ];
    for (name, parameters) in cases {
        let error = simulate_with(Species::Mouse, 0, &parameters).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}
