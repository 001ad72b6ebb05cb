//! How far a cell lies from every type that was learned: what a classifier's confidence does not say of a cell of
//! another type, which looks most like one of those it knows.

use serde::{Deserialize, Serialize};

use super::measured::MeasuredCells;
use crate::Result;
use crate::prep::{N_COMPS, pca, symmetric_eigenpairs};

/// Part of the mean variance within types that is added to that along every component: along some of them types
/// hardly vary.
const RIDGE: f64 = 1e-3;

/// Cells beyond one a type that a component needs at least, so that what is measured of it is no chance.
const CELLS_A_COMPONENT: usize = 4;

/// Share of the genes that cells must have for their distances to be those of whole cells.
const LEAST_SHARED: f64 = 0.9;

/// The types in the space of principal components, scaled so that types vary by 1 within in every direction; the
/// distance there is Mahalanobis' with one covariance for all types (Lee, Lee, Lee and Shin 2018).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypeDistances {
    /// Rows of the gene table, rising.
    genes: Vec<u32>,
    /// What a gene's expression, less its mean, adds to the coordinates, row by row, `[genes, dimensions]`.
    axes: Vec<f32>,
    /// Coordinates of the mean cell of each type that was learned, row by row, `[types, dimensions]`.
    centres: Vec<f32>,
    /// Dimensions.
    dimensions: usize,
}

impl TypeDistances {
    /// Learn from `cells` and their classes, all of them below `n_classes`; nothing where they are too few to tell
    /// how types vary.
    ///
    /// # Errors
    /// Those of [`pca`].
    pub fn fit(cells: &MeasuredCells, labels: &[usize], n_classes: usize) -> Result<Option<Self>> {
        let mut sizes = vec![0usize; n_classes];
        labels.iter().for_each(|&class| sizes[class] += 1);
        let n_types = sizes.iter().filter(|cells| **cells > 0).count();
        let most = (labels.len() - n_types.min(labels.len())) / CELLS_A_COMPONENT;
        if most < 2 || cells.genes.len() < 3 {
            return Ok(None);
        }
        let found = pca(cells.expression(), N_COMPS.min(most))?;
        let (scores, k) = (&found.scores, found.scores.n_cols);
        let rows = || scores.values.chunks_exact(k).zip(labels);
        let mut means = vec![0f64; n_classes * k];
        for (row, &class) in rows() {
            let mean = means[class * k..].iter_mut().zip(row);
            mean.for_each(|(sum, score)| *sum += f64::from(*score) / sizes[class] as f64);
        }
        let mut within = vec![0f64; k * k];
        for (row, &class) in rows() {
            let own = means[class * k..].iter().zip(row);
            let apart: Vec<f64> = own.map(|(mean, score)| f64::from(*score) - mean).collect();
            for (line, a) in within.chunks_exact_mut(k).zip(&apart) {
                line.iter_mut().zip(&apart).for_each(|(sum, b)| *sum += a * b);
            }
        }
        let cells_within = (labels.len() - n_types) as f64;
        within.iter_mut().for_each(|sum| *sum /= cells_within);
        let ridge = RIDGE * (0..k).map(|at| within[at * k + at]).sum::<f64>() / k as f64;
        let Some((variances, directions)) = symmetric_eigenpairs(&within, k) else {
            return Ok(None);
        };
        if ridge <= 0.0 {
            return Ok(None);
        }
        // Coordinates of a point of the components along each direction, in deviations within types.
        let scaled = |point: &mut dyn Iterator<Item = f64>| -> Vec<f32> {
            let point: Vec<f64> = point.collect();
            let along = directions.iter().zip(&variances).map(|(direction, variance)| {
                let length: f64 = direction.iter().zip(&point).map(|(a, b)| a * b).sum();
                (length / (variance.max(0.0) + ridge).sqrt()) as f32
            });
            along.collect()
        };
        let of_single = |row: &[f32]| scaled(&mut row.iter().map(|&value| f64::from(value)));
        let of_type = |class: usize| scaled(&mut means[class * k..(class + 1) * k].iter().copied());
        Ok(Some(Self {
            genes: cells.genes.clone(),
            axes: found.loadings.values.chunks_exact(k).flat_map(of_single).collect(),
            centres: (0..n_classes).filter(|&class| sizes[class] > 0).flat_map(of_type).collect(),
            dimensions: k,
        }))
    }

