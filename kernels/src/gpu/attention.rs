//! Causal grouped-query attention by blocks of query rows, over rows as the linear maps leave them.
//!
//! The twin of [`crate::attention::causal`]. Heads are read and written where they lie in the rows, so
//! nothing is transposed; each cell is computed at its own length. Of the map no more than one block of one
//! cell exists at a time (Dao et al., 2022).

use burn::tensor::DType;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};

use super::empty;
use super::product::{As, Matrices, Product, Products, Write};
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
    /// The first row.
    pub row: usize,
    /// Column of the first head.
    pub column: usize,
}

impl<'a, R: CubeRuntime> Place<'a, R> {
    /// Every `every`th of `heads` heads from head `first` on, `rows` rows of each.
    fn matrices(
        &self,
        rows: usize,
        (first, every, heads): (usize, usize, usize),
        width: usize,
    ) -> Matrices<'a, R> {
        let [_, stride] = self.buffer.meta.shape().dims();
        Matrices {
            buffer: self.buffer,
            offset: self.row * stride + self.column + first * width,
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
    /// Queries, from the first row of the block on.
    pub queries: Place<'a, R>,
    /// Keys, from the cell's first token on.
    pub keys: Place<'a, R>,
    /// Values, from the cell's first token on.
    pub values: Place<'a, R>,
}

/// A block of query rows, of one cell or of the same tokens of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rows {
    /// The token of the first row.
    pub first: usize,
    /// How many.
    pub rows: usize,
}

impl Rows {
    /// Share a cell of `length` tokens out to blocks of about [`BLOCK_ROWS`].
    pub fn of_cell(length: usize) -> Vec<Self> {
        let blocks = ((length + BLOCK_ROWS / 2) / BLOCK_ROWS).max(1);
        let rows = length.div_ceil(blocks).next_multiple_of(8);
        (0..length)
            .step_by(rows)
            .map(|first| Self { first, rows: rows.min(length - first) })
            .collect()
    }

    /// The columns that any of the rows sees.
    fn seen(self) -> usize {
        self.first + self.rows
    }

    fn block(self, heads: Heads, cells: usize) -> Block {
        // Rows that begin at multiples of 16 bytes are what matrix units want.
        let stride = self.seen().next_multiple_of(8);
        Block { cells, heads: heads.queries, rows: self.rows, stride, first: self.first }
    }
}

/// How many cells' blocks may be taken together, so that their maps take at most a gigabyte.
pub fn cells_together(heads: Heads, rows: Rows) -> usize {
    let Block { heads, rows, stride, .. } = rows.block(heads, 1);
    ((1 << 30) / (heads * rows * stride * size_of::<f32>())).max(1)
}

/// Mix values for a block of rows of each cell of `from` into the same place of `mixed`; gives what
/// [`attend_backward`] needs, the logarithms of the rows' normalisers.
pub fn attend<R: CubeRuntime>(
    products: &Products,
    heads: Heads,
    rows: Rows,
    from: &[Attending<R>],
    mixed: &[Place<R>],
) -> CubeTensor<R> {
    let block = rows.block(heads, from.len());
    let like = from[0].queries.buffer;
    let scores = empty(like, block.map(), DType::F32);
    let scoring = OfGroup::each(heads, from.len()).map(|(cell, group)| Product {
        a: (from[cell].queries.matrices(rows.rows, group.queries(), heads.width), As::Is),
        b: (from[cell].keys.matrices(rows.seen(), group.keys(), heads.width), As::Transposed),
        out: group.map(&scores, cell, block, rows.seen()),
        scale: heads.scale(),
        write: Write::Over,
    });
    products.multiply(&scoring.collect::<Vec<_>>());
    let (weights, log_normalisers) = causal_softmax(&scores, block, like.dtype);
    let mixing = OfGroup::each(heads, from.len()).map(|(cell, group)| Product {
        a: (group.map(&weights, cell, block, rows.seen()), As::Is),
        b: (from[cell].values.matrices(rows.seen(), group.keys(), heads.width), As::Is),
        out: mixed[cell].matrices(rows.rows, group.queries(), heads.width),
        scale: 1.0,
        write: Write::Over,
    });
    products.multiply(&mixing.collect::<Vec<_>>());
    log_normalisers
}

