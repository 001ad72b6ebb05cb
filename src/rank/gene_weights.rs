//! What each gene by itself says of a cell's type: logistic regression's weights, beside the network that
//! reads text.

use serde::{Deserialize, Serialize};

use super::measured::MeasuredCells;
use crate::Result;
use crate::baselines::{LogisticConfig, SelectedRegression, SelectionConfig};
use crate::cells::Dense;

/// Least log-probability that is said of a type: weights of a few thousand cells rule nothing out.
const LEAST: f32 = -14.0;

/// A weight for each gene and type, learned of the training cells. A gene that they did not have has none:
/// of it, only its text tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneWeights {
    /// Rows of the gene table, rising.
    genes: Vec<u32>,
    /// Weights, row by row, `[genes, classes]`.
    weights: Vec<f32>,
    /// Score of each class where every gene stands at its mean.
    intercepts: Vec<f32>,
}

impl GeneWeights {
    /// Learn from `cells` and their classes, all of them below `n_classes`, as the baseline of the comparison does:
    /// genes that tell no class apart get no weight.
    ///
    /// # Errors
    /// Those of [`SelectedRegression::fit`], as fewer than two classes.
    pub fn fit(cells: &MeasuredCells, labels: &[usize], n_classes: usize) -> Result<Self> {
        let (selection, config) = (SelectionConfig::default(), LogisticConfig::default());
        let expression = cells.expression();
        let model = SelectedRegression::fit(expression, labels, n_classes, &selection, &config)?;
        let mut scores = model.regression.intercepts;
        let mut all = vec![0f32; cells.genes.len() * n_classes];
        let rows = model.regression.weights.values.chunks_exact(n_classes);
        for (&column, weights) in model.genes.iter().zip(rows) {
            all[column * n_classes..(column + 1) * n_classes].copy_from_slice(weights);
            let mean = f64::from(cells.means()[column]);
            let both = scores.iter_mut().zip(weights);
            both.for_each(|(score, weight)| *score += mean * f64::from(*weight));
        }
        // A class without a training cell has none; JSON knows no infinity.
        let intercepts = scores.into_iter().map(|score| score.max(-1e6) as f32).collect();
        Ok(Self { genes: cells.genes.clone(), weights: all, intercepts })
    }

    /// Logarithm of each type's probability, `[cells, classes]`; nothing where none of the measured genes
    /// has weights.
    pub fn log_probabilities(&self, cells: &MeasuredCells) -> Option<Dense> {
        let start: Vec<f64> = self.intercepts.iter().map(|&score| score.into()).collect();
        let table = (&self.genes[..], &self.weights[..]);
        let rows = cells.weighted_sums(table, &start, log_softmax)?;
        Some(Dense { n_rows: cells.n_cells(), n_cols: start.len(), values: rows.concat() })
    }
}

fn log_softmax(scores: &[f64]) -> Vec<f32> {
    let peak = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let norm = peak + scores.iter().map(|score| (score - peak).exp()).sum::<f64>().ln();
    scores.iter().map(|score| ((score - norm) as f32).max(LEAST)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::LogisticRegression;
    use crate::cells::CsrMatrix;
    use crate::rank::GeneSpread;

    /// Twelve cells of three classes, five genes; gene 3 + class is up.
    fn cells() -> (CsrMatrix, Vec<usize>, Vec<Option<u32>>) {
        let labels: Vec<usize> = (0..12).map(|cell| cell % 3).collect();
        let (mut indptr, mut indices, mut data) = (vec![0], Vec::new(), Vec::new());
        for (cell, label) in labels.iter().enumerate() {
            for gene in 0..5 {
                let up = if gene == *label { 2.0 } else { 0.0 };
                let value = up + ((cell * 7 + gene * 3) % 5) as f32 / 4.0;
                if value > 0.0 {
                    indices.push(gene as u32);
                    data.push(value);
                }
            }
            indptr.push(indices.len());
        }
        let matrix = CsrMatrix { n_rows: 12, n_cols: 5, indptr, indices, data };
        (matrix, labels, (3..8).map(Some).collect())
    }

    #[test]
    fn the_probabilities_are_logistic_regressions() {
        let (matrix, labels, rows) = cells();
        let spread = GeneSpread::fit(&matrix, &rows).unwrap();
        let measured = MeasuredCells::new(&matrix, &rows, &spread).unwrap();
        let weights = GeneWeights::fit(&measured, &labels, 3).unwrap();
        let said = weights.log_probabilities(&measured).unwrap();
        let model =
            LogisticRegression::fit(&matrix, &labels, 3, &LogisticConfig::default()).unwrap();
        let expected = model.predict(&matrix).unwrap().probabilities;
        for (log, probability) in said.values.iter().zip(&expected.values) {
            assert!((log.exp() - probability).abs() < 1e-4, "{} against {probability}", log.exp());
        }
    }

    #[test]
    fn a_gene_that_is_not_measured_stands_at_its_mean_and_without_genes_nothing_is_said() {
        let (matrix, labels, rows) = cells();
        let spread = GeneSpread::fit(&matrix, &rows).unwrap();
        let all = MeasuredCells::new(&matrix, &rows, &spread).unwrap();
        let weights = GeneWeights::fit(&all, &labels, 3).unwrap();
        let few: Vec<Option<u32>> = vec![Some(3), None, None, None, None];
        let spread = spread.among(&few).unwrap();
        let measured = MeasuredCells::new(&matrix, &few, &spread).unwrap();
        let said = weights.log_probabilities(&measured).unwrap();
        // The one gene left tells its own type from the others, which it cannot tell apart by name alone.
        let row = |cell: usize| &said.values[cell * 3..(cell + 1) * 3];
        assert!(row(0)[0] > row(1)[0] && row(0)[0] > row(2)[0]);
        let none: Vec<Option<u32>> = vec![Some(90), None, None, None, None];
        let own = GeneSpread::fit(&matrix, &none).unwrap();
        let unknown = MeasuredCells::new(&matrix, &none, &own).unwrap();
        assert_eq!(weights.log_probabilities(&unknown), None);
    }
}
