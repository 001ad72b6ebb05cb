//! Rotary position embedding of rows that hold queries, keys and values side by side.

use burn::tensor::DType;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::{array, empty, unit_a_piece, vector_size};

/// Turn the first `turned` columns of `rows`, heads of twice the width of `cos`, in place.
///
/// `cos` and `sin` are `[positions, head_dim / 2]` in `f32`; `positions` gives the position of each row, in
/// `i32`. Rotates halves as [`crate::rotary::Rotation::apply`] does.
pub fn turn<R: CubeRuntime>(
    rows: &CubeTensor<R>,
    turned: usize,
    positions: &CubeTensor<R>,
    [cos, sin]: [&CubeTensor<R>; 2],
) {
    let [count, width] = rows.meta.shape().dims();
    let [_, half] = cos.meta.shape().dims();
    let size = vector_size(half);
    let pairs = count * turned / 2 / size;
    let (cubes, dim) = unit_a_piece(&rows.client, pairs);
    // SAFETY: a pair's two places lie in its row, as `turned` is at most `width` and whole heads; a position
    // is a row of the table by the caller's word, as everywhere in this crate.
    unsafe {
        turn_kernel::launch_unchecked(
            &rows.client,
            cubes,
            dim,
            size,
            array(rows),
            array(positions),
            array(cos),
            array(sin),
            pairs,
            width / size,
            turned / size,
            half / size,
            rows.dtype.into(),
        );
    }
}

/// Turn gradients back: `rows`, in `f32`, to rows of type `dtype`, the first `turned` columns by the inverse
/// rotation, which is its gradient.
pub fn turn_back<R: CubeRuntime>(
    rows: &CubeTensor<R>,
    turned: usize,
    positions: &CubeTensor<R>,
    [cos, sin]: [&CubeTensor<R>; 2],
    dtype: DType,
) -> CubeTensor<R> {
    let [count, width] = rows.meta.shape().dims();
    let [_, half] = cos.meta.shape().dims();
    let size = vector_size(half);
    let out = empty(rows, [count, width], dtype);
    let pairs = count * width / 2 / size;
    let (cubes, dim) = unit_a_piece(&rows.client, pairs);
    // SAFETY: as above, with `out` as long as `rows`.
    unsafe {
        turn_back_kernel::launch_unchecked(
            &rows.client,
            cubes,
            dim,
            size,
            array(rows),
            array(positions),
            array(cos),
            array(sin),
            array(&out),
            pairs,
            width / size,
            turned / size,
            half / size,
            dtype.into(),
        );
    }
    out
}

#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
fn turn_kernel<E: Float, N: Size>(
    rows: &mut Array<Vector<E, N>>,
    positions: &Array<i32>,
    cos: &Array<Vector<f32, N>>,
    sin: &Array<Vector<f32, N>>,
    pairs: usize,
    #[comptime] width: usize,
    #[comptime] turned: usize,
    #[comptime] half: usize,
    #[define(E)] _dtype: StorageType,
) {
    let pair = ABSOLUTE_POS;
    if pair >= pairs {
        terminate!();
    }
    let pairs_a_row = comptime!(turned / 2);
    let row = pair / pairs_a_row;
    let in_row = pair % pairs_a_row;
    let (head, at) = (in_row / half, in_row % half);
    let first = row * width + head * (2 * half) + at;
    let angle = positions[row] as usize * half + at;
    let a = Vector::<f32, N>::cast_from(rows[first]);
    let b = Vector::<f32, N>::cast_from(rows[first + half]);
    rows[first] = Vector::cast_from(a * cos[angle] - b * sin[angle]);
    rows[first + half] = Vector::cast_from(b * cos[angle] + a * sin[angle]);
}

#[cube(launch_unchecked)]
#[allow(clippy::too_many_arguments)]
fn turn_back_kernel<E: Float, N: Size>(
    rows: &Array<Vector<f32, N>>,
    positions: &Array<i32>,
    cos: &Array<Vector<f32, N>>,
    sin: &Array<Vector<f32, N>>,
    out: &mut Array<Vector<E, N>>,
    pairs: usize,
    #[comptime] width: usize,
    #[comptime] turned: usize,
    #[comptime] half: usize,
    #[define(E)] _dtype: StorageType,
) {
    let pair = ABSOLUTE_POS;
    if pair >= pairs {
        terminate!();
    }
    let pairs_a_row = comptime!(width / 2);
    let row = pair / pairs_a_row;
    let in_row = pair % pairs_a_row;
    let (head, at) = (in_row / half, in_row % half);
    let column = head * (2 * half) + at;
    let first = row * width + column;
    let a = rows[first];
    let b = rows[first + half];
    if column < turned {
        let angle = positions[row] as usize * half + at;
        out[first] = Vector::cast_from(a * cos[angle] + b * sin[angle]);
        out[first + half] = Vector::cast_from(b * cos[angle] - a * sin[angle]);
    } else {
        out[first] = Vector::cast_from(a);
        out[first + half] = Vector::cast_from(b);
    }
}
