//! Description table to embedding table, embedding only the texts that have no vector yet.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use indicatif::ProgressBar;

use super::journal::Journal;
use super::metadata::{EmbeddingMetadata, MissingText};
use super::table::{EmbeddingTable, text_sha256};
use super::{TextEmbedder, check_vectors};
use crate::cells::Dense;
use crate::genes::{Description, DescriptionTable};
use crate::{Error, Result};

/// Makes the embedding table of a description table.
pub struct TableBuilder<'a> {
    descriptions: &'a DescriptionTable,
    embedder: &'a dyn TextEmbedder,
    missing: MissingText,
    /// Vectors that are here already, by the sha256 of their text.
    known: HashMap<String, Vec<f32>>,
    journal: Option<Journal>,
}

impl<'a> TableBuilder<'a> {
    /// Begin with nothing known.
    pub fn new(
        descriptions: &'a DescriptionTable,
        embedder: &'a dyn TextEmbedder,
        missing: MissingText,
    ) -> Self {
        Self { descriptions, embedder, missing, known: HashMap::new(), journal: None }
    }

    /// Take the vectors of an earlier table where the text is the same; the result is how many it
    /// had. A table of another provider, model, dimension or of standardised values has none.
    pub fn reuse(&mut self, table: &EmbeddingTable) -> usize {
        let made = &table.metadata;
        let dimension = self.embedder.requested_dimensions().or(self.embedder.dimensions());
        let same = made.provider == self.embedder.name()
            && made.model == self.embedder.model()
            && made.weights_sha256.as_deref() == self.embedder.weights_sha256()
            && dimension.is_none_or(|dimension| dimension == table.embeddings.n_cols)
            && !made.standardised;
        if !same {
            return 0;
        }
        let vectors = table.vectors_by_text();
        let count = vectors.len();
        self.known.extend(vectors.into_iter().map(|(hash, row)| (hash.to_owned(), row.to_vec())));
        count
    }

    /// Keep finished vectors in a journal beside the table `out`, and take those that an
    /// interrupted run left there; the result is how many of this table's texts it had.
    ///
    /// # Errors
    /// A journal of another model, or one that cannot be written.
    pub fn journal_beside(&mut self, out: &Path) -> Result<usize> {
        let journal = Journal::open(&Journal::beside(out), self.embedder)?;
        let mut found = 0;
        for text in self.texts_to_embed() {
            if let Some(vector) = journal.get(&text) {
                self.known.insert(text_sha256(&text), vector.clone());
                found += 1;
            }
        }
        self.journal = Some(journal);
        Ok(found)
    }

    /// The distinct texts without a vector, in the order of the table.
    pub fn texts_to_embed(&self) -> Vec<String> {
        let mut seen = HashSet::new();
        let texts = self.descriptions.genes.iter().filter_map(text);
        texts
            .filter(|&text| !self.known.contains_key(&text_sha256(text)) && seen.insert(text))
            .map(str::to_owned)
            .collect()
    }

    /// How many genes have no text.
    pub fn genes_without_text(&self) -> usize {
        self.descriptions.genes.iter().filter(|gene| text(gene).is_none()).count()
    }

    /// Embed what is left and make the table.
    ///
    /// # Errors
    /// Those of the embedder, vectors of several lengths, and a table in which no gene has a text.
    pub fn build(mut self, progress: &ProgressBar) -> Result<BuiltTable> {
        let texts = self.texts_to_embed();
        for batch in texts.chunks(self.embedder.batch_size().max(1)) {
            let vectors = self.embedder.embed(batch, progress)?;
            check_vectors(self.embedder, batch.len(), &vectors)?;
            if let Some(journal) = &mut self.journal {
                journal.append(batch, &vectors)?;
            }
            let hashes = batch.iter().map(|text| text_sha256(text));
            self.known.extend(hashes.zip(vectors));
        }
        let table = self.assemble()?;
        Ok(BuiltTable { table, embedded: texts.len(), journal: self.journal })
    }

    fn assemble(&self) -> Result<EmbeddingTable> {
        let genes = self.descriptions.genes.iter();
        let kept: Vec<(&Description, Option<String>)> = genes
            .map(|gene| (gene, text(gene).map(text_sha256)))
            .filter(|(_, hash)| hash.is_some() || self.missing != MissingText::Drop)
            .collect();
        let vector = |hash: &Option<String>| hash.as_ref().and_then(|hash| self.known.get(hash));
        let rows: Vec<&Vec<f32>> = kept.iter().filter_map(|(_, hash)| vector(hash)).collect();
        let Some(width) = rows.first().map(|row| row.len()) else {
            return Err(Error::input(
                "the description table",
                "at least one gene with a text",
                format!("{} genes without", self.descriptions.genes.len()),
                "build it again with `screader genes build`",
            ));
        };
        if let Some(other) = rows.iter().find(|row| row.len() != width) {
            return Err(Error::input(
                format!("{} {}", self.embedder.name(), self.embedder.model()),
                format!("vectors of one length, {width}"),
                other.len(),
                "name the length with --dimensions, or remove the earlier table",
            ));
        }
        let stand_in = match self.missing {
            MissingText::SpeciesMean => mean(&rows, width),
            MissingText::Zeros | MissingText::Drop => vec![0.0; width],
        };
        let values =
            kept.iter().flat_map(|(_, hash)| vector(hash).unwrap_or(&stand_in)).copied().collect();
        let template = self.descriptions.made_with.get("template").cloned().unwrap_or_default();
        Ok(EmbeddingTable {
            embeddings: Dense { n_rows: kept.len(), n_cols: width, values },
            metadata: EmbeddingMetadata {
                species: self.descriptions.species.to_string(),
                provider: self.embedder.name().to_owned(),
                model: self.embedder.model().to_owned(),
                weights_sha256: self.embedder.weights_sha256().map(str::to_owned),
                template,
                missing: self.missing,
                text_sha256: kept.iter().map(|(_, hash)| hash.clone()).collect(),
                standardised: false,
            },
            genes: kept.into_iter().map(|(gene, _)| gene.names.clone()).collect(),
        })
    }
}

/// A finished table, whose journal is removed once the table is on disk.
pub struct BuiltTable {
    /// The table.
    pub table: EmbeddingTable,
    /// How many texts were embedded for it; the vectors of the others were here already.
    pub embedded: usize,
    journal: Option<Journal>,
}

impl BuiltTable {
    /// Write the table, then remove its journal.
    ///
    /// # Errors
    /// A folder that cannot be written to; the journal then stays.
    pub fn write(self, path: &Path) -> Result<()> {
        self.table.write(path)?;
        self.journal.map_or(Ok(()), Journal::remove)
    }
}

/// The text of a gene; white space is none.
fn text(gene: &Description) -> Option<&str> {
    (!gene.text.trim().is_empty()).then_some(gene.text.as_str())
}

/// Mean of rows in f64.
fn mean(rows: &[&Vec<f32>], width: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f64; width];
    for row in rows {
        sum.iter_mut().zip(*row).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    sum.into_iter().map(|sum| (sum / rows.len() as f64) as f32).collect()
}