    /// Distance of each cell from the type that is nearest; nothing where the cells lack more than a tenth of the
    /// genes, and so are no longer as far from anything as they were.
    pub fn nearest(&self, cells: &MeasuredCells) -> Option<Vec<f32>> {
        let k = self.dimensions;
        let is_known = |gene: &&u32| self.genes.binary_search(gene).is_ok();
        let known = cells.genes.iter().filter(is_known).count();
        if (known as f64) < LEAST_SHARED * self.genes.len() as f64 {
            return None;
        }
        let nearest = |point: &[f64]| {
            let from = |centre: &[f32]| -> f64 {
                centre.iter().zip(point).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum()
            };
            self.centres.chunks_exact(k).map(from).fold(f64::INFINITY, f64::min).sqrt() as f32
        };
        cells.weighted_sums((&self.genes, &self.axes), &vec![0.0; k], nearest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::CsrMatrix;
    use crate::rank::GeneSpread;

    const GENES: usize = 12;

    /// Cells of types; type `t` expresses gene `t` and the following one, and all vary a little.
    fn cells(types: &[usize], first: usize) -> CsrMatrix {
        let mut matrix = CsrMatrix {
            n_rows: types.len(),
            n_cols: GENES,
            indptr: vec![0],
            ..CsrMatrix::default()
        };
        for (cell, of_type) in types.iter().enumerate() {
            for gene in 0..GENES {
                let high = if gene == *of_type || gene == of_type + 1 { 2.0 } else { 0.3 };
                let noise = ((first + cell) * 37 + gene * 61 + cell * gene * 17) % 101;
                matrix.indices.push(gene as u32);
                matrix.data.push(high + noise as f32 / 250.0);
            }
            matrix.indptr.push(matrix.nnz());
        }
        matrix
    }

    fn rows() -> Vec<Option<u32>> {
        (5..5 + GENES as u32).map(Some).collect()
    }

    #[test]
    fn cells_of_a_type_that_was_not_learned_lie_far_from_all_that_were() {
        let labels: Vec<usize> = (0..90).map(|cell| cell % 3).collect();
        let learned = cells(&labels, 0);
        let spread = GeneSpread::fit(&learned, &rows()).unwrap();
        let measure = |matrix: &CsrMatrix| MeasuredCells::new(matrix, &rows(), &spread).unwrap();
        let distances = TypeDistances::fit(&measure(&learned), &labels, 5).unwrap().unwrap();
        // Types 3 and 4 have no cell: no centre stands for them.
        assert_eq!(distances.centres.len(), 3 * distances.dimensions);
        let known = distances.nearest(&measure(&cells(&[0, 1, 2, 0, 1, 2], 500))).unwrap();
        let new = distances.nearest(&measure(&cells(&[8, 8, 8], 700))).unwrap();
        let (farthest, nearest) = (
            known.iter().copied().fold(0.0, f32::max),
            new.iter().copied().fold(f32::MAX, f32::min),
        );
        assert!(nearest > 3.0 * farthest, "{known:?} and {new:?}");
        // Within a type, deviations of 1 in every direction.
        let own = distances.nearest(&measure(&learned)).unwrap();
        let mean = own.iter().map(|one| one * one).sum::<f32>() / own.len() as f32;
        let k = distances.dimensions as f32;
        assert!((0.7 * k..1.1 * k).contains(&mean), "{mean} in {k} dimensions");
    }

    #[test]
    fn too_few_cells_or_genes_say_nothing() {
        let labels: Vec<usize> = (0..6).map(|cell| cell % 3).collect();
        let few = cells(&labels, 0);
        let spread = GeneSpread::fit(&few, &rows()).unwrap();
        let measured = MeasuredCells::new(&few, &rows(), &spread).unwrap();
        assert_eq!(TypeDistances::fit(&measured, &labels, 3).unwrap(), None);
        let labels: Vec<usize> = (0..60).map(|cell| cell % 3).collect();
        let learned = cells(&labels, 0);
        let spread = GeneSpread::fit(&learned, &rows()).unwrap();
        let measured = MeasuredCells::new(&learned, &rows(), &spread).unwrap();
        let distances = TypeDistances::fit(&measured, &labels, 3).unwrap().unwrap();
        let few: Vec<Option<u32>> =
            (0..GENES as u32).map(|gene| (gene < 6).then_some(5 + gene)).collect();
        let spread = spread.among(&few).unwrap();
        let measured = MeasuredCells::new(&learned, &few, &spread).unwrap();
        assert_eq!(distances.nearest(&measured), None);
    }
}
