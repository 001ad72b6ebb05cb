//! Arrays of an HDF5 file, their claims checked against the bytes that are really there before
//! memory is reserved, and read in parallel where their storage allows.

use std::path::Path;
use std::sync::Arc;

use super::chunks::{
    ChunkFilter, ChunkGrid, ChunkPlace, FileBytes, MOST_INFLATION, read_contiguous,
};
use super::hdf5::{Hdf5File, StoredArray, StoredLayout, damaged};
use super::number::{FromNumber, Number, NumberKind, convert_numbers};
use crate::{Error, Result};

/// Bytes that an array may claim whatever the length of its file.
const SMALL: u64 = 1 << 20;

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
    stored: StoredArray,
    bytes: Arc<FileBytes>,
    /// Extent of each dimension; empty for a scalar.
    pub(super) shape: Vec<usize>,
    storage: Storage,
}

/// How the numbers of an array are fetched.
enum Storage {
    /// By the crate, in one thread.
    Crate,
    Contiguous(u64),
    Chunks(ChunkGrid),
}

/// Name the filter that cannot be undone, and the line that removes it.
fn refuse_filters(path: &Path, key: &str, filters: &[(u16, Option<String>)]) -> Result<()> {
    for (id, name) in filters {
        let name = match id {
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
            _ => name.clone().unwrap_or_else(|| format!("number {id}")),
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

impl Array {
    /// Open the data set `key`, checking what it claims.
    pub(super) fn open(file: &Hdf5File, key: &str) -> Result<Self> {
        let stored = file.stored(key)?;
        let bytes = Arc::clone(file.bytes());
        let most = bytes.length.saturating_mul(MOST_INFLATION).saturating_add(SMALL);
        let claimed = stored
            .shape
            .iter()
            .try_fold(stored.element_size, |product, &extent| product.checked_mul(extent))
            .filter(|&claimed| claimed <= most)
            .ok_or_else(|| {
                let (shape, length) = (&stored.shape, bytes.length);
                let found = format!("shape {shape:?}, too much for a file of {length} bytes");
                damaged(&stored.place, found)
            })?;
        refuse_filters(file.path(), key, &stored.filters)?;
        let shape = stored.shape.iter().map(|&extent| extent as usize).collect();
        let mut array = Self { stored, bytes, shape, storage: Storage::Crate };
        array.storage = array.choose_storage(claimed)?;
        Ok(array)
    }

    /// What each entry is.
    pub(super) fn element(&self) -> &Element {
        &self.stored.element
    }

    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Name this array in an error.
    pub(super) fn place(&self) -> &str {
        &self.stored.place
    }

    /// Entries of one row.
    pub(super) fn row_len(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// Take `[rows, 1]` as `[rows]`.
    pub(super) fn flatten(mut self) -> Self {
        self.shape.truncate(1);
        self
    }

    /// Bytes of one entry.
    pub(super) fn record_size(&self) -> usize {
        self.stored.element_size as usize
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
                    let count = out.len() / row_len;
                    let raw = self.stored.read_raw_rows(start + at * rows, count)?;
                    if raw.len() != out.len() * number.size() {
                        return Err(damaged(self.place(), "fewer values than its shape says"));
                    }
                    convert_numbers(number, &raw, out);
                }
                Ok(())
            }
        }
        .map_err(|found| damaged(self.place(), found))
    }

    /// The stored number, where the entries are numbers or truth values.
    pub(super) fn number(&self) -> Result<Number> {
        match self.element() {
            Element::Number(number) => Ok(*number),
            Element::Boolean => Ok(Number { kind: NumberKind::U8, big_endian: false }),
            _ => Err(Error::input(
                self.place(),
                "numbers",
                format!("{:?}", self.element()).replace('\n', " "),
                "store numbers there",
            )),
        }
    }

    /// Read all entries as text.
    pub(super) fn read_texts(&self) -> Result<Vec<String>> {
        match self.element() {
            Element::Text => {
                // Each text lies in the file once, so together they cannot be longer than it.
                let most = usize::try_from(self.bytes.length).unwrap_or(usize::MAX);
                self.stored.read_texts(self.len(), most)
            }
            Element::FixedText(size) => {
                let raw = self.read_records()?;
                Ok(raw.chunks_exact(*size).map(fixed_text).collect())
            }
            _ => Err(Error::input(
                self.place(),
                "text",
                format!("{:?}", self.element()).replace('\n', " "),
                "store text there",
            )),
        }
    }

    /// Read the bytes of all entries.
    pub(super) fn read_records(&self) -> Result<Vec<u8>> {
        let raw = self.stored.read_raw()?;
        if raw.len() == self.len() * self.record_size() {
            Ok(raw)
        } else {
            Err(damaged(self.place(), "fewer values than its shape says"))
        }
    }

    /// Decide how the numbers are fetched, checking what the file says of where they are.
    fn choose_storage(&self, claimed: u64) -> Result<Storage> {
        let inside = |address: u64, length: u64| {
            address.checked_add(length).is_some_and(|end| end <= self.bytes.length)
        };
        let (most, storage) = match &self.stored.layout {
            StoredLayout::Contiguous { address, size } => {
                let most = if inside(*address, claimed) { *size } else { 0 };
                let is_number = self.number().is_ok();
                (most, is_number.then_some(Storage::Contiguous(*address)))
            }
            StoredLayout::Compact { size } => (*size, None),
            StoredLayout::Chunked { chunk_shape, .. } => self.chunked_storage(chunk_shape)?,
            // Never written: the fill value stands for all of it.
            StoredLayout::NeverWritten => (SMALL, None),
        };
        if claimed > most {
            let found = format!("values of {claimed} bytes where {most} were written");
            return Err(damaged(self.place(), found));
        }
        Ok(storage.unwrap_or(Storage::Crate))
    }

    /// The most bytes that the chunks which are there can stand for, and how to fetch them.
    fn chunked_storage(&self, chunk_shape: &[u64]) -> Result<(u64, Option<Storage>)> {
        let chunk_bytes = chunk_shape
            .iter()
            .try_fold(self.stored.element_size, |product, &extent| product.checked_mul(extent));
        let all = self.bytes.length.saturating_mul(MOST_INFLATION);
        let chunk_bytes = chunk_bytes
            .filter(|&bytes| bytes > 0 && bytes <= all.saturating_add(SMALL))
            .ok_or_else(|| damaged(self.place(), format!("chunks of {chunk_shape:?}")))?;
        let Some(chunks) = self.stored.chunks() else { return Ok((all, None)) };
        // Places never written hold the fill value; some are left room, not an absurd number.
        let most = chunk_bytes.saturating_mul(chunks.len() as u64).saturating_mul(4);
        let most = most.saturating_add(SMALL);
        let is_plain = matches!(self.shape.len(), 1 | 2)
            && chunk_shape.len() == self.shape.len()
            && self.len() > 0;
        match self.number() {
            Ok(number) if is_plain => Ok((most, self.chunk_grid(number, chunk_shape, chunks)?)),
            _ => Ok((most, None)),
        }
    }

    fn chunk_grid(
        &self,
        number: Number,
        chunk_shape: &[u64],
        chunks: Vec<ChunkPlace>,
    ) -> Result<Option<Storage>> {
        let mut filters = Vec::new();
        for filter in self.stored.filters.iter() {
            match filter.0 {
                1 => filters.push(ChunkFilter::Deflate),
                2 => filters.push(ChunkFilter::Shuffle),
                _ => return Ok(None),
            }
        }
        let extents = (self.shape[0], self.row_len());
        ChunkGrid::new(number, extents, chunk_shape, filters, chunks, self.bytes.length)
            .map(|grid| grid.map(Storage::Chunks))
            .map_err(|found| damaged(self.place(), found))
    }
}

/// Decode text of a fixed width: it ends at the first zero byte, trailing padding dropped.
pub(super) fn fixed_text(bytes: &[u8]) -> String {
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