/// What [`attend_backward`] is given of a block besides queries, keys and values.
#[derive(Debug, Clone)]
pub struct Pull<'a, R: CubeRuntime> {
    /// Gradient of the mixed values of each cell, from the first row of the block on.
    pub g_mixed: &'a [Place<'a, R>],
    /// Dot products of mixed values and their gradients, `[rows, heads]`.
    pub dots: &'a CubeTensor<R>,
    /// The row of `dots` where each cell's block begins, in `i32`.
    pub dot_rows: &'a CubeTensor<R>,
    /// What [`attend`] gave.
    pub log_normalisers: &'a CubeTensor<R>,
}

/// Carry a gradient of the mixed values of a block to queries, keys and values, in `f32`.
///
/// The gradients of keys and values are sums over the blocks of a cell: `write` says whether this block is the
/// first to write them, which must then be the cell's last, since it sees every column.
pub fn attend_backward<R: CubeRuntime>(
    products: &Products,
    heads: Heads,
    rows: Rows,
    from: &[Attending<R>],
    pull: &Pull<R>,
    to: &[Attending<R>],
    write: Write,
) {
    let block = rows.block(heads, from.len());
    let like = from[0].queries.buffer;
    let scores = empty(like, block.map(), DType::F32);
    let g_weights = empty(like, block.map(), like.dtype);
    let (seen, width) = (rows.seen(), heads.width);
    let scoring = OfGroup::each(heads, from.len()).flat_map(|(cell, group)| {
        let Attending { queries, keys, values } = &from[cell];
        [
            Product {
                a: (queries.matrices(rows.rows, group.queries(), width), As::Is),
                b: (keys.matrices(seen, group.keys(), width), As::Transposed),
                out: group.map(&scores, cell, block, seen),
                scale: heads.scale(),
                write: Write::Over,
            },
            Product {
                a: (pull.g_mixed[cell].matrices(rows.rows, group.queries(), width), As::Is),
                b: (values.matrices(seen, group.keys(), width), As::Transposed),
                out: group.map(&g_weights, cell, block, seen),
                scale: 1.0,
                write: Write::Over,
            },
        ]
    });
    products.multiply(&scoring.collect::<Vec<_>>());
    let (weights, g_scores) = causal_softmax_backward(
        &scores,
        pull.log_normalisers,
        &g_weights,
        [pull.dots, pull.dot_rows],
        block,
        like.dtype,
    );
    let pulling = OfGroup::each(heads, from.len()).flat_map(|(cell, group)| {
        let write = if group.number > 0 { Write::Add } else { write };
        let Attending { queries, keys, .. } = &from[cell];
        [
            Product {
                a: (group.map(&g_scores, cell, block, seen), As::Is),
                b: (keys.matrices(seen, group.keys(), width), As::Is),
                out: to[cell].queries.matrices(rows.rows, group.queries(), width),
                scale: heads.scale(),
                write: Write::Over,
            },
            Product {
                a: (group.map(&g_scores, cell, block, seen), As::Transposed),
                b: (queries.matrices(rows.rows, group.queries(), width), As::Is),
                out: to[cell].keys.matrices(seen, group.keys(), width),
                scale: heads.scale(),
                write,
            },
            Product {
                a: (group.map(&weights, cell, block, seen), As::Transposed),
                b: (pull.g_mixed[cell].matrices(rows.rows, group.queries(), width), As::Is),
                out: to[cell].values.matrices(seen, group.keys(), width),
                scale: 1.0,
                write,
            },
        ]
    });
    products.multiply(&pulling.collect::<Vec<_>>());
}

/// One query head of each key head: those that a single batched product can take.
#[derive(Clone, Copy)]
struct OfGroup {
    heads: Heads,
    number: usize,
}

impl OfGroup {
    /// The groups of every cell.
    fn each(heads: Heads, cells: usize) -> impl Iterator<Item = (usize, Self)> {
        let numbers = move || 0..heads.queries / heads.keys;
        (0..cells).flat_map(move |cell| numbers().map(move |number| (cell, Self { heads, number })))
    }

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

    /// These heads' rows of a cell's block of the map, as far as they are seen.
    fn map<'a, R: CubeRuntime>(
        self,
        buffer: &'a CubeTensor<R>,
        cell: usize,
        block: Block,
        seen: usize,
    ) -> Matrices<'a, R> {
        let head = block.rows * block.stride;
        Matrices {
            buffer,
            offset: (cell * block.heads + self.number) * head,
            rows: block.rows,
            columns: seen,
            stride: block.stride,
            count: self.heads.keys,
            apart: self.size() * head,
        }
    }
}
