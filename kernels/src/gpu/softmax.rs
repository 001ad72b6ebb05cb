//! The softmax of a block of rows of a causal attention map, and its gradient.
//!
//! A block holds rows `first..first + rows` of the map of each head and all columns that any of them sees,
//! `[cells, heads, rows, stride]`, where `stride` is at least `first + rows`; row `r` sees columns `0..=first + r`.

use burn::tensor::DType;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::{
    array, cube_a_row, empty, largest_of_cube, parts, sum_of_cube, unit_a_piece, vector_size,
};

/// Numbers of a row that one instruction moves.
const TOGETHER: usize = 4;

/// Where a block of rows lies in the map.
#[derive(Debug, Clone, Copy)]
pub struct Block {
    /// Cells whose heads lie one after the other.
    pub cells: usize,
    /// Heads of each.
    pub heads: usize,
    /// Rows of each.
    pub rows: usize,
    /// Numbers from one row to the next, a multiple of 8.
    pub stride: usize,
    /// The token of the first row.
    pub first: usize,
}

impl Block {
    /// Shape of a buffer that holds it: rows of the map and their stride.
    pub fn map(self) -> [usize; 2] {
        [self.map_rows(), self.stride]
    }

    fn map_rows(self) -> usize {
        self.cells * self.heads * self.rows
    }
}

/// Turn `scores`, in `f32`, into weights of type `dtype` and the logarithm of each row's normaliser.
pub fn causal_softmax<R: CubeRuntime>(
    scores: &CubeTensor<R>,
    block: Block,
    dtype: DType,
) -> (CubeTensor<R>, CubeTensor<R>) {
    let Block { rows, stride, first, .. } = block;
    let weights = empty(scores, block.map(), dtype);
    let log_normalisers = empty(scores, [block.map_rows()], DType::F32);
    let (count, dim) = cube_a_row(&scores.client, block.map_rows());
    // SAFETY: every index is under the rows of the map times their stride, or under the rows: the buffers'
    // lengths.
    unsafe {
        causal_softmax_kernel::launch_unchecked(
            &scores.client,
            count,
            dim,
            TOGETHER,
            array(scores),
            array(&weights),
            array(&log_normalisers),
            block.map_rows(),
            rows,
            stride / TOGETHER,
            first,
            dtype.into(),
        );
    }
    (weights, log_normalisers)
}

/// Make the weights again from `scores`, in `f32`, and carry a gradient `g_weights` of them back to the scores:
/// `dS = P · (g − D)` with `D` the dot product of each row's output and gradient.
///
/// `dots` holds `D` of every row and head, `[rows, heads]`, and the row where each cell's block begins;
/// gives `(P, dS)` of type `dtype`.
pub fn causal_softmax_backward<R: CubeRuntime>(
    scores: &CubeTensor<R>,
    log_normalisers: &CubeTensor<R>,
    g_weights: &CubeTensor<R>,
    [dots, dot_rows]: [&CubeTensor<R>; 2],
    block: Block,
    dtype: DType,
) -> (CubeTensor<R>, CubeTensor<R>) {
    let Block { heads, rows, stride, first, .. } = block;
    let weights = empty(scores, block.map(), dtype);
    let g_scores = empty(scores, block.map(), dtype);
    let (count, dim) = cube_a_row(&scores.client, block.map_rows());
    // SAFETY: as above; the rows of `dots` are the caller's.
    unsafe {
        causal_softmax_backward_kernel::launch_unchecked(
            &scores.client,
            count,
            dim,
            TOGETHER,
            array(scores),
            array(log_normalisers),
            array(g_weights),
            array(dots),
            array(dot_rows),
            array(&weights),
            array(&g_scores),
            block.map_rows(),
            heads,
            rows,
            stride / TOGETHER,
            first,
            dtype.into(),
        );
    }
    (weights, g_scores)
}

/// Multiply rows of `a` and `b`, `[tokens, heads · width]`, head by head: `[tokens, heads]` in `f32`.
pub fn dots_of_heads<R: CubeRuntime>(
    a: &CubeTensor<R>,
    b: &CubeTensor<R>,
    heads: usize,
) -> CubeTensor<R> {
    let [tokens, all] = a.meta.shape().dims();
    let dots = empty(a, [tokens, heads], DType::F32);
    let width = all / heads;
    let size = vector_size(width);
    let (count, dim) = unit_a_piece(&a.client, tokens * heads);
    // SAFETY: every index is under `tokens · heads · width`, the length of both buffers.
    unsafe {
        dots_kernel::launch_unchecked(
            &a.client,
            count,
            dim,
            size,
            array(a),
            array(b),
            array(&dots),
            width / size,
            a.dtype.into(),
        );
    }
    dots
}

