//! Reads the tensors of a published BERT checkpoint, each checked by name and shape.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};

use crate::{Error, Result};

/// Tensors that published BERT encoders carry and a sentence encoder does not use.
const UNUSED: [&str; 3] = ["embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias"];

/// A `model.safetensors` file, mapped into memory.
pub(super) struct WeightsFile {
    path: PathBuf,
    map: Mmap,
}

/// The tensors of a [`WeightsFile`], which remembers what was taken.
pub(super) struct Weights<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
    prefix: &'static str,
    taken: BTreeSet<String>,
}

impl WeightsFile {
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        let io = |source| Error::Io { path: path.clone(), source };
        let file = File::open(&path).map_err(io)?;
        // SAFETY: the map is read-only and private to this loader; as with every reader of mapped
        // weights, another process that truncates the file meanwhile would end this one.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        Ok(Self { path, map })
    }

    /// The whole file.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    pub(super) fn tensors(&self) -> Result<Weights<'_>> {
        let tensors = SafeTensors::deserialize(&self.map).map_err(|error| Error::Checkpoint {
            path: self.path.clone(),
            key: "header".to_owned(),
            expected: "a safetensors file".to_owned(),
            found: error.to_string(),
        })?;
        // Checkpoints of a whole BERT, with its heads, name the encoder `bert`.
        let prefix = match tensors.tensor("bert.embeddings.word_embeddings.weight") {
            Ok(_) => "bert.",
            Err(_) => "",
        };
        Ok(Weights { path: &self.path, tensors, prefix, taken: BTreeSet::new() })
    }
}

impl Weights<'_> {
    /// Take one tensor as f32, row by row.
    ///
    /// # Errors
    /// A missing tensor, a shape other than `shape`, or a type that is not a float.
    pub(super) fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let key = format!("{}{name}", self.prefix);
        let refuse = |expected: String, found: String| Error::Checkpoint {
            path: self.path.to_path_buf(),
            key: key.clone(),
            expected,
            found,
        };
        let view = self
            .tensors
            .tensor(&key)
            .map_err(|_| refuse(format!("a tensor of shape {shape:?}"), "no such tensor".into()))?;
        if view.shape() != shape {
            return Err(refuse(format!("shape {shape:?}"), format!("shape {:?}", view.shape())));
        }
        let bytes = view.data();
        let pairs = || bytes.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
        let values = match view.dtype() {
            Dtype::F32 => bytes
                .chunks_exact(4)
                .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
                .collect(),
            Dtype::F16 => pairs().map(|pair| f16::from_le_bytes(pair).to_f32()).collect(),
            Dtype::BF16 => pairs().map(|pair| bf16::from_le_bytes(pair).to_f32()).collect(),
            other => return Err(refuse("F32, F16 or BF16".into(), format!("{other:?}"))),
        };
        self.taken.insert(key);
        Ok(values)
    }

    /// Refuse the file if it holds a tensor of the encoder that nobody took.
    pub(super) fn finish(self) -> Result<()> {
        let left = self.tensors.names().into_iter().find(|&name| {
            let own = name.strip_prefix(self.prefix).unwrap_or_default();
            let head = !self.prefix.is_empty() && !name.starts_with(self.prefix);
            !head && !self.taken.contains(name) && !UNUSED.contains(&own)
        });
        match left {
            None => Ok(()),
            Some(name) => Err(Error::Checkpoint {
                path: self.path.to_path_buf(),
                key: name.to_owned(),
                expected: "only the tensors that config.json asks for".to_owned(),
                found: "one more".to_owned(),
            }),
        }
    }
}
