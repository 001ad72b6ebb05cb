//! The embedding table: one vector a gene, as a safetensors file that knows what it was made from.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::metadata::{EmbeddingMetadata, not_ours};
use crate::cells::{Dense, Frame};
use crate::genes::{FrameMatch, GeneMatch, GeneMatcher, GeneNames, Species, check_species};
use crate::whole_file::{begin, put};
use crate::{Error, Result};

/// The one tensor of the file.
const TENSOR: &str = "embeddings";

/// One vector for each gene.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingTable {
    /// The genes, in the order of the rows.
    pub genes: Vec<GeneNames>,
    /// The vectors, `[genes, dimension]`.
    pub embeddings: Dense,
    /// What the table was made from.
    pub metadata: EmbeddingMetadata,
}

#[derive(Serialize)]
struct Header<'a> {
    #[serde(rename = "__metadata__")]
    metadata: BTreeMap<String, String>,
    #[serde(rename = "embeddings")]
    tensor: TensorHeader<'a>,
}

#[derive(Serialize)]
struct TensorHeader<'a> {
    dtype: &'a str,
    shape: [usize; 2],
    data_offsets: [usize; 2],
}

impl EmbeddingTable {
    /// Read a table.
    ///
    /// # Errors
    /// A file that is not there, is no safetensors file, or misses one of the metadata; a tensor
    /// that is not f32, `[genes, dimension]` and finite.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(Error::io(path, "read"))?;
        Self::from_bytes(&bytes, path)
    }

    /// Read a table from memory; `path` names it in errors.
    ///
    /// # Errors
    /// As [`EmbeddingTable::read`].
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        let (_, header) =
            SafeTensors::read_metadata(bytes).map_err(|error| not_ours(path, "header", error))?;
        let texts = header.metadata().clone().unwrap_or_default().into_iter().collect();
        let (genes, metadata) = EmbeddingMetadata::from_texts(path, &texts)?;
        let tensors =
            SafeTensors::deserialize(bytes).map_err(|error| not_ours(path, "header", error))?;
        let tensor = tensors.tensor(TENSOR).map_err(|error| not_ours(path, TENSOR, error))?;
        let (n_rows, n_cols) = match (tensor.dtype(), tensor.shape()) {
            (Dtype::F32, &[rows, columns]) if columns > 0 => (rows, columns),
            (dtype, shape) => {
                return Err(not_ours(path, TENSOR, format!("{dtype:?} of shape {shape:?}")));
            }
        };
        let lengths = [("genes", genes.len()), ("text_sha256", metadata.text_sha256.len())];
        for (key, length) in lengths {
            if length != n_rows {
                let found = format!("{length} entries beside {n_rows} rows");
                return Err(not_ours(path, key, found));
            }
        }
        let values: Vec<f32> = tensor
            .data()
            .chunks_exact(4)
            .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
            .collect();
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let found = format!("{} for {}", values[at], genes[at / n_cols].symbol);
            return Err(not_ours(path, TENSOR, found));
        }
        Ok(Self { genes, embeddings: Dense { n_rows, n_cols, values }, metadata })
    }

    /// Find the genes of a data set in the table; `place` names the data set in errors.
    ///
    /// # Errors
    /// Genes that are evidently of another species, or of which a smaller share than `minimum` was found.
    pub fn find(&self, var: &Frame, minimum: f64, place: &str) -> Result<GeneMatch> {
        let FrameMatch { names, genes, .. } = GeneMatcher::new(&self.genes).match_frame(var);
        match self.metadata.species.parse::<Species>() {
            Ok(species) => check_species(place, &names, species, &genes.coverage, minimum)?,
            // A table that was joined from two species is of neither.
            Err(_) => genes.coverage.require(minimum, place)?,
        }
        Ok(genes)
    }

    /// Write the table, whole or not at all. The same table gives the same bytes.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let mut file = begin(path)?;
        let header =
            self.header().map_err(std::io::Error::from).map_err(Error::io(path, "write"))?;
        let data: Vec<u8> =
            self.embeddings.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let written = file
            .write_all(&(header.len() as u64).to_le_bytes())
            .and_then(|()| file.write_all(&header))
            .and_then(|()| file.write_all(&data));
        written.map_err(Error::io(path, "write"))?;
        put(file, path)
    }

    // The safetensors crate keeps metadata in a hash map, whose order differs from run to run; the
    // header is therefore made here, with its keys sorted.
    fn header(&self) -> std::result::Result<Vec<u8>, serde_json::Error> {
        let Dense { n_rows, n_cols, .. } = self.embeddings;
        let header = Header {
            metadata: self.metadata.to_texts(&self.genes, n_cols)?,
            tensor: TensorHeader {
                dtype: "F32",
                shape: [n_rows, n_cols],
                data_offsets: [0, n_rows * n_cols * size_of::<f32>()],
            },
        };
        let mut bytes = serde_json::to_vec(&header)?;
        // The format wants the tensors aligned to 8 bytes.
        bytes.resize(bytes.len().next_multiple_of(8), b' ');
        Ok(bytes)
    }

    /// Hash the genes' names and vectors (sha256, hexadecimal): two tables with the same hash make
    /// the same input of a network.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update((self.embeddings.n_rows as u64).to_le_bytes());
        hash.update((self.embeddings.n_cols as u64).to_le_bytes());
        for gene in &self.genes {
            hash.update(gene.symbol.as_bytes());
            hash.update([0]);
            hash.update(gene.ensembl.as_deref().unwrap_or_default().as_bytes());
            hash.update([0]);
        }
        for value in &self.embeddings.values {
            hash.update(value.to_le_bytes());
        }
        hexadecimal(&hash.finalize())
    }

    /// Bring every dimension to mean 0 and variance 1 over the genes that have a text; the rows of
    /// the others become 0, which then is the mean. A dimension that never varies becomes 0.
    pub fn standardised(&self) -> Self {
        let width = self.embeddings.n_cols;
        let with_text = || {
            let rows = self.embeddings.values.chunks_exact(width);
            rows.zip(&self.metadata.text_sha256).filter(|(_, hash)| hash.is_some())
        };
        let count = with_text().count().max(1) as f64;
        let mut mean = vec![0.0_f64; width];
        for (row, _) in with_text() {
            mean.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        mean.iter_mut().for_each(|sum| *sum /= count);
        let mut variance = vec![0.0_f64; width];
        for (row, _) in with_text() {
            for ((sum, mean), &value) in variance.iter_mut().zip(&mean).zip(row) {
                *sum += (f64::from(value) - mean).powi(2) / count;
            }
        }
        // f32 cannot tell the values of a dimension apart below this share of their mean; and a dimension
        // that hardly varies beside the others (MiniLM has three) is rounding, which would be blown up.
        let largest = variance.iter().copied().fold(0.0, f64::max).sqrt();
        let constant =
            |mean: f64, variance: f64| variance.sqrt() <= (1e-7 * mean.abs()).max(1e-5 * largest);
        let mut table = self.clone();
        table.metadata.standardised = true;
        let rows = table.embeddings.values.chunks_exact_mut(width);
        for (row, hash) in rows.zip(&self.metadata.text_sha256) {
            for ((value, &mean), &variance) in row.iter_mut().zip(&mean).zip(&variance) {
                *value = match hash {
                    Some(_) if !constant(mean, variance) => {
                        ((f64::from(*value) - mean) / variance.sqrt()) as f32
                    }
                    _ => 0.0,
                };
            }
        }
        table
    }

    /// The vectors by the hash of their text, for a rerun that embeds only what changed.
    pub fn vectors_by_text(&self) -> HashMap<&str, &[f32]> {
        let rows = self.embeddings.values.chunks_exact(self.embeddings.n_cols);
        let hashed = rows.zip(&self.metadata.text_sha256);
        hashed.filter_map(|(row, hash)| Some((hash.as_deref()?, row))).collect()
    }
}

/// The sha256 of a text, in hexadecimal.
pub fn text_sha256(text: &str) -> String {
    hexadecimal(&Sha256::digest(text.as_bytes()))
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
