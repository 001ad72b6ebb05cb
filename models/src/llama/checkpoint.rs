//! The tensors of a checkpoint folder, memory-mapped: one safetensors file, or shards with their index.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};

use crate::{Error, Result};

/// Where one tensor lies.
#[derive(Debug, Clone)]
struct Location {
    file: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    start: usize,
    end: usize,
}

/// One mapped weight file.
struct Shard {
    path: PathBuf,
    map: Mmap,
}

/// The tensors of a folder by name; nothing is read before it is asked for.
pub(crate) struct Checkpoint {
    folder: PathBuf,
    shards: Vec<Shard>,
    tensors: BTreeMap<String, Location>,
}

impl Checkpoint {
    /// Map the weight files of a folder and read their headers.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let mut checkpoint =
            Self { folder: folder.to_path_buf(), shards: Vec::new(), tensors: BTreeMap::new() };
        for path in weight_files(folder)? {
            checkpoint.add(path)?;
        }
        Ok(checkpoint)
    }

    fn add(&mut self, path: PathBuf) -> Result<()> {
        let file = File::open(&path).map_err(Error::io(&path))?;
        // SAFETY: the map is only read, and bounds were checked against its length. A file truncated by
        // somebody else while mapped would raise SIGBUS; every reader of mapped weights accepts that in
        // return for not copying tens of gigabytes.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io(&path))?;
        let whole_file =
            |error| Error::checkpoint(&path, "(header)", "a complete safetensors file", error);
        let (header, metadata) = SafeTensors::read_metadata(&map).map_err(whole_file)?;
        let data = header + 8;
        if metadata.data_len() + data != map.len() {
            return Err(Error::checkpoint(
                &path,
                "(header)",
                format!("{} bytes of tensors", metadata.data_len()),
                format!("{} bytes", map.len().saturating_sub(data)),
            ));
        }
        let file = self.shards.len();
        for (name, info) in metadata.tensors() {
            let (start, end) = (data + info.data_offsets.0, data + info.data_offsets.1);
            let (dtype, shape) = (info.dtype, info.shape.clone());
            let location = Location { file, dtype, shape, start, end };
            if self.tensors.insert(name.clone(), location).is_some() {
                return Err(Error::checkpoint(&path, name, "one tensor of this name", "two"));
            }
        }
        self.shards.push(Shard { path, map });
        Ok(())
    }

    /// Tell whether a tensor is there.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Refuse the first tensor missing from, or not among, `expected` (names and shapes).
    ///
    /// `ignored` decides on tensors that are no weights, such as tabulated frequencies.
    pub(crate) fn check(
        &self,
        expected: &BTreeMap<String, Vec<usize>>,
        ignored: impl Fn(&str) -> bool,
    ) -> Result<()> {
        for (name, shape) in expected {
            self.find(name, shape)?;
        }
        for (name, location) in &self.tensors {
            if !expected.contains_key(name) && !ignored(name) {
                return Err(Error::checkpoint(
                    &self.shards[location.file].path,
                    name,
                    "no such tensor in this architecture",
                    format!("{:?} {:?}", location.dtype, location.shape),
                ));
            }
        }
        Ok(())
    }

    fn find(&self, name: &str, shape: &[usize]) -> Result<&Location> {
        let Some(location) = self.tensors.get(name) else {
            let expected = format!("a tensor {shape:?}");
            return Err(Error::checkpoint(&self.folder, name, expected, "nothing"));
        };
        let path = &self.shards[location.file].path;
        if location.shape != shape {
            let (expected, found) = (format!("shape {shape:?}"), format!("{:?}", location.shape));
            return Err(Error::checkpoint(path, name, expected, found));
        }
        if width(location.dtype).is_none() {
            let found = format!("{:?}", location.dtype);
            return Err(Error::checkpoint(path, name, "F32, F16 or BF16", found));
        }
        Ok(location)
    }

    /// Read a tensor of the given shape, widened to `f32`.
    pub(crate) fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let location = self.find(name, shape)?;
        let bytes = &self.shards[location.file].map[location.start..location.end];
        Ok(decode(bytes, location.dtype))
    }

    /// Read one row of a matrix `[rows, columns]`, widened to `f32`.
    pub(crate) fn read_row(&self, name: &str, shape: [usize; 2], row: usize) -> Result<Vec<f32>> {
        let location = self.find(name, &shape)?;
        let bytes = &self.shards[location.file].map[location.start..location.end];
        let row_bytes = bytes.len() / shape[0];
        Ok(decode(&bytes[row * row_bytes..(row + 1) * row_bytes], location.dtype))
    }
}

/// Name the weight files of a folder in the order of their names.
pub(crate) fn weight_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let single = folder.join("model.safetensors");
    if single.is_file() {
        return Ok(vec![single]);
    }
    let index = folder.join("model.safetensors.index.json");
    if !index.is_file() {
        return Err(Error::checkpoint(
            folder,
            "model.safetensors",
            "this file, or model.safetensors.index.json with its shards",
            "neither",
        ));
    }
    let text = std::fs::read_to_string(&index).map_err(Error::io(&index))?;
    let value: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| Error::checkpoint(&index, "(whole file)", "JSON", error))?;
    let Some(map) = value.get("weight_map").and_then(|map| map.as_object()) else {
        return Err(Error::checkpoint(&index, "weight_map", "an object", "something else"));
    };
    let mut names = std::collections::BTreeSet::new();
    for (tensor, file) in map {
        // A shard is a file of this folder: a path would let an index read anything.
        match file.as_str().filter(|name| !name.contains(['/', '\\'])) {
            Some(name) => names.insert(name),
            None => return Err(Error::checkpoint(&index, tensor, "a file name", file)),
        };
    }
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

fn width(dtype: Dtype) -> Option<usize> {
    match dtype {
        Dtype::F32 => Some(4),
        Dtype::F16 | Dtype::BF16 => Some(2),
        _ => None,
    }
}

/// Widen stored numbers; the caller has checked the type.
fn decode(bytes: &[u8], dtype: Dtype) -> Vec<f32> {
    let pairs = || bytes.chunks_exact(2).map(|b| [b[0], b[1]]);
    match dtype {
        Dtype::F16 => pairs().map(|b| f16::from_le_bytes(b).to_f32()).collect(),
        Dtype::BF16 => pairs().map(|b| bf16::from_le_bytes(b).to_f32()).collect(),
        _ => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
    }
}
