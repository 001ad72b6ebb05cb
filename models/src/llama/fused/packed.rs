//! The real tokens of a batch as rows without pads, and the blocks of their attention maps.

use std::collections::BTreeMap;

use burn::tensor::{Int, Tensor, TensorData};
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeRuntime};
use screader_kernels::gpu::attention::{Place, Pull, Rows, cells_together};
use screader_kernels::rotary::cosines_and_sines;

use super::tensors::{from_host, integers, of_burn};
use super::{Batch, FusedDecoder, Gpu};

/// The real tokens of a batch, one row each, cell after cell.
#[derive(Clone)]
pub(super) struct Packed<R: CubeRuntime> {
    pub(super) batch: Batch,
    /// Blocks of the map of every cell, each cell's in order.
    pub(super) blocks: Vec<CellBlock<R>>,
    /// The last row of the map of every cell, which is all that the last layer needs.
    pub(super) last_blocks: Vec<CellBlock<R>>,
    /// Position of each row, `[rows]`.
    pub(super) positions: CubeTensor<R>,
    /// Position of each cell's last token, `[cells]`.
    pub(super) last_positions: CubeTensor<R>,
    /// Row of each cell's last token, `[cells]`.
    pub(super) last_rows: CubeTensor<R>,
    pub(super) cos: CubeTensor<R>,
    pub(super) sin: CubeTensor<R>,
}

/// A block of the maps of cells of one length, which are computed together.
#[derive(Clone)]
pub(super) struct CellBlock<R: CubeRuntime> {
    pub(super) rows: Rows,
    /// Whether it ends where its cells do.
    pub(super) ends: bool,
    /// Row of each cell's first token.
    pub(super) starts: Vec<usize>,
    /// Row of each cell's first query.
    pub(super) query_rows: Vec<usize>,
    /// The same for kernels, `[cells]`.
    pub(super) dot_rows: CubeTensor<R>,
}

impl<R: CubeRuntime> CellBlock<R> {
    /// The block's rows of what its cells mix, or of its gradient.
    pub(super) fn mixed<'a>(&self, buffer: &'a CubeTensor<R>) -> Vec<Place<'a, R>> {
        self.query_rows.iter().map(|&row| Place { buffer, row, column: 0 }).collect()
    }

    pub(super) fn pull<'a>(
        &'a self,
        g_mixed: &'a [Place<'a, R>],
        dots: &'a CubeTensor<R>,
        log_normalisers: &'a CubeTensor<R>,
    ) -> Pull<'a, R> {
        Pull { g_mixed, dots, dot_rows: &self.dot_rows, log_normalisers }
    }
}

impl<R: CubeRuntime> Packed<R> {
    pub(super) fn angles(&self) -> [&CubeTensor<R>; 2] {
        [&self.cos, &self.sin]
    }

    /// Rows of the real tokens in `[cells · tokens]`, where there are pads.
    pub(super) fn real<BT: BoolElement>(
        &self,
        device: &R::CubeDevice,
    ) -> Option<Tensor<Gpu<R, BT>, 1, Int>> {
        let Batch { tokens, lengths } = &self.batch;
        if lengths.iter().all(|length| length == tokens) {
            return None;
        }
        let cells = lengths.iter().enumerate();
        let rows: Vec<i32> = cells
            .flat_map(|(cell, &length)| {
                (0..length).map(move |token| (cell * tokens + token) as i32)
            })
            .collect();
        let count = rows.len();
        Some(Tensor::from_data(TensorData::new(rows, [count]), device))
    }
}

pub(super) fn real_rows<R: CubeRuntime, BT: BoolElement>(
    x0: Tensor<Gpu<R, BT>, 3>,
    packed: &Packed<R>,
    device: &R::CubeDevice,
) -> CubeTensor<R> {
    let [cells, tokens, hidden] = x0.dims();
    let rows = x0.reshape([cells * tokens, hidden]);
    of_burn(match packed.real(device) {
        None => rows,
        Some(real) => rows.select(0, real),
    })
}

impl<R: CubeRuntime> FusedDecoder<R> {
    pub(super) fn pack(&self, batch: &Batch) -> Packed<R> {
        let starts: Vec<usize> = batch
            .lengths
            .iter()
            .scan(0, |rows, length| {
                *rows += length;
                Some(*rows - length)
            })
            .collect();
        let positions = batch.lengths.iter().flat_map(|&length| 0..length);
        let last = batch.last_positions();
        let last_rows = starts.iter().zip(&last).map(|(start, last)| start + last);
        let longest = batch.lengths.iter().copied().max().unwrap_or(1);
        let all: Vec<usize> = (0..longest).collect();
        let (cos, sin) = cosines_and_sines(&self.frequencies, &all);
        let table = |values| {
            let shape = [longest, self.frequencies.len()];
            from_host(TensorData::new(values, shape), &self.device)
        };
        Packed {
            positions: integers(positions, &self.device),
            last_positions: integers(last.iter().copied(), &self.device),
            last_rows: integers(last_rows, &self.device),
            cos: table(cos),
            sin: table(sin),
            blocks: self.blocks(batch, &starts),
            last_blocks: self.last_blocks(batch, &starts),
            batch: batch.clone(),
        }
    }

    /// Blocks of the map of every cell; cells of one length share theirs.
    fn blocks(&self, batch: &Batch, starts: &[usize]) -> Vec<CellBlock<R>> {
        let mut cells_of: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (&length, &start) in batch.lengths.iter().zip(starts) {
            cells_of.entry(length).or_default().push(start);
        }
        let blocks = cells_of.into_iter().flat_map(|(length, starts)| {
            Rows::of_cell(length).into_iter().flat_map(move |rows| {
                let together = cells_together(self.heads(), rows);
                let share = move |starts: &[usize]| {
                    let query_rows = starts.iter().map(|start| start + rows.first).collect();
                    self.block(rows, length, starts.to_vec(), query_rows)
                };
                starts.chunks(together).map(share).collect::<Vec<_>>()
            })
        });
        blocks.collect()
    }

    /// The last row of the map of every cell.
    fn last_blocks(&self, batch: &Batch, starts: &[usize]) -> Vec<CellBlock<R>> {
        let mut cells_of: BTreeMap<usize, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
        for (cell, (&length, &start)) in batch.lengths.iter().zip(starts).enumerate() {
            let (starts, query_rows) = cells_of.entry(length).or_default();
            starts.push(start);
            query_rows.push(cell);
        }
        let block = |(length, (starts, query_rows)): (usize, _)| {
            self.block(Rows { first: length - 1, rows: 1 }, length, starts, query_rows)
        };
        cells_of.into_iter().map(block).collect()
    }

    fn block(
        &self,
        rows: Rows,
        length: usize,
        starts: Vec<usize>,
        query_rows: Vec<usize>,
    ) -> CellBlock<R> {
        let dot_rows = integers(query_rows.iter().copied(), &self.device);
        CellBlock { ends: rows.first + rows.rows == length, rows, starts, query_rows, dot_rows }
    }
}
