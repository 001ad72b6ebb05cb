//! Chunks of an HDF5 data set: read, inflate, unshuffle and convert, in parallel.

use std::fs::File;
use std::io;

use flate2::{Decompress, FlushDecompress, Status};
use rayon::prelude::*;

use super::number::{FromNumber, Number, convert_numbers};

/// The most that zlib can inflate one byte to, rounded up; no filter in use does better.
pub(super) const MOST_INFLATION: u64 = 1032;

/// A file read at positions from several threads at once.
#[derive(Debug)]
pub(super) struct FileBytes {
    #[cfg(any(unix, windows))]
    file: File,
    #[cfg(not(any(unix, windows)))]
    file: std::sync::Mutex<File>,
    /// Length of the file in bytes.
    pub(super) length: u64,
}

impl FileBytes {
    /// Take an open file.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        #[cfg(not(any(unix, windows)))]
        let file = std::sync::Mutex::new(file);
        Ok(Self { file, length })
    }

    /// Fill `out` from the bytes at `offset`.
    #[cfg(unix)]
    pub(super) fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, out, offset)
    }

    /// Fill `out` from the bytes at `offset`.
    #[cfg(windows)]
    pub(super) fn read_at(&self, mut offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        while !out.is_empty() {
            let count = std::os::windows::fs::FileExt::seek_read(&self.file, out, offset)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            offset += count as u64;
            out = &mut out[count..];
        }
        Ok(())
    }

    /// Fill `out` from the bytes at `offset`.
    #[cfg(not(any(unix, windows)))]
    pub(super) fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(out)
    }
}

/// A step of a chunk's filter pipeline that is undone here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChunkFilter {
    /// zlib.
    Deflate,
    /// Bytes of equal significance side by side.
    Shuffle,
}

/// Where one chunk lies, in the file and in the data set.
#[derive(Debug, Clone)]
pub(super) struct ChunkPlace {
    /// First row and, for two dimensions, first column.
    pub(super) row: usize,
    pub(super) column: usize,
    /// Bytes in the file.
    pub(super) address: u64,
    pub(super) stored: u64,
    /// Bit `i` set: filter `i` was not applied.
    pub(super) skipped_filters: u32,
}

/// The chunked storage of a data set of one or two dimensions; `chunks` sorted by row then column,
/// complete (every place of the grid is there).
#[derive(Debug)]
pub(super) struct ChunkGrid {
    number: Number,
    /// 1 for one dimension.
    n_columns: usize,
    /// Rows of one chunk.
    pub(super) chunk_rows: usize,
    chunk_columns: usize,
    filters: Vec<ChunkFilter>,
    chunks: Vec<ChunkPlace>,
}

/// Buffers that one thread keeps between chunks.
struct Workspace {
    inflater: Decompress,
    stored: Vec<u8>,
    front: Vec<u8>,
    back: Vec<u8>,
}

impl Workspace {
    fn new() -> Self {
        Self {
            inflater: Decompress::new(true),
            stored: Vec::new(),
            front: Vec::new(),
            back: Vec::new(),
        }
    }
}

impl ChunkGrid {
    /// Lay out the chunks of an array of `extents` rows and columns, neither 0, in a file of
    /// `length` bytes; `None` where places of the grid were never written.
    pub(super) fn new(
        number: Number,
        extents: (usize, usize),
        chunk_shape: &[u64],
        filters: Vec<ChunkFilter>,
        mut chunks: Vec<ChunkPlace>,
        length: u64,
    ) -> Result<Option<Self>, String> {
        let chunk_bytes = chunk_shape
            .iter()
            .try_fold(number.size() as u64, |product, &extent| product.checked_mul(extent))
            .filter(|&bytes| bytes > 0)
            .ok_or_else(|| format!("chunks of {chunk_shape:?}"))?;
        let chunk_rows = chunk_shape[0] as usize;
        let chunk_columns = chunk_shape.get(1).map_or(1, |&extent| extent as usize);
        let across = extents.1.div_ceil(chunk_columns);
        if extents.0.div_ceil(chunk_rows).checked_mul(across) != Some(chunks.len()) {
            return Ok(None);
        }
        for chunk in &chunks {
            let most = chunk.stored.saturating_mul(MOST_INFLATION).saturating_add(1024);
            let inside = chunk.address.checked_add(chunk.stored).is_some_and(|end| end <= length);
            if !inside || chunk_bytes > most {
                return Err("a chunk beyond the end of the file".to_owned());
            }
        }
        chunks.sort_by_key(|chunk| (chunk.row, chunk.column));
        let in_place = chunks.iter().enumerate().all(|(at, chunk)| {
            chunk.row == at / across * chunk_rows && chunk.column == at % across * chunk_columns
        });
        if !in_place {
            return Err("chunks that overlap or leave gaps".to_owned());
        }
        let n_columns = extents.1;
        Ok(Some(Self { number, n_columns, chunk_rows, chunk_columns, filters, chunks }))
    }

