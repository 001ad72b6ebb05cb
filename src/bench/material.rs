//! What a comparison is made on: labelled cells, what is known of their genes, and the network to judge.

use sha2::{Digest, Sha256};

use crate::backbone::Backbone;
use crate::cells::{CsrMatrix, MatrixState, log1p_cp10k};
use crate::config::Config;
use crate::embed::EmbeddingTable;
use crate::train::labelled::Labelled;
use crate::{Error, Result};

/// Everything that the trials of a comparison share.
pub struct Material {
    /// Cells to learn from, and in most settings to be judged on.
    pub source: Labelled,
    /// Cells of another file to be judged on, in `cross-species` and `cross-batch`.
    pub target: Option<Target>,
    /// Gene embeddings, those of the target's own genes appended.
    pub table: EmbeddingTable,
    /// Settings of screader and its controls.
    pub config: Config,
    /// The backbone to judge.
    pub backbone: Backbone,
}

/// Cells of another file, and the ways in which their genes can be found in the gene table.
pub struct Target {
    /// The cells; their `gene_rows` are those of the first way.
    pub cells: Labelled,
    /// Each way: what it is called, and the row of the gene table of each gene.
    pub ways: Vec<(String, Vec<Option<u32>>)>,
}

impl Material {
    /// A hash of cells, labels and gene embeddings.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for labelled in [Some(&self.source), self.target.as_ref().map(|target| &target.cells)] {
            let Some(labelled) = labelled else { continue };
            hash.update(labelled.names.join("\n"));
            hash.update(labelled.classes.join("\n"));
            hash.update(format!("{:?} {:?}", labelled.labels, labelled.matrix_name));
            labelled.matrix.indices.iter().for_each(|column| hash.update(column.to_le_bytes()));
            labelled.matrix.data.iter().for_each(|value| hash.update(value.to_le_bytes()));
        }
        format!("{:x} {}", hash.finalize(), self.table.fingerprint())
    }
}

/// Some cells as a method may see them.
pub struct Visible {
    /// log1p-CP10k expression, `[cells, genes]`, genes out of sight empty.
    pub expression: CsrMatrix,
    /// Counts, where the file has them.
    pub counts: Option<CsrMatrix>,
}

impl Labelled {
    /// The cells `rows` with only the genes that `sight` shows (all without it). Where the file holds
    /// counts, a cell is normalised over what is in sight, as a panel of those genes would have it.
    ///
    /// # Errors
    /// Values that cannot be normalised.
    pub fn visible(&self, rows: &[usize], sight: Option<&[bool]>) -> Result<Visible> {
        let is_counts = self.state == MatrixState::Counts;
        let Some(sight) = sight else {
            let counts = is_counts.then(|| self.matrix.select_rows(rows));
            return Ok(Visible { expression: self.expression.select_rows(rows), counts });
        };
        let matrix = self.matrix.select_rows(rows).only_columns(sight);
        let expression = log1p_cp10k(&matrix, self.state)?;
        Ok(Visible { expression, counts: is_counts.then_some(matrix) })
    }
}

impl EmbeddingTable {
    /// Append the genes of another species: both species' texts are points of one space.
    ///
    /// # Errors
    /// [`Error::Input`] if the two tables are not made by the same model.
    pub fn joined(&self, other: &Self) -> Result<Self> {
        let made_by = |table: &Self| {
            let made = &table.metadata;
            format!("{} {} of {} dimensions", made.provider, made.model, table.embeddings.n_cols)
        };
        if made_by(self) != made_by(other) {
            return Err(Error::input(
                "--test-genes",
                format!("a table made by {}", made_by(self)),
                made_by(other),
                "embed both species with the same model",
            ));
        }
        let mut joined = self.clone();
        joined.genes.extend(other.genes.iter().cloned());
        joined.embeddings.values.extend_from_slice(&other.embeddings.values);
        joined.embeddings.n_rows += other.embeddings.n_rows;
        joined.metadata.text_sha256.extend(other.metadata.text_sha256.iter().cloned());
        joined.metadata.species = format!("{}+{}", self.metadata.species, other.metadata.species);
        Ok(joined)
    }
}
