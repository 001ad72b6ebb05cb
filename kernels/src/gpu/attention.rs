//! Causal grouped-query attention by blocks of query rows, over rows as the linear maps leave them.
//!
//! The twin of [`crate::attention::causal`]. Heads are read and written where they lie in the rows, so
//! nothing is transposed; each cell is computed at its own length. Of the map no more than one block of one
//! cell exists at a time (Dao et al., 2022).

use burn::tensor::DType;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};

use super::empty;
use super::product::{As, Matrices, Products, Write};
use super::softmax::{Block, causal_softmax, causal_softmax_backward};

/// Query rows of one block of the map, about.
pub const BLOCK_ROWS: usize = 512;

/// Heads and their width.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// Query heads.
    pub queries: usize,
    /// Key and value heads.
    pub keys: usize,
    /// Width of one head.
    pub width: usize,
}

impl Heads {
    fn scale(self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }
}

/// Where heads lie: from column `column` on of the rows of `buffer` that begin at row `row`.
#[derive(Debug, Clone)]
pub struct Place<'a, R: CubeRuntime> {
    /// Rows.
    pub buffer: &'a CubeTensor<R>,
    /// Row of a cell's first token.
    pub row: usize,
    /// Column of the first head.
    pub column: usize,
}

impl<'a, R: CubeRuntime> Place<'a, R> {
    /// Every `every`th of `heads` heads from head `first` on, `rows` rows of each from row `row` on.
    fn matrices(
        &self,
        row: usize,
        rows: usize,
        (first, every, heads): (usize, usize, usize),
        width: usize,
    ) -> Matrices<'a, R> {
        let [_, stride] = self.buffer.meta.shape().dims();
        Matrices {
            buffer: self.buffer,
            offset: (self.row + row) * stride + self.column + first * width,
            rows,
            columns: width,
            stride,
            count: heads,
            apart: every * width,
        }
    }
}

/// Queries, keys and values of one cell, or gradients of them.
#[derive(Debug, Clone)]
pub struct Attending<'a, R: CubeRuntime> {
    /// Queries; those of a block begin at its first row.
    pub queries: Place<'a, R>,
    /// Keys.
    pub keys: Place<'a, R>,
    /// Values.
    pub values: Place<'a, R>,
}

/// A block of query rows of one cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// The token of the first row.
    pub first: usize,
    /// How many.
    pub rows: usize,
    /// Where the first lies among the rows of the queries, which need not hold those of every token.
    pub at: usize,
}

impl Rows {
    /// Share a cell of `length` tokens out to blocks of about [`BLOCK_ROWS`].
    pub fn of_cell(length: usize) -> Vec<Self> {
        let blocks = ((length + BLOCK_ROWS / 2) / BLOCK_ROWS).max(1);
        let rows = length.div_ceil(blocks).next_multiple_of(8);
        (0..length)
            .step_by(rows)
            .map(|first| Self { first, rows: rows.min(length - first), at: first })
            .collect()
    }

    fn block(self, heads: Heads) -> Block {
        let Self { first, rows, .. } = self;
        // Rows that begin at multiples of 16 bytes are what matrix units want.
        Block { heads: heads.queries, rows, stride: (first + rows).next_multiple_of(8), first }
    }
}

/// Mix values for a block of rows into `mixed`; gives what [`attend_backward`] needs, the logarithms of the
/// rows' normalisers.
pub fn attend<R: CubeRuntime>(
    products: &Products,
    heads: Heads,
    rows: Rows,
    from: &Attending<R>,
    mixed: &Place<R>,
) -> CubeTensor<R> {
    let block = rows.block(heads);
    let dtype = from.queries.buffer.dtype;
    let scores = empty(from.queries.buffer, [heads.queries * rows.rows, block.stride], DType::F32);
    let seen = rows.first + rows.rows;
    each_of_group(heads, |group| {
        let queries = from.queries.matrices(rows.at, rows.rows, group.queries(), heads.width);
        let keys = from.keys.matrices(0, seen, group.keys(), heads.width);
        let out = group.map(&scores, block, seen);
        products.multiply((&queries, As::Is), (&keys, As::Transposed), &out, heads.scale(), Write::Over);
    });
    let (weights, log_normalisers) = causal_softmax(&scores, block, dtype);
    each_of_group(heads, |group| {
        let weights = group.map(&weights, block, seen);
        let values = from.values.matrices(0, seen, group.keys(), heads.width);
        let out = mixed.matrices(rows.at, rows.rows, group.queries(), heads.width);
        products.multiply((&weights, As::Is), (&values, As::Is), &out, 1.0, Write::Over);
    });
    log_normalisers
}