    /// Bytes of one whole chunk.
    fn chunk_bytes(&self) -> usize {
        self.chunk_rows * self.chunk_columns * self.number.size()
    }

    /// Read the rows from `first_row` that fill `out`, row by row.
    pub(super) fn read_rows<T: FromNumber>(
        &self,
        bytes: &FileBytes,
        first_row: usize,
        out: &mut [T],
    ) -> Result<(), String> {
        let n_rows = out.len() / self.n_columns.max(1);
        let columns_of_chunks = self.n_columns.div_ceil(self.chunk_columns);
        let mut bands = Vec::new();
        let (mut row, mut rest) = (first_row, out);
        while row < first_row + n_rows {
            let band = row / self.chunk_rows;
            let end = ((band + 1) * self.chunk_rows).min(first_row + n_rows);
            let (here, after) = rest.split_at_mut((end - row) * self.n_columns);
            let chunks = &self.chunks[band * columns_of_chunks..(band + 1) * columns_of_chunks];
            bands.push((row, chunks, here));
            (row, rest) = (end, after);
        }
        bands.into_par_iter().try_for_each_init(Workspace::new, |work, (row, chunks, out)| {
            chunks.iter().try_for_each(|chunk| {
                self.decode(bytes, chunk, work)?;
                self.place(&work.front, chunk, row, out);
                Ok(())
            })
        })
    }

    /// Copy a decoded chunk to its place in the rows from `first_row`.
    fn place<T: FromNumber>(
        &self,
        decoded: &[u8],
        chunk: &ChunkPlace,
        first_row: usize,
        out: &mut [T],
    ) {
        let size = self.number.size();
        let width = self.chunk_columns.min(self.n_columns - chunk.column);
        let skip = first_row - chunk.row;
        for (at, row) in out.chunks_exact_mut(self.n_columns).enumerate() {
            let from = (skip + at) * self.chunk_columns * size;
            let to = &mut row[chunk.column..chunk.column + width];
            if self.n_columns == 1 {
                // One dimension: the rest of the chunk in one go.
                convert_numbers(self.number, &decoded[from..], out);
                return;
            }
            convert_numbers(self.number, &decoded[from..from + width * size], to);
        }
    }

    /// Read one chunk and undo its filters; the result is in `work.front`.
    fn decode(
        &self,
        bytes: &FileBytes,
        chunk: &ChunkPlace,
        work: &mut Workspace,
    ) -> Result<(), String> {
        work.stored.resize(chunk.stored as usize, 0);
        bytes.read_at(chunk.address, &mut work.stored).map_err(|error| error.to_string())?;
        std::mem::swap(&mut work.front, &mut work.stored);
        for (at, filter) in self.filters.iter().enumerate().rev() {
            if chunk.skipped_filters >> at & 1 == 1 {
                continue;
            }
            work.back.resize(self.chunk_bytes(), 0);
            match filter {
                ChunkFilter::Deflate => inflate(&mut work.inflater, &work.front, &mut work.back)?,
                ChunkFilter::Shuffle => {
                    unshuffle(&work.front, self.number.size(), &mut work.back)?;
                }
            }
            std::mem::swap(&mut work.front, &mut work.back);
        }
        if work.front.len() == self.chunk_bytes() {
            Ok(())
        } else {
            Err(format!("a chunk of {} bytes instead of {}", work.front.len(), self.chunk_bytes()))
        }
    }
}

fn inflate(inflater: &mut Decompress, stored: &[u8], out: &mut [u8]) -> Result<(), String> {
    inflater.reset(true);
    match inflater.decompress(stored, out, FlushDecompress::Finish) {
        Ok(Status::StreamEnd) if inflater.total_out() == out.len() as u64 => Ok(()),
        Ok(_) => Err("a gzip chunk of the wrong length".to_owned()),
        Err(error) => Err(format!("a damaged gzip chunk ({error})")),
    }
}

fn unshuffle(shuffled: &[u8], size: usize, out: &mut [u8]) -> Result<(), String> {
    if shuffled.len() != out.len() || !out.len().is_multiple_of(size) {
        return Err("a shuffled chunk of the wrong length".to_owned());
    }
    let count = out.len() / size;
    for (byte, plane) in shuffled.chunks_exact(count.max(1)).enumerate() {
        for (to, &from) in out[byte..].iter_mut().step_by(size).zip(plane) {
            *to = from;
        }
    }
    Ok(())
}

/// Read contiguous numbers from `address` on.
pub(super) fn read_contiguous<T: FromNumber>(
    bytes: &FileBytes,
    number: Number,
    address: u64,
    out: &mut [T],
) -> Result<(), String> {
    const PIECE: usize = 1 << 16;
    let size = number.size();
    out.par_chunks_mut(PIECE).enumerate().try_for_each_init(Vec::new, |buffer, (at, out)| {
        buffer.resize(out.len() * size, 0u8);
        let from = address + (at * PIECE * size) as u64;
        bytes.read_at(from, buffer).map_err(|error| error.to_string())?;
        convert_numbers(number, buffer, out);
        Ok(())
    })
}