#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
fn causal_softmax_kernel<E: Float, N: Size>(
    scores: &Array<Vector<f32, N>>,
    weights: &mut Array<Vector<E, N>>,
    log_normalisers: &mut Array<f32>,
    all_rows: usize,
    rows: usize,
    stride: usize,
    first: usize,
    #[define(E)] _dtype: StorageType,
) {
    if CUBE_POS >= all_rows {
        terminate!();
    }
    let start = CUBE_POS * stride;
    let seen = CUBE_POS % rows + first + 1;
    let mut peak = f32::new(-3.4e38f32);
    let mut at = UNIT_POS as usize;
    while at * N::value() < seen {
        let values = scores[start + at];
        #[unroll]
        for part in 0..N::value() {
            if at * N::value() + part < seen {
                peak = max(peak, values[part]);
            }
        }
        at += CUBE_DIM as usize;
    }
    let peak = largest_of_cube(peak);
    let mut sum = 0.0f32;
    let mut at = UNIT_POS as usize;
    while at * N::value() < seen {
        let values = (scores[start + at] - Vector::new(peak)).exp();
        #[unroll]
        for part in 0..N::value() {
            if at * N::value() + part < seen {
                sum += values[part];
            }
        }
        at += CUBE_DIM as usize;
    }
    let sum = sum_of_cube(sum);
    let share = Vector::<f32, N>::new(1.0f32 / sum);
    let mut at = UNIT_POS as usize;
    while at < stride {
        let mut values = Vector::<f32, N>::new(0.0f32);
        if at * N::value() < seen {
            values = (scores[start + at] - Vector::new(peak)).exp() * share;
            #[unroll]
            for part in 0..N::value() {
                if at * N::value() + part >= seen {
                    values[part] = 0.0f32;
                }
            }
        }
        weights[start + at] = Vector::cast_from(values);
        at += CUBE_DIM as usize;
    }
    if UNIT_POS == 0 {
        log_normalisers[CUBE_POS] = peak + sum.ln();
    }
}

#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
fn causal_softmax_backward_kernel<E: Float, N: Size>(
    scores: &Array<Vector<f32, N>>,
    log_normalisers: &Array<f32>,
    g_weights: &Array<Vector<E, N>>,
    dots: &Array<f32>,
    dot_rows: &Array<i32>,
    weights: &mut Array<Vector<E, N>>,
    g_scores: &mut Array<Vector<E, N>>,
    all_rows: usize,
    heads: usize,
    rows: usize,
    stride: usize,
    first: usize,
    #[define(E)] _dtype: StorageType,
) {
    if CUBE_POS >= all_rows {
        terminate!();
    }
    let start = CUBE_POS * stride;
    let token = CUBE_POS % rows;
    let seen = token + first + 1;
    let cell_head = CUBE_POS / rows;
    let dot_row = dot_rows[cell_head / heads] as usize + token;
    let log_normaliser = Vector::<f32, N>::new(log_normalisers[CUBE_POS]);
    let dot = Vector::<f32, N>::new(dots[dot_row * heads + cell_head % heads]);
    let mut at = UNIT_POS as usize;
    while at < stride {
        let mut values = Vector::<f32, N>::new(0.0f32);
        let mut pulled = Vector::<f32, N>::new(0.0f32);
        if at * N::value() < seen {
            values = (scores[start + at] - log_normaliser).exp();
            pulled = values * (Vector::cast_from(g_weights[start + at]) - dot);
            #[unroll]
            for part in 0..N::value() {
                // What stands where nothing is seen may be anything.
                if at * N::value() + part >= seen {
                    values[part] = 0.0f32;
                    pulled[part] = 0.0f32;
                }
            }
        }
        weights[start + at] = Vector::cast_from(values);
        g_scores[start + at] = Vector::cast_from(pulled);
        at += CUBE_DIM as usize;
    }
}

#[cube(launch_unchecked)]
fn dots_kernel<E: Float, N: Size>(
    a: &Array<Vector<E, N>>,
    b: &Array<Vector<E, N>>,
    dots: &mut Array<f32>,
    #[comptime] width: usize,
    #[define(E)] _dtype: StorageType,
) {
    let row = ABSOLUTE_POS;
    if row >= dots.len() {
        terminate!();
    }
    let mut sum = Vector::<f32, N>::new(0.0f32);
    for at in 0..width {
        let place = row * width + at;
        sum += Vector::cast_from(a[place]) * Vector::cast_from(b[place]);
    }
    dots[row] = parts::<N>(sum);
}