/// What [`attend_backward`] is given of a block besides queries, keys and values.
#[derive(Debug, Clone)]
pub struct Pull<'a, R: CubeRuntime> {
    /// Gradient of the mixed values.
    pub g_mixed: Place<'a, R>,
    /// Dot products of mixed values and their gradients, `[rows of the queries, heads]`.
    pub dots: &'a CubeTensor<R>,
    /// What [`attend`] gave.
    pub log_normalisers: &'a CubeTensor<R>,
}

/// Carry a gradient of the mixed values of a block to queries, keys and values, in `f32`.
///
/// The gradients of keys and values are sums over the blocks of a cell: `write` says whether this block is the
/// first to write them, which must then be the cell's last, since it sees every column.
#[allow(clippy::too_many_arguments)]
pub fn attend_backward<R: CubeRuntime>(
    products: &Products,
    heads: Heads,
    rows: Rows,
    from: &Attending<R>,
    pull: &Pull<R>,
    to: &Attending<R>,
    write: Write,
) {
    let block = rows.block(heads);
    let dtype = from.queries.buffer.dtype;
    let map = [heads.queries * rows.rows, block.stride];
    let scores = empty(from.queries.buffer, map, DType::F32);
    let g_weights = empty(from.queries.buffer, map, DType::F32);
    let seen = rows.first + rows.rows;
    each_of_group(heads, |group| {
        let queries = from.queries.matrices(rows.at, rows.rows, group.queries(), heads.width);
        let keys = from.keys.matrices(0, seen, group.keys(), heads.width);
        let out = group.map(&scores, block, seen);
        products.multiply((&queries, As::Is), (&keys, As::Transposed), &out, heads.scale(), Write::Over);
        let g_mixed = pull.g_mixed.matrices(rows.at, rows.rows, group.queries(), heads.width);
        let values = from.values.matrices(0, seen, group.keys(), heads.width);
        let out = group.map(&g_weights, block, seen);
        products.multiply((&g_mixed, As::Is), (&values, As::Transposed), &out, 1.0, Write::Over);
    });
    let first_dot = pull.g_mixed.row + rows.at;
    let (weights, g_scores) = causal_softmax_backward(
        &scores,
        pull.log_normalisers,
        &g_weights,
        pull.dots,
        first_dot,
        block,
        dtype,
    );
    each_of_group(heads, |group| {
        let keys_write = if group.number > 0 { Write::Add } else { write };
        let g_scores = group.map(&g_scores, block, seen);
        let keys = from.keys.matrices(0, seen, group.keys(), heads.width);
        let out = to.queries.matrices(rows.at, rows.rows, group.queries(), heads.width);
        products.multiply((&g_scores, As::Is), (&keys, As::Is), &out, heads.scale(), Write::Over);
        let queries = from.queries.matrices(rows.at, rows.rows, group.queries(), heads.width);
        let out = to.keys.matrices(0, seen, group.keys(), heads.width);
        products.multiply((&g_scores, As::Transposed), (&queries, As::Is), &out, heads.scale(), keys_write);
        let weights = group.map(&weights, block, seen);
        let g_mixed = pull.g_mixed.matrices(rows.at, rows.rows, group.queries(), heads.width);
        let out = to.values.matrices(0, seen, group.keys(), heads.width);
        products.multiply((&weights, As::Transposed), (&g_mixed, As::Is), &out, 1.0, keys_write);
    });
}

/// One query head of each key head: those that a single batched product can take.
#[derive(Clone, Copy)]
struct OfGroup {
    heads: Heads,
    number: usize,
}

impl OfGroup {
    fn size(self) -> usize {
        self.heads.queries / self.heads.keys
    }

    /// First, every how many, how many.
    fn queries(self) -> (usize, usize, usize) {
        (self.number, self.size(), self.heads.keys)
    }

    fn keys(self) -> (usize, usize, usize) {
        (0, 1, self.heads.keys)
    }

    /// These heads' rows of a block of the map, as far as they are seen.
    fn map<'a, R: CubeRuntime>(
        self,
        buffer: &'a CubeTensor<R>,
        block: Block,
        seen: usize,
    ) -> Matrices<'a, R> {
        let head = block.rows * block.stride;
        Matrices {
            buffer,
            offset: self.number * head,
            rows: block.rows,
            columns: seen,
            stride: block.stride,
            count: self.heads.keys,
            apart: self.size() * head,
        }
    }
}

fn each_of_group(heads: Heads, mut act: impl FnMut(OfGroup)) {
    (0..heads.queries / heads.keys).for_each(|number| act(OfGroup { heads, number }));
}
