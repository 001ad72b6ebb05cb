//! The boundary to the HDF5 crate: the only file that names it.
//!
//! Files come from strangers. Every call into the crate is guarded against panics, and every size a
//! file claims is checked against the bytes that are really there before memory is reserved.

use std::cell::Cell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use hdf5_pure::{
    AttrValue, Datatype, DatatypeByteOrder, FileAccessProperties, FormatError, Layout,
    MetadataCacheConfig, Source, VlenStringReadOptions,
};

use super::chunks::{ChunkFilter, ChunkGrid, ChunkPlace, FileBytes, read_contiguous};
use super::number::{FromNumber, Number, NumberKind, convert_numbers};
use crate::{Error, Result};

/// The most that zlib can inflate one byte to, rounded up; no filter in use does better.
const MOST_INFLATION: u64 = 1032;
/// Bytes of a small file, which may claim this much whatever its length.
const SMALL: u64 = 1 << 20;

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
pub(super) struct Attributes(HashMap<String, AttrValue>);

/// What one entry of a data set is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Element {
    /// A number.
    Number(Number),
    /// A truth value, one byte.
    Boolean,
    /// Text of a fixed number of bytes.
    FixedText(usize),
    /// Text of any length.
    Text,
    /// A record of named fields.
    Record(Vec<RecordField>),
    /// Anything else, described.
    Other(String),
}

/// One field of a record.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RecordField {
    pub(super) name: String,
    /// First byte within the record.
    pub(super) offset: usize,
    /// Entries of the field; more than 1 in old `obsm` tables.
    pub(super) count: usize,
    pub(super) element: Element,
}

/// A data set, open, its claims checked.
pub(super) struct Array {
    place: String,
    dataset: hdf5_pure::Dataset,
    bytes: Arc<FileBytes>,
    /// Extent of each dimension; empty for a scalar.
    pub(super) shape: Vec<usize>,
    /// What each entry is.
    pub(super) element: Element,
    record_size: usize,
    storage: Storage,
}

/// How the numbers of an array are fetched.
enum Storage {
    /// By the crate, in one thread.
    Crate,
    Contiguous(u64),
    Chunks(ChunkGrid),
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
        Ok(Err(error)) => Err(damaged(place, error)),
        Err(_) => Err(damaged(place, "a structure that makes no sense")),
    }
}

/// Report bytes that are not what HDF5 says they should be.
fn damaged(place: &str, found: impl std::fmt::Display) -> Error {
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
            Ok(Attributes(match self.file.dataset(key) {
                _ if key.is_empty() => self.file.root().attrs()?,
                Ok(dataset) => dataset.attrs()?,
                Err(_) => self.file.group(key)?.attrs()?,
            }))
        })
    }

    /// Open the data set `key`.
    pub(super) fn array(&self, key: &str) -> Result<Array> {
        let place = self.place(key);
        let (dataset, shape, datatype, layout, size) = guard(&place, || {
            let dataset = self.file.dataset(key)?;
            let (shape, datatype) = (dataset.shape()?, dataset.datatype()?);
            let (layout, size) = (dataset.layout()?, dataset.element_size()?);
            Ok((dataset, shape, datatype, layout, size))
        })?;
        let claimed = shape
            .iter()
            .try_fold(size, |product, &extent| product.checked_mul(extent))
            .filter(|&claimed| claimed <= self.most_claim())
            .ok_or_else(|| {
                let length = self.bytes.length;
                damaged(&place, format!("shape {shape:?}, too much for a file of {length} bytes"))
            })?;
        refuse_filters(&self.path, key, &dataset.filter_pipeline())?;
        let element = element_of(&datatype);
        let shape: Vec<usize> = shape.iter().map(|&extent| extent as usize).collect();
        let mut array = Array {
            place,
            dataset,
            bytes: Arc::clone(&self.bytes),
            shape,
            element,
            record_size: size as usize,
            storage: Storage::Crate,
        };
        array.storage = array.choose_storage(&layout, claimed)?;
        Ok(array)
    }

    /// The most bytes that one array of this file can hold, whatever it claims.
    fn most_claim(&self) -> u64 {
        self.bytes.length.saturating_mul(MOST_INFLATION).saturating_add(SMALL)
    }
}

