//! Rows gathered on disk from entries that come in another order, for matrices stored by column that are
//! larger than memory.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, Write};

use super::sparse::{empty, from_rows};
use crate::cells::CsrMatrix;
use crate::{Error, Result};

/// Entries of one band of rows, about: what is in memory while its rows are handed out.
const BAND_ENTRIES: usize = 1 << 23;
/// The most bands: each is an open file.
const MOST_BANDS: usize = 256;
/// Row, column and value of an entry on disk.
const ENTRY_BYTES: usize = 12;

/// Takes entries in any order.
pub(super) struct Gatherer {
    place: String,
    shape: (usize, usize),
    band_rows: usize,
    bands: Vec<BufWriter<File>>,
}

/// Hands rows out, band by band.
pub(super) struct GatheredRows {
    place: String,
    shape: (usize, usize),
    band_rows: usize,
    bands: Vec<File>,
    /// The band in memory, with its number.
    current: Option<(usize, CsrMatrix)>,
}

impl Gatherer {
    /// Begin a matrix of `shape` rows and columns, of which `entries` are stored; `place` names it in
    /// errors.
    ///
    /// # Errors
    /// If the folder of temporary files cannot be written to.
    pub(super) fn new(place: &str, shape: (usize, usize), entries: usize) -> Result<Self> {
        Self::with_bands(place, shape, entries.div_ceil(BAND_ENTRIES))
    }

    fn with_bands(place: &str, shape: (usize, usize), bands: usize) -> Result<Self> {
        let band_rows = shape.0.div_ceil(bands.clamp(1, MOST_BANDS)).max(1);
        let bands = (0..shape.0.div_ceil(band_rows))
            .map(|_| tempfile::tempfile().map(BufWriter::new).map_err(unwritten()))
            .collect::<Result<_>>()?;
        Ok(Self { place: place.to_owned(), shape, band_rows, bands })
    }

    /// Add an entry.
    ///
    /// # Errors
    /// A row beyond the matrix, a full disk.
    pub(super) fn push(&mut self, row: u32, column: u32, value: f32) -> Result<()> {
        let Some(band) = self.bands.get_mut(row as usize / self.band_rows) else {
            return Err(Error::input(
                &self.place,
                format!("rows below {}", self.shape.0),
                row,
                "the file is damaged or was written wrongly: write it again",
            ));
        };
        let mut entry = [0; ENTRY_BYTES];
        entry[..4].copy_from_slice(&row.to_le_bytes());
        entry[4..8].copy_from_slice(&column.to_le_bytes());
        entry[8..].copy_from_slice(&value.to_le_bytes());
        band.write_all(&entry).map_err(unwritten())
    }

    /// Hand the rows over.
    ///
    /// # Errors
    /// A full disk.
    pub(super) fn finish(self) -> Result<GatheredRows> {
        let Self { place, shape, band_rows, bands } = self;
        let flushed = bands
            .into_iter()
            .map(|band| band.into_inner().map_err(|error| unwritten()(error.into_error())));
        let bands = flushed.collect::<Result<_>>()?;
        Ok(GatheredRows { place, shape, band_rows, bands, current: None })
    }
}

impl GatheredRows {
    /// Read `count` rows from `start`.
    ///
    /// # Errors
    /// A column beyond the matrix, a disk that cannot be read.
    pub(super) fn read_rows(&mut self, start: usize, count: usize) -> Result<CsrMatrix> {
        let mut out = empty(0, self.shape.1);
        for row in start..start + count {
            let number = row / self.band_rows;
            let first = number * self.band_rows;
            let (columns, values) = self.band(number)?.row(row - first);
            out.indices.extend_from_slice(columns);
            out.data.extend_from_slice(values);
            out.indptr.push(out.data.len());
        }
        out.n_rows = count;
        Ok(out)
    }

    fn band(&mut self, number: usize) -> Result<&CsrMatrix> {
        let band = match self.current.take() {
            Some((current, band)) if current == number => band,
            other => {
                // The old band first: two of them are never in memory.
                drop(other);
                self.load(number)?
            }
        };
        Ok(&self.current.insert((number, band)).1)
    }

    fn load(&mut self, number: usize) -> Result<CsrMatrix> {
        let unread = || Error::io(std::env::temp_dir(), "read");
        let file = &mut self.bands[number];
        file.rewind().map_err(unread())?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(unread())?;
        let first = number * self.band_rows;
        let rows = self.band_rows.min(self.shape.0 - first);
        let field = |entry: &[u8], at: usize| {
            u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]])
        };
        let mut indptr = vec![0usize; rows + 1];
        for entry in bytes.chunks_exact(ENTRY_BYTES) {
            indptr[field(entry, 0) as usize - first + 1] += 1;
        }
        for row in 0..rows {
            indptr[row + 1] += indptr[row];
        }
        let mut next = indptr.clone();
        let stored = indptr[rows];
        let (mut indices, mut data) = (vec![0u32; stored], vec![0f32; stored]);
        for entry in bytes.chunks_exact(ENTRY_BYTES) {
            let at = &mut next[field(entry, 0) as usize - first];
            indices[*at] = field(entry, 4);
            data[*at] = f32::from_bits(field(entry, 8));
            *at += 1;
        }
        drop(bytes);
        from_rows(&self.place, (rows, self.shape.1), indptr, indices, data)
    }
}

/// Report a folder of temporary files that is full or cannot be written to.
fn unwritten() -> impl FnOnce(std::io::Error) -> Error {
    Error::io(std::env::temp_dir(), "write (TMPDIR names another folder)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_in_any_order_come_back_as_rows_across_bands() {
        let entries =
            [(4, 1, 5.0), (0, 2, 1.0), (3, 0, 4.0), (0, 0, 2.0), (4, 0, 3.0), (0, 2, 1.0)];
        let mut gatherer = Gatherer::with_bands("x", (5, 3), 2).unwrap();
        for (row, column, value) in entries {
            gatherer.push(row, column, value).unwrap();
        }
        assert!(gatherer.push(6, 0, 1.0).is_err());
        let mut rows = gatherer.finish().unwrap();
        let block = rows.read_rows(2, 3).unwrap();
        assert_eq!(block.row(0), (&[][..], &[][..]));
        assert_eq!(block.row(1), (&[0][..], &[4.0][..]));
        assert_eq!(block.row(2), (&[0, 1][..], &[3.0, 5.0][..]));
        let first = rows.read_rows(0, 2).unwrap();
        assert_eq!(first.row(0), (&[0, 2][..], &[2.0, 2.0][..]), "repeated entries add up");
        assert_eq!((first.n_rows, first.n_cols), (2, 3));
    }

    #[test]
    fn a_column_beyond_the_matrix_is_refused() {
        let mut gatherer = Gatherer::new("x", (2, 3), 1).unwrap();
        gatherer.push(1, 3, 1.0).unwrap();
        assert!(gatherer.finish().unwrap().read_rows(0, 2).is_err());
    }
}
