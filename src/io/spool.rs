//! Matrices kept on disk until the file that they belong to is written, for what is larger than memory.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::chunks::FileBytes;
use crate::cells::{CsrMatrix, CsrRows, Dense, ROWS_TOGETHER, Rows};
use crate::whole_file::folder_of;
use crate::{Error, Result};

/// Numbers that are read at once.
const AT_ONCE: usize = 1 << 20;
/// Values of a sparse matrix that are read at once: 128 MB of them.
const VALUES_AT_ONCE: usize = 1 << 24;

/// Numbers of four bytes, appended to a temporary file that vanishes with them.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    bytes: FileBytes,
    folder: PathBuf,
    /// Numbers so far.
    len: usize,
}

impl Spool {
    /// Begin in the folder that `output` will stand in, where the space is needed anyway.
    fn beside(output: &Path) -> Result<Self> {
        let folder = folder_of(output).to_path_buf();
        let begin = || {
            let file = tempfile::tempfile_in(&folder)?;
            Ok((file.try_clone()?, file))
        };
        let (file, other) = begin().map_err(Error::io(&folder, "write"))?;
        let bytes = FileBytes::new(other).map_err(Error::io(&folder, "write"))?;
        Ok(Self { file, bytes, folder, len: 0 })
    }

    fn append(&mut self, numbers: impl ExactSizeIterator<Item = [u8; 4]>) -> Result<()> {
        let count = numbers.len();
        let mut bytes = Vec::with_capacity(count * 4);
        numbers.for_each(|number| bytes.extend(number));
        self.file.write_all(&bytes).map_err(Error::io(&self.folder, "write"))?;
        self.len += count;
        Ok(())
    }

    /// Read `count` numbers from number `first` on.
    fn read<T>(&self, first: usize, count: usize, of: fn([u8; 4]) -> T) -> Result<Vec<T>> {
        let mut numbers = Vec::with_capacity(count);
        let mut bytes = vec![0; 4 * count.min(AT_ONCE)];
        while numbers.len() < count {
            let some = 4 * (count - numbers.len()).min(AT_ONCE);
            let place = 4 * (first + numbers.len()) as u64;
            let read = self.bytes.read_at(place, &mut bytes[..some]);
            read.map_err(Error::io(&self.folder, "read back what was written to"))?;
            numbers.extend(
                bytes[..some].chunks_exact(4).map(|one| of([one[0], one[1], one[2], one[3]])),
            );
        }
        Ok(numbers)
    }

    /// Number of numbers.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Write all numbers to `target` from its byte `address` on; `wide` ones as unsigned numbers of eight bytes.
    pub(super) fn copy_to(
        &self,
        target: &mut File,
        address: u64,
        wide: bool,
    ) -> std::io::Result<()> {
        target.seek(SeekFrom::Start(address))?;
        let mut target = BufWriter::with_capacity(1 << 20, target);
        let mut bytes = vec![0; 4 * self.len.min(AT_ONCE)];
        for first in (0..self.len).step_by(AT_ONCE) {
            let some = &mut bytes[..4 * (self.len - first).min(AT_ONCE)];
            self.bytes.read_at(4 * first as u64, some)?;
            match wide {
                true => some.chunks_exact(4).try_for_each(|number| {
                    target.write_all(number)?;
                    target.write_all(&[0; 4])
                })?,
                false => target.write_all(some)?,
            }
        }
        target.flush()
    }
}

/// A dense matrix `[n_rows, n_cols]`, appended to row by row in a temporary file that vanishes with it.
#[derive(Debug)]
pub struct SpooledRows {
    pub(super) values: Spool,
    /// Rows so far.
    pub n_rows: usize,
    /// Columns.
    pub n_cols: usize,
}

impl SpooledRows {
    /// Begin a matrix of `n_cols` columns in the folder that `output` will stand in, where the space is
    /// needed anyway.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be written to.
    pub fn beside(output: &Path, n_cols: usize) -> Result<Self> {
        Ok(Self { values: Spool::beside(output)?, n_rows: 0, n_cols })
    }

    /// Append the rows of `dense`, which has the same columns.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk is full.
    pub fn append(&mut self, dense: &Dense) -> Result<()> {
        assert_eq!(dense.n_cols, self.n_cols, "rows of one width");
        self.values.append(dense.values.iter().map(|value| value.to_le_bytes()))?;
        self.n_rows += dense.n_rows;
        Ok(())
    }
}