/// Name the filter that cannot be undone, and the line that removes it.
fn refuse_filters(path: &Path, key: &str, filters: &[hdf5_pure::Filter]) -> Result<()> {
    for filter in filters {
        let name = match filter.id {
            1 | 2 | 3 | 6 | 32000 => continue,
            4 => "szip".to_owned(),
            5 => "nbit".to_owned(),
            307 => "bzip2".to_owned(),
            32001 => "blosc".to_owned(),
            32004 => "lz4".to_owned(),
            32008 => "bitshuffle".to_owned(),
            32013 => "zfp".to_owned(),
            32015 => "zstd".to_owned(),
            32026 => "blosc2".to_owned(),
            id => filter.name.clone().unwrap_or_else(|| format!("number {id}")),
        };
        let path = path.display();
        return Err(Error::input(
            format!("{path}: {key}"),
            "gzip, lzf or no compression",
            format!("the HDF5 filter {}", name.replace(['\n', '\r'], " ")),
            format!("rewrite it with: h5repack -f GZIP=4 {path} {path}.gzip.h5ad"),
        ));
    }
    Ok(())
}

impl Attributes {
    /// Text of the attribute `name`.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(AttrValue::as_str)
    }

    /// Texts of the attribute `name`.
    pub(super) fn texts(&self, name: &str) -> Option<&[String]> {
        self.0.get(name).and_then(AttrValue::as_strings)
    }

    /// Whole numbers of the attribute `name`.
    pub(super) fn integers(&self, name: &str) -> Option<Vec<i64>> {
        self.0.get(name).and_then(AttrValue::to_i64s)
    }
}

