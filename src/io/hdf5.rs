//! The boundary to the HDF5 crate: this module is the only one that names it; here it reads, in `write` it
//! writes.
//!
//! Files come from strangers: every call into the crate is guarded against panics, and `array.rs`
//! checks every size that a file claims.

mod write;

use std::cell::Cell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use hdf5_pure::{
    AttrValue, Datatype, DatatypeByteOrder, FileAccessProperties, FormatError, Layout,
    MetadataCacheConfig, Source, VlenStringReadOptions,
};

use super::array::{Element, RecordField};
use super::chunks::{ChunkPlace, FileBytes};
use super::number::{Number, NumberKind};
use crate::{Error, Result};

pub(super) use write::{edit_copy, write_file};

/// An HDF5 file open for reading.
pub(super) struct Hdf5File {
    path: PathBuf,
    file: hdf5_pure::File,
    bytes: Arc<FileBytes>,
}

/// What a key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Group,
    Array,
}

/// The attributes of a group or data set.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    values: HashMap<String, AttrValue>,
    /// Names of all, those included whose value the crate cannot show (references).
    names: Vec<String>,
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Run a call into the crate; a panic inside it becomes an error, without a trace on stderr.
fn guard<T>(
    place: &str,
    call: impl FnOnce() -> std::result::Result<T, hdf5_pure::Error>,
) -> Result<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                previous(info);
            }
        }));
    });
    let before = QUIET.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(call));
    QUIET.set(before);
    match outcome {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(hdf5_pure::Error::Io(source))) => Err(Error::io(place, "read")(source)),
        Ok(Err(error)) => Err(damaged(place, error)),
        Err(_) => Err(damaged(place, "a structure that makes no sense")),
    }
}

/// Report bytes that are not what HDF5 says they should be.
pub(super) fn damaged(place: &str, found: impl std::fmt::Display) -> Error {
    let found = found.to_string().replace(['\n', '\r'], " ");
    Error::input(place, "sound HDF5", found, "the file is damaged: fetch or write it again")
}