/// A sparse matrix, appended to row by row in temporary files that vanish with it, with counts in its places where
/// there are any. In memory are 8 bytes a row.
#[derive(Debug)]
pub struct SpooledCsr {
    /// Columns.
    pub n_cols: usize,
    pub(super) indptr: Vec<usize>,
    pub(super) columns: Spool,
    pub(super) values: Spool,
    pub(super) counts: Option<Spool>,
    /// Values that are read at once, where [`ROWS_TOGETHER`] have no more.
    at_once: usize,
}

impl SpooledCsr {
    /// Begin a matrix of `n_cols` columns in the folder that `output` will stand in.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be written to.
    pub fn beside(output: &Path, n_cols: usize, with_counts: bool) -> Result<Self> {
        let counts = with_counts.then(|| Spool::beside(output)).transpose()?;
        let (columns, values) = (Spool::beside(output)?, Spool::beside(output)?);
        Ok(Self { n_cols, indptr: vec![0], columns, values, counts, at_once: VALUES_AT_ONCE })
    }

    /// Append the rows of `matrix`, which has the same columns, and the counts in its places.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk is full.
    ///
    /// # Panics
    /// When there are counts where the matrix began without, or none where it began with some.
    pub fn append(&mut self, matrix: &CsrMatrix, counts: Option<&[f32]>) -> Result<()> {
        assert_eq!(matrix.n_cols, self.n_cols, "rows of one width");
        let before = self.columns.len();
        self.columns.append(matrix.indices.iter().map(|column| column.to_le_bytes()))?;
        self.values.append(matrix.data.iter().map(|value| value.to_le_bytes()))?;
        match (&mut self.counts, counts) {
            (Some(spool), Some(counts)) if counts.len() == matrix.nnz() => {
                spool.append(counts.iter().map(|value| value.to_le_bytes()))?;
            }
            (None, None) => {}
            _ => panic!("counts in all places, or in none"),
        }
        self.indptr.extend(matrix.indptr[1..].iter().map(|end| before + end));
        Ok(())
    }

    /// Number of values.
    pub fn nnz(&self) -> usize {
        self.columns.len()
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        let arrays = 2 + u64::from(self.counts.is_some());
        4 * arrays * self.nnz() as u64
    }

    /// The counts in the places of this matrix.
    pub fn counts(&self) -> Option<impl Rows + '_> {
        self.counts.as_ref().map(|values| OnDisk { matrix: self, values })
    }
}

impl Rows for SpooledCsr {
    fn n_rows(&self) -> usize {
        self.indptr.len() - 1
    }

    fn n_cols(&self) -> usize {
        self.n_cols
    }

    fn for_each_block(&self, take: &mut dyn FnMut(CsrRows<'_>) -> Result<()>) -> Result<()> {
        OnDisk { matrix: self, values: &self.values }.for_each_block(take)
    }
}

/// One of the kinds of values that a matrix has.
struct OnDisk<'a> {
    matrix: &'a SpooledCsr,
    values: &'a Spool,
}