impl Array {
    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Name this array in an error.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Entries of one row.
    pub(super) fn row_len(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// Bytes of one entry.
    pub(super) fn record_size(&self) -> usize {
        self.record_size
    }

    /// Rows of a chunk, or 1 where the array has none.
    pub(super) fn chunk_rows(&self) -> usize {
        match &self.storage {
            Storage::Chunks(grid) => grid.chunk_rows,
            _ => 1,
        }
    }

    /// Read all numbers, row by row.
    pub(super) fn read<T: FromNumber>(&self) -> Result<Vec<T>> {
        self.read_rows(0, self.shape.first().copied().unwrap_or(1))
    }

    /// Read the numbers of `count` rows from `start`.
    pub(super) fn read_rows<T: FromNumber>(&self, start: usize, count: usize) -> Result<Vec<T>> {
        let mut out = vec![T::default(); count * self.row_len()];
        self.read_rows_into(start, &mut out)?;
        Ok(out)
    }

    /// Fill `out` with the numbers of the rows from `start`.
    pub(super) fn read_rows_into<T: FromNumber>(&self, start: usize, out: &mut [T]) -> Result<()> {
        let row_len = self.row_len();
        if out.is_empty() || row_len == 0 {
            return Ok(());
        }
        let number = self.number()?;
        match &self.storage {
            Storage::Chunks(grid) => grid.read_rows(&self.bytes, start, out),
            Storage::Contiguous(address) => {
                let from = address + (start * row_len * number.size()) as u64;
                read_contiguous(&self.bytes, number, from, out)
            }
            Storage::Crate => {
                // In pieces, so that the stored bytes never stand beside the whole result.
                let rows = (1usize << 18).div_ceil(row_len).max(1);
                for (at, out) in out.chunks_mut(rows * row_len).enumerate() {
                    let count = (out.len() / row_len) as u64;
                    let raw = guard(&self.place, || {
                        self.dataset.read_raw_rows((start + at * rows) as u64, count)
                    })?;
                    if raw.len() != out.len() * number.size() {
                        return Err(damaged(&self.place, "fewer values than its shape says"));
                    }
                    convert_numbers(number, &raw, out);
                }
                Ok(())
            }
        }
        .map_err(|found| damaged(&self.place, found))
    }

    /// The stored number, where the entries are numbers or truth values.
    pub(super) fn number(&self) -> Result<Number> {
        match self.element {
            Element::Number(number) => Ok(number),
            Element::Boolean => Ok(Number { kind: NumberKind::U8, big_endian: false }),
            _ => Err(Error::input(
                &self.place,
                "numbers",
                format!("{:?}", self.element).replace('\n', " "),
                "store numbers there",
            )),
        }
    }

    /// Read all entries as text.
    pub(super) fn read_texts(&self) -> Result<Vec<String>> {
        match &self.element {
            Element::Text => {
                // Each text lies in the file once, so together they cannot be longer than it.
                let options = VlenStringReadOptions::new()
                    .with_max_elements(self.len())
                    .with_max_payload_bytes(
                        usize::try_from(self.bytes.length).unwrap_or(usize::MAX),
                    );
                guard(&self.place, || self.dataset.read_vlen_strings(options))
            }
            Element::FixedText(size) => {
                let raw = self.read_records()?;
                Ok(raw.chunks_exact(*size).map(fixed_text).collect())
            }
            _ => Err(Error::input(
                &self.place,
                "text",
                format!("{:?}", self.element).replace('\n', " "),
                "store text there",
            )),
        }
    }

    /// Read the bytes of all entries.
    pub(super) fn read_records(&self) -> Result<Vec<u8>> {
        let raw = guard(&self.place, || self.dataset.read_raw())?;
        if raw.len() == self.len() * self.record_size {
            Ok(raw)
        } else {
            Err(damaged(&self.place, "fewer values than its shape says"))
        }
    }

    /// Decide how the numbers are fetched, checking what the file says of where they are.
    fn choose_storage(&self, layout: &Layout, claimed: u64) -> Result<Storage> {
        let inside = |address: u64, length: u64| {
            address.checked_add(length).is_some_and(|end| end <= self.bytes.length)
        };
        let Ok(number) = self.number() else { return Ok(Storage::Crate) };
        match layout {
            Layout::Contiguous { address: Some(address), size } => {
                if *size < claimed || !inside(*address, claimed) {
                    return Err(damaged(&self.place, "values beyond the end of the file"));
                }
                Ok(Storage::Contiguous(*address))
            }
            Layout::Chunked { chunk_shape, .. }
                if matches!(self.shape.len(), 1 | 2)
                    && chunk_shape.len() == self.shape.len()
                    && self.len() > 0 =>
            {
                self.chunk_grid(number, chunk_shape, inside)
            }
            _ => Ok(Storage::Crate),
        }
    }

    fn chunk_grid(
        &self,
        number: Number,
        chunk_shape: &[u64],
        inside: impl Fn(u64, u64) -> bool,
    ) -> Result<Storage> {
        let mut filters = Vec::new();
        for filter in self.dataset.filters() {
            match filter {
                1 => filters.push(ChunkFilter::Deflate),
                2 => filters.push(ChunkFilter::Shuffle),
                _ => return Ok(Storage::Crate),
            }
        }
        let chunk_rows = chunk_shape[0] as usize;
        let chunk_columns = chunk_shape.get(1).map_or(1, |&extent| extent as usize);
        let size = number.size() as u64;
        let chunk_bytes = chunk_shape
            .iter()
            .try_fold(size, |product, &extent| product.checked_mul(extent))
            .filter(|&bytes| bytes > 0)
            .ok_or_else(|| damaged(&self.place, format!("chunks of {chunk_shape:?}")))?;
        let Ok(chunks) = guard(&self.place, || self.dataset.chunks()) else {
            // An index that the crate reads but does not list.
            return Ok(Storage::Crate);
        };
        let (n_rows, n_columns) = (self.shape[0], self.row_len());
        let across = n_columns.div_ceil(chunk_columns);
        if chunks.len() != n_rows.div_ceil(chunk_rows) * across {
            // Places never written hold the fill value, which the crate knows.
            return Ok(Storage::Crate);
        }
        let mut places = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let most = chunk.storage_size.saturating_mul(MOST_INFLATION).saturating_add(1024);
            if !inside(chunk.address, chunk.storage_size) || chunk_bytes > most {
                return Err(damaged(&self.place, "a chunk beyond the end of the file"));
            }
            places.push(ChunkPlace {
                row: chunk.offset.first().map_or(usize::MAX, |&at| at as usize),
                column: chunk.offset.get(1).map_or(0, |&at| at as usize),
                address: chunk.address,
                stored: chunk.storage_size as usize,
                skipped_filters: chunk.filter_mask,
            });
        }
        places.sort_by_key(|place| (place.row, place.column));
        let in_place = places.iter().enumerate().all(|(at, place)| {
            place.row == at / across * chunk_rows && place.column == at % across * chunk_columns
        });
        if !in_place {
            return Err(damaged(&self.place, "chunks that overlap or leave gaps"));
        }
        let chunks = places;
        let grid =
            ChunkGrid { number, n_rows, n_columns, chunk_rows, chunk_columns, filters, chunks };
        Ok(Storage::Chunks(grid))
    }
}

/// Decode text of a fixed width: it ends at the first zero byte, trailing padding dropped.
pub(super) fn fixed_text(bytes: &[u8]) -> String {
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    String::from_utf8_lossy(&bytes[..end]).into_owned()
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
