//! GenePT-s (Chen and Zou 2024): a cell is the embedding of the sentence of its genes' names.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::cells::CsrMatrix;
use crate::{Error, Result};

/// Settings of the cell sentences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GenePtSConfig {
    /// What a sentence begins with.
    pub prefix: String,
    /// Genes of a sentence at most. The authors take 1000, for an embedder that reads 8191 tokens. MiniLM
    /// reads 256, and a gene's symbol is seldom less than two.
    pub genes: usize,
}

impl Default for GenePtSConfig {
    fn default() -> Self {
        Self { prefix: "A cell with genes ranked by expression: ".to_owned(), genes: 128 }
    }
}

/// Write each cell as a sentence: the prefix, then the names of its genes by falling expression, with a
/// space between. Genes of equal expression come in the order of the columns; what is not expressed is
/// left out. A cell that expresses nothing becomes the empty text.
///
/// `matrix_log` is log1p-CP10k, `[cells, genes]`, and `names` the name of each column.
///
/// # Errors
/// [`Error::Input`] if there is not a name for each column, or no gene is asked for.
pub fn cell_sentences(
    matrix_log: &CsrMatrix,
    names: &[String],
    config: &GenePtSConfig,
) -> Result<Vec<String>> {
    if names.len() != matrix_log.n_cols || config.genes == 0 {
        return Err(Error::input(
            "cell sentences",
            format!("a name for each of {} columns, and genes above 0", matrix_log.n_cols),
            format!("{} names, and {} genes", names.len(), config.genes),
            "name the genes of this very matrix",
        ));
    }
    let sentence = |cell: usize| {
        let (columns, values) = matrix_log.row(cell);
        let mut expressed: Vec<(f32, u32)> = (values.iter().copied().zip(columns.iter().copied()))
            .filter(|(value, _)| *value > 0.0)
            .collect();
        expressed.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        expressed.truncate(config.genes);
        if expressed.is_empty() {
            return String::new();
        }
        let symbols: Vec<&str> =
            expressed.iter().map(|&(_, column)| names[column as usize].as_str()).collect();
        format!("{}{}", config.prefix, symbols.join(" "))
    };
    Ok((0..matrix_log.n_rows).into_par_iter().map(sentence).collect())
}