impl Rows for OnDisk<'_> {
    fn n_rows(&self) -> usize {
        self.matrix.n_rows()
    }

    fn n_cols(&self) -> usize {
        self.matrix.n_cols
    }

    fn for_each_block(&self, take: &mut dyn FnMut(CsrRows<'_>) -> Result<()>) -> Result<()> {
        let (indptr, n_rows) = (&self.matrix.indptr, self.n_rows());
        let mut first = 0;
        while first < n_rows {
            let mut until = (first + ROWS_TOGETHER).min(n_rows);
            while until < n_rows {
                let further = (until + ROWS_TOGETHER).min(n_rows);
                if indptr[further] - indptr[first] > self.matrix.at_once {
                    break;
                }
                until = further;
            }
            let (begin, count) = (indptr[first], indptr[until] - indptr[first]);
            let (columns, values) = rayon::join(
                || self.matrix.columns.read(begin, count, u32::from_le_bytes),
                || self.values.read(begin, count, f32::from_le_bytes),
            );
            let block = CsrMatrix {
                n_rows: until - first,
                n_cols: self.matrix.n_cols,
                indptr: indptr[first..=until].iter().map(|place| place - begin).collect(),
                indices: columns?,
                data: values?,
            };
            take(CsrRows::of(&block, first))?;
            first = until;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prep::{GroupTest, HvgFlavor, highly_variable_genes, rank_genes_groups};

    const ROWS: u32 = 5000;

    /// Rows of one to nine values in twelve columns, more than stay together, and counts in their places.
    fn matrix() -> (CsrMatrix, Vec<f32>) {
        let mut matrix = CsrMatrix {
            n_rows: ROWS as usize,
            n_cols: 12,
            indptr: vec![0],
            ..CsrMatrix::default()
        };
        for row in 0..ROWS {
            for column in (row % 3)..(3 + row % 10) {
                matrix.indices.push(column);
                matrix.data.push((row * 7 % 31 + column + 1) as f32 / 16.0);
            }
            matrix.indptr.push(matrix.data.len());
        }
        let counts = matrix.data.iter().map(|value| value * 16.0).collect();
        (matrix, counts)
    }

    /// The same on disk, appended in parts and read at most 2,048 rows at once.
    fn spooled(folder: &Path, matrix: &CsrMatrix, counts: &[f32]) -> SpooledCsr {
        let mut spooled = SpooledCsr::beside(&folder.join("out"), 12, true).unwrap();
        for rows in [0..1, 1..2500, 2500..2500, 2500..matrix.n_rows] {
            let span = matrix.indptr[rows.start]..matrix.indptr[rows.end];
            let part = matrix.select_rows(&rows.collect::<Vec<_>>());
            spooled.append(&part, Some(&counts[span])).unwrap();
        }
        spooled.at_once = 1;
        spooled
    }

    fn gathered(rows: &dyn Rows) -> CsrMatrix {
        let all: Vec<usize> = (0..rows.n_cols()).collect();
        crate::cells::select_columns(rows, &all).unwrap()
    }

    #[test]
    fn what_was_appended_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let (matrix, counts) = matrix();
        let spooled = spooled(folder.path(), &matrix, &counts);
        assert_eq!((spooled.n_rows(), spooled.nnz()), (matrix.n_rows, matrix.nnz()));
        let mut blocks = Vec::new();
        let mut note = |block: CsrRows<'_>| {
            blocks.push((block.first, block.n_rows()));
            Ok(())
        };
        spooled.for_each_block(&mut note).unwrap();
        assert_eq!(blocks, [(0, 2048), (2048, 2048), (4096, 904)]);
        assert_eq!(gathered(&spooled), matrix);
        assert_eq!(gathered(&spooled.counts().unwrap()), CsrMatrix { data: counts, ..matrix });
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left to see");
    }

    #[test]
    fn genes_are_the_same_to_the_bit_on_disk_as_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let (matrix, counts) = matrix();
        let spooled = spooled(folder.path(), &matrix, &counts);
        let with_counts = CsrMatrix { data: counts, ..matrix.clone() };
        let of_counts = spooled.counts().unwrap();
        for flavor in [HvgFlavor::Seurat, HvgFlavor::CellRanger, HvgFlavor::SeuratV3] {
            let [memory, disk]: [&dyn Rows; 2] = match flavor {
                HvgFlavor::SeuratV3 => [&with_counts, &of_counts],
                _ => [&matrix, &spooled],
            };
            let [memory, disk] =
                [memory, disk].map(|rows| highly_variable_genes(rows, 4, flavor).unwrap());
            // Bits, since what does not vary is not a number.
            let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(memory.highly_variable, disk.highly_variable, "{flavor:?}");
            assert_eq!(bits(&memory.means), bits(&disk.means), "{flavor:?}");
            assert_eq!(bits(&memory.dispersions_norm), bits(&disk.dispersions_norm), "{flavor:?}");
        }
        // Every fifth cell has no group.
        let group = |row: u32| (!row.is_multiple_of(5)).then_some((row % 3) as usize);
        let groups: Vec<Option<usize>> = (0..ROWS).map(group).collect();
        let names = ["a", "b", "c"].map(str::to_owned);
        let kept: Vec<usize> = (0..matrix.n_rows).filter(|&row| groups[row].is_some()).collect();
        let of_kept: Vec<Option<usize>> = kept.iter().map(|&row| groups[row]).collect();
        for test in [GroupTest::Wilcoxon, GroupTest::TTest] {
            let found = rank_genes_groups(&matrix, &groups, &names, test).unwrap();
            assert_eq!(rank_genes_groups(&spooled, &groups, &names, test).unwrap(), found);
            let chosen = matrix.select_rows(&kept);
            assert_eq!(rank_genes_groups(&chosen, &of_kept, &names, test).unwrap(), found);
        }
        let refused = rank_genes_groups(&spooled, &groups, &names, GroupTest::Logistic);
        assert_eq!(refused.unwrap_err().exit_code(), 2);
    }
}
