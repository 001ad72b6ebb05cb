//! RMS normalisation fused with the residual sum before it, and with the one behind its gradient.

use burn::tensor::DType;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::{array, cube_a_row, empty, parts, sum_of_cube, vector_size};

/// Normalise rows of `x`, in `f32`, as [`crate::norm::rms_norm`] does, into rows of type `dtype`.
pub fn rms_norm<R: CubeRuntime>(
    x: &CubeTensor<R>,
    weight: &CubeTensor<R>,
    epsilon: f32,
    dtype: DType,
) -> CubeTensor<R> {
    let [rows, width] = x.meta.shape().dims();
    let normed = empty(x, [rows, width], dtype);
    let (count, dim) = cube_a_row(&x.client, rows);
    let size = vector_size(width);
    // SAFETY: every index is under `rows · width`, the length of both buffers, or under `width`.
    unsafe {
        rms_norm_kernel::launch_unchecked(
            &x.client,
            count,
            dim,
            size,
            array(x),
            array(weight),
            array(&normed),
            epsilon,
            rows,
            width / size,
            dtype.into(),
        );
    }
    normed
}

/// Add `part` to rows of the residual stream `x` and normalise the sums: gives both.
pub fn add_rms_norm<R: CubeRuntime>(
    x: &CubeTensor<R>,
    part: &CubeTensor<R>,
    weight: &CubeTensor<R>,
    epsilon: f32,
) -> (CubeTensor<R>, CubeTensor<R>) {
    let [rows, width] = x.meta.shape().dims();
    let sum = empty(x, [rows, width], DType::F32);
    let normed = empty(x, [rows, width], part.dtype);
    let (count, dim) = cube_a_row(&x.client, rows);
    let size = vector_size(width);
    // SAFETY: as above, `part` being as long as `x`.
    unsafe {
        add_rms_norm_kernel::launch_unchecked(
            &x.client,
            count,
            dim,
            size,
            array(x),
            array(part),
            array(weight),
            array(&sum),
            array(&normed),
            epsilon,
            rows,
            width / size,
            part.dtype.into(),
        );
    }
    (sum, normed)
}

/// Carry a gradient `g` of normalised rows back to `x` and add it to the residual stream's own gradient
/// `g_stream`: gives the sum in `f32` and in the type of `g`.
pub fn rms_norm_backward<R: CubeRuntime>(
    g_stream: &CubeTensor<R>,
    g: &CubeTensor<R>,
    x: &CubeTensor<R>,
    weight: &CubeTensor<R>,
    epsilon: f32,
) -> (CubeTensor<R>, CubeTensor<R>) {
    let [rows, width] = x.meta.shape().dims();
    let sum = empty(x, [rows, width], DType::F32);
    let narrow = empty(x, [rows, width], g.dtype);
    let (count, dim) = cube_a_row(&x.client, rows);
    let size = vector_size(width);
    // SAFETY: as above, all five buffers of rows being as long as `x`.
    unsafe {
        rms_norm_backward_kernel::launch_unchecked(
            &x.client,
            count,
            dim,
            size,
            array(g_stream),
            array(g),
            array(x),
            array(weight),
            array(&sum),
            array(&narrow),
            epsilon,
            rows,
            width / size,
            g.dtype.into(),
        );
    }
    (sum, narrow)
}

#[cube(launch_unchecked)]
fn rms_norm_kernel<E: Float, N: Size>(
    x: &Array<Vector<f32, N>>,
    weight: &Array<Vector<f32, N>>,
    normed: &mut Array<Vector<E, N>>,
    epsilon: f32,
    rows: usize,
    #[comptime] width: usize,
    #[define(E)] _dtype: StorageType,
) {
    if CUBE_POS >= rows {
        terminate!();
    }
    let start = CUBE_POS * width;
    let mut squares = Vector::<f32, N>::new(0.0f32);
    let mut at = UNIT_POS as usize;
    while at < width {
        let value = x[start + at];
        squares += value * value;
        at += CUBE_DIM as usize;
    }
    let mean = sum_of_cube(parts::<N>(squares)) / f32::cast_from(width * N::value());
    let scale = Vector::<f32, N>::new(1.0f32 / (mean + epsilon).sqrt());
    let mut at = UNIT_POS as usize;
    while at < width {
        normed[start + at] = Vector::cast_from(x[start + at] * scale * weight[at]);
        at += CUBE_DIM as usize;
    }
}

#[cube(launch_unchecked)]
fn add_rms_norm_kernel<E: Float, N: Size>(
    x: &Array<Vector<f32, N>>,
    part: &Array<Vector<E, N>>,
    weight: &Array<Vector<f32, N>>,
    sum: &mut Array<Vector<f32, N>>,
    normed: &mut Array<Vector<E, N>>,
    epsilon: f32,
    rows: usize,
    #[comptime] width: usize,
    #[define(E)] _dtype: StorageType,
) {
    if CUBE_POS >= rows {
        terminate!();
    }
    let start = CUBE_POS * width;
    let mut squares = Vector::<f32, N>::new(0.0f32);
    let mut at = UNIT_POS as usize;
    while at < width {
        let value = x[start + at] + Vector::cast_from(part[start + at]);
        sum[start + at] = value;
        squares += value * value;
        at += CUBE_DIM as usize;
    }
    let mean = sum_of_cube(parts::<N>(squares)) / f32::cast_from(width * N::value());
    let scale = Vector::<f32, N>::new(1.0f32 / (mean + epsilon).sqrt());
    let mut at = UNIT_POS as usize;
    while at < width {
        // Each unit reads what it wrote itself.
        normed[start + at] = Vector::cast_from(sum[start + at] * scale * weight[at]);
        at += CUBE_DIM as usize;
    }
}

#[cube(launch_unchecked)]
fn rms_norm_backward_kernel<E: Float, N: Size>(
    g_stream: &Array<Vector<f32, N>>,
    g: &Array<Vector<E, N>>,
    x: &Array<Vector<f32, N>>,
    weight: &Array<Vector<f32, N>>,
    sum: &mut Array<Vector<f32, N>>,
    narrow: &mut Array<Vector<E, N>>,
    epsilon: f32,
    rows: usize,
    #[comptime] width: usize,
    #[define(E)] _dtype: StorageType,
) {
    if CUBE_POS >= rows {
        terminate!();
    }
    let start = CUBE_POS * width;
    let mut squares = Vector::<f32, N>::new(0.0f32);
    let mut dots = Vector::<f32, N>::new(0.0f32);
    let mut at = UNIT_POS as usize;
    while at < width {
        let value = x[start + at];
        let pulled = Vector::<f32, N>::cast_from(g[start + at]) * weight[at];
        squares += value * value;
        dots += pulled * value;
        at += CUBE_DIM as usize;
    }
    let count = f32::cast_from(width * N::value());
    let scale = 1.0f32 / (sum_of_cube(parts::<N>(squares)) / count + epsilon).sqrt();
    let dot = sum_of_cube(parts::<N>(dots)) / count;
    let along = Vector::<f32, N>::new(scale * scale * dot);
    let scale = Vector::<f32, N>::new(scale);
    let mut at = UNIT_POS as usize;
    while at < width {
        let pulled = Vector::<f32, N>::cast_from(g[start + at]) * weight[at];
        let value = g_stream[start + at] + scale * (pulled - x[start + at] * along);
        sum[start + at] = value;
        narrow[start + at] = Vector::cast_from(value);
        at += CUBE_DIM as usize;
    }
}
