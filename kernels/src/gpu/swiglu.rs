//! The gated activation over rows that hold gate and up side by side, `[rows, 2 · intermediate]`.

use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::{array, empty, unit_a_piece, vector_size};

/// Gate as [`crate::swiglu::swiglu`] does: `[rows, 2 · intermediate] -> [rows, intermediate]`.
pub fn swiglu<R: CubeRuntime>(gate_up: &CubeTensor<R>) -> CubeTensor<R> {
    let [rows, both] = gate_up.meta.shape().dims();
    let width = both / 2;
    let gated = empty(gate_up, [rows, width], gate_up.dtype);
    let size = vector_size(width);
    let (count, dim) = unit_a_piece(&gate_up.client, rows * width / size);
    // SAFETY: every index is under `rows · width`, or under twice that where both halves lie.
    unsafe {
        swiglu_kernel::launch_unchecked(
            &gate_up.client,
            count,
            dim,
            size,
            array(gate_up),
            array(&gated),
            width / size,
            gate_up.dtype.into(),
        );
    }
    gated
}

/// Carry a gradient `[rows, intermediate]` back to gate and up, `[rows, 2 · intermediate]`.
pub fn swiglu_backward<R: CubeRuntime>(
    g: &CubeTensor<R>,
    gate_up: &CubeTensor<R>,
) -> CubeTensor<R> {
    let [rows, width] = g.meta.shape().dims();
    let g_gate_up = empty(gate_up, [rows, 2 * width], gate_up.dtype);
    let size = vector_size(width);
    let (count, dim) = unit_a_piece(&gate_up.client, rows * width / size);
    // SAFETY: as above.
    unsafe {
        swiglu_backward_kernel::launch_unchecked(
            &gate_up.client,
            count,
            dim,
            size,
            array(g),
            array(gate_up),
            array(&g_gate_up),
            width / size,
            gate_up.dtype.into(),
        );
    }
    g_gate_up
}

#[cube(launch_unchecked)]
fn swiglu_kernel<E: Float, N: Size>(
    gate_up: &Array<Vector<E, N>>,
    gated: &mut Array<Vector<E, N>>,
    #[comptime] width: usize,
    #[define(E)] _dtype: StorageType,
) {
    let at = ABSOLUTE_POS;
    if at >= gated.len() {
        terminate!();
    }
    let start = at / width * (2 * width) + at % width;
    let (zero, one) = (Vector::<f32, N>::new(0.0f32), Vector::<f32, N>::new(1.0f32));
    let gate = Vector::<f32, N>::cast_from(gate_up[start]);
    let up = Vector::<f32, N>::cast_from(gate_up[start + width]);
    gated[at] = Vector::cast_from(gate * up / (one + (zero - gate).exp()));
}

#[cube(launch_unchecked)]
fn swiglu_backward_kernel<E: Float, N: Size>(
    g: &Array<Vector<E, N>>,
    gate_up: &Array<Vector<E, N>>,
    g_gate_up: &mut Array<Vector<E, N>>,
    #[comptime] width: usize,
    #[define(E)] _dtype: StorageType,
) {
    let at = ABSOLUTE_POS;
    if at >= g.len() {
        terminate!();
    }
    let start = at / width * (2 * width) + at % width;
    let (zero, one) = (Vector::<f32, N>::new(0.0f32), Vector::<f32, N>::new(1.0f32));
    let pulled = Vector::<f32, N>::cast_from(g[at]);
    let gate = Vector::<f32, N>::cast_from(gate_up[start]);
    let up = Vector::<f32, N>::cast_from(gate_up[start + width]);
    let open = one / (one + (zero - gate).exp());
    let silu = gate * open;
    // s · (1 + gate · (1 − s)) = s + silu · (1 − s)
    let slope = open + silu * (one - open);
    g_gate_up[start] = Vector::cast_from(pulled * up * slope);
    g_gate_up[start + width] = Vector::cast_from(pulled * silu);
}