impl Source for SharedBytes {
    fn len(&self) -> u64 {
        self.0.length
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::result::Result<(), FormatError> {
        self.0.read_at(offset, buf).map_err(|error| FormatError::Source(error.to_string()))
    }
}

struct SharedBytes(Arc<FileBytes>);

impl Hdf5File {
    /// Whether a file begins as HDF5 files do (a user block of up to 4 KiB allowed).
    pub(super) fn recognise(path: &Path) -> Result<bool> {
        let file = std::fs::File::open(path).map_err(Error::io(path, "open"))?;
        let bytes = FileBytes::new(file).map_err(Error::io(path, "read"))?;
        let mut signature = [0u8; 8];
        for offset in [0, 512, 1024, 2048, 4096] {
            if offset + 8 > bytes.length {
                return Ok(false);
            }
            bytes.read_at(offset, &mut signature).map_err(Error::io(path, "read"))?;
            if &signature == b"\x89HDF\r\n\x1a\n" {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Open a file; nothing but its head is read.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(Error::io(path, "open"))?;
        let bytes = Arc::new(FileBytes::new(file).map_err(Error::io(path, "read"))?);
        let properties =
            FileAccessProperties::new().with_metadata_cache(MetadataCacheConfig::new(8 << 20));
        let source = SharedBytes(Arc::clone(&bytes));
        let file = guard(&path.display().to_string(), || {
            hdf5_pure::File::from_source_with_options(source, properties)
        })?;
        Ok(Self { path: path.to_path_buf(), file, bytes })
    }

    /// The file's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Name a key of this file in an error.
    pub(super) fn place(&self, key: &str) -> String {
        format!("{}: {key}", self.path.display())
    }

    /// What `key` names, if anything.
    pub(super) fn node(&self, key: &str) -> Result<Option<Node>> {
        let missing = |error: &hdf5_pure::Error| {
            matches!(error, hdf5_pure::Error::Format(FormatError::PathNotFound(_)))
        };
        guard(&self.place(key), || match self.file.dataset(key) {
            Ok(_) => Ok(Some(Node::Array)),
            Err(error) if missing(&error) => Ok(None),
            Err(hdf5_pure::Error::NotADataset(_)) => match self.file.group(key) {
                Ok(_) => Ok(Some(Node::Group)),
                Err(error) if missing(&error) => Ok(None),
                Err(error) => Err(error),
            },
            // A component of the path is an array, so there is nothing below it.
            Err(hdf5_pure::Error::NotAGroup(_)) => Ok(None),
            Err(error) => Err(error),
        })
    }

    /// Names in the group `key` (`""` is the root), sorted.
    pub(super) fn names(&self, key: &str) -> Result<Vec<String>> {
        guard(&self.place(key), || {
            let group = if key.is_empty() { self.file.root() } else { self.file.group(key)? };
            let mut names = group.datasets()?;
            names.extend(group.groups()?);
            names.sort();
            Ok(names)
        })
    }

    /// Attributes of the group or data set `key` (`""` is the root).
    pub(super) fn attributes(&self, key: &str) -> Result<Attributes> {
        guard(&self.place(key), || {
            let (values, types) = match self.file.dataset(key) {
                Ok(dataset) if !key.is_empty() => (dataset.attrs()?, dataset.attr_datatypes()?),
                _ => {
                    let root = key.is_empty();
                    let group = if root { self.file.root() } else { self.file.group(key)? };
                    (group.attrs()?, group.attr_datatypes()?)
                }
            };
            Ok(Attributes { values, names: types.into_keys().collect() })
        })
    }

    /// Open the data set `key`, as the file describes it.
    pub(super) fn stored(&self, key: &str) -> Result<StoredArray> {
        let place = self.place(key);
        guard(&place.clone(), || {
            let dataset = self.file.dataset(key)?;
            let layout = match dataset.layout()? {
                Layout::Contiguous { address: Some(address), size } => {
                    StoredLayout::Contiguous { address, size }
                }
                Layout::Compact { size } => StoredLayout::Compact { size },
                Layout::Chunked { chunk_shape, .. } => StoredLayout::Chunked { chunk_shape },
                _ => StoredLayout::NeverWritten,
            };
            let pipeline = dataset.filter_pipeline();
            Ok(StoredArray {
                place,
                shape: dataset.shape()?,
                element: element_of(&dataset.datatype()?),
                element_size: dataset.element_size()?,
                layout,
                filters: pipeline.into_iter().map(|filter| (filter.id, filter.name)).collect(),
                dataset,
            })
        })
    }

    /// The bytes of the file.
    pub(super) fn bytes(&self) -> &Arc<FileBytes> {
        &self.bytes
    }
}

/// How the file says that an array is stored.
pub(super) enum StoredLayout {
    Contiguous { address: u64, size: u64 },
    Compact { size: u64 },
    Chunked { chunk_shape: Vec<u64> },
    NeverWritten,
}

/// A data set as the file describes it; nothing of it is checked yet.
pub(super) struct StoredArray {
    pub(super) place: String,
    pub(super) shape: Vec<u64>,
    pub(super) element: Element,
    /// Bytes of one entry.
    pub(super) element_size: u64,
    pub(super) layout: StoredLayout,
    /// Number and name of each filter, in the order they were applied.
    pub(super) filters: Vec<(u16, Option<String>)>,
    dataset: hdf5_pure::Dataset,
}

impl StoredArray {
    /// Where the chunks lie; `None` for an index that the crate reads but does not list.
    pub(super) fn chunks(&self) -> Option<Vec<ChunkPlace>> {
        let place = |chunk: hdf5_pure::Chunk| ChunkPlace {
            row: chunk.offset.first().map_or(usize::MAX, |&at| at as usize),
            column: chunk.offset.get(1).map_or(0, |&at| at as usize),
            address: chunk.address,
            stored: chunk.storage_size,
            skipped_filters: chunk.filter_mask,
        };
        let chunks = guard(&self.place, || self.dataset.chunks()).ok()?;
        Some(chunks.into_iter().map(place).collect())
    }

    /// Read the bytes of all entries.
    pub(super) fn read_raw(&self) -> Result<Vec<u8>> {
        guard(&self.place, || self.dataset.read_raw())
    }

    /// Read the bytes of `count` rows from `start`.
    pub(super) fn read_raw_rows(&self, start: usize, count: usize) -> Result<Vec<u8>> {
        guard(&self.place, || self.dataset.read_raw_rows(start as u64, count as u64))
    }

    /// Read texts of any length, at most `elements` of them and `bytes` together.
    pub(super) fn read_texts(&self, elements: usize, bytes: usize) -> Result<Vec<String>> {
        let options =
            VlenStringReadOptions::new().with_max_elements(elements).with_max_payload_bytes(bytes);
        guard(&self.place, || self.dataset.read_vlen_strings(options))
    }
}

impl Attributes {
    /// All attributes as text, to compare two files.
    #[cfg(test)]
    pub(super) fn described(&self) -> String {
        let mut all: Vec<String> =
            self.names.iter().map(|name| format!("{name}={:?}", self.values.get(name))).collect();
        all.sort();
        all.join(" ")
    }

    /// Whether there is an attribute `name`, of any kind.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// Text of the attribute `name`.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).and_then(AttrValue::as_str)
    }

    /// Texts of the attribute `name`.
    pub(super) fn texts(&self, name: &str) -> Option<&[String]> {
        self.values.get(name).and_then(AttrValue::as_strings)
    }

    /// Whole numbers of the attribute `name`.
    pub(super) fn integers(&self, name: &str) -> Option<Vec<i64>> {
        self.values.get(name).and_then(AttrValue::to_i64s)
    }
}

/// Describe an HDF5 type in this crate's terms.
fn element_of(datatype: &Datatype) -> Element {
    let is_big = |order: &DatatypeByteOrder| matches!(order, DatatypeByteOrder::BigEndian);
    match datatype {
        Datatype::FixedPoint { size, byte_order, layout } => {
            let kind = match (size, layout.signed) {
                (1, false) => NumberKind::U8,
                (2, false) => NumberKind::U16,
                (4, false) => NumberKind::U32,
                (8, false) => NumberKind::U64,
                (1, true) => NumberKind::I8,
                (2, true) => NumberKind::I16,
                (4, true) => NumberKind::I32,
                (8, true) => NumberKind::I64,
                _ => return Element::Other(format!("integers of {size} bytes")),
            };
            Element::Number(Number { kind, big_endian: is_big(byte_order) })
        }
        Datatype::FloatingPoint { size, byte_order, .. } => {
            let kind = match size {
                2 => NumberKind::F16,
                4 => NumberKind::F32,
                8 => NumberKind::F64,
                _ => return Element::Other(format!("floating-point numbers of {size} bytes")),
            };
            Element::Number(Number { kind, big_endian: is_big(byte_order) })
        }
        Datatype::Enumeration { base_type, members, .. } => {
            let named = |name: &str| members.iter().any(|member| member.name == name);
            if members.len() == 2 && named("FALSE") && named("TRUE") && datatype.type_size() == 1 {
                Element::Boolean
            } else {
                element_of(base_type)
            }
        }
        Datatype::String { size, .. } => Element::FixedText(*size as usize),
        Datatype::VariableLength { is_string: true, .. } => Element::Text,
        Datatype::Compound { members, .. } => {
            let mut fields = Vec::new();
            for member in members {
                let (inner, count) = match &member.datatype {
                    Datatype::Array { base_type, dimensions } => (
                        base_type.as_ref(),
                        dimensions.iter().map(|&extent| extent as usize).product(),
                    ),
                    other => (other, 1),
                };
                fields.push(RecordField {
                    name: member.name.clone(),
                    offset: member.byte_offset as usize,
                    count,
                    element: element_of(inner),
                });
            }
            Element::Record(fields)
        }
        Datatype::Reference { .. } => Element::Other("references".to_owned()),
        _ => Element::Other("a type of its own".to_owned()),
    }
}
