//! Kernels for graphics cards, written once in CubeCL for CUDA and Vulkan, and matrix products through
//! cuBLASLt where there is one.
//!
//! Twins of the plain operations of this crate, for buffers that lie row by row. Each is one pass over
//! memory where the plain operation takes several, and the order of the work is the caller's: nothing here
//! waits for the device. The residual stream is in `f32`; everything else is in the type of the weights.

pub mod attention;
#[cfg(feature = "cuda")]
mod cublas;
pub mod norm;
pub mod product;
pub mod quantised;
pub mod rotary;
pub mod softmax;
pub mod swiglu;

use burn::tensor::{DType, Shape};
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::calculate_cube_count_elemwise;
use cubecl::prelude::*;

/// Units of a cube that works on one row together.
const UNITS: u32 = 256;

/// Make a buffer of the device of `like`, row by row, holding nothing yet.
pub fn empty<R: CubeRuntime>(
    like: &CubeTensor<R>,
    shape: impl Into<Shape>,
    dtype: DType,
) -> CubeTensor<R> {
    empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), shape.into(), dtype)
}

/// Numbers that one instruction moves: up to 16 bytes of the widest type involved, where `width`, the
/// length of a row or of a part of it, allows.
fn vector_size(width: usize) -> usize {
    [4, 2].into_iter().find(|size| width.is_multiple_of(*size)).unwrap_or(1)
}

/// The whole buffer of a tensor as a kernel's argument.
fn array<R: CubeRuntime>(tensor: &CubeTensor<R>) -> ArrayArg<R> {
    let length = tensor.meta.num_elements();
    // SAFETY: the handle is the tensor's own, which holds as many numbers as its shape says.
    unsafe { ArrayArg::from_raw_parts(tensor.handle.clone(), length) }
}

/// One cube of [`UNITS`] a row.
fn cube_a_row<R: CubeRuntime>(client: &ComputeClient<R>, rows: usize) -> (CubeCount, CubeDim) {
    (calculate_cube_count_elemwise(client, rows, CubeDim::new_single()), CubeDim::new_1d(UNITS))
}

/// One unit for each of `count` independent pieces of work.
fn unit_a_piece<R: CubeRuntime>(client: &ComputeClient<R>, count: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new_1d(UNITS);
    (calculate_cube_count_elemwise(client, count, dim), dim)
}

/// Add up the parts of a vector.
#[cube]
fn parts<N: Size>(vector: Vector<f32, N>) -> f32 {
    let mut sum = 0.0f32;
    #[unroll]
    for part in 0..N::value() {
        sum += vector[part];
    }
    sum
}

/// Add up one number of each unit of a cube of [`UNITS`]; every unit gets the sum.
#[cube]
fn sum_of_cube(value: f32) -> f32 {
    let mut shared = SharedMemory::<f32>::new(256usize);
    let unit = UNIT_POS as usize;
    shared[unit] = value;
    sync_cube();
    #[unroll]
    for halving in 0..8usize {
        let half = comptime!(128usize >> halving);
        if unit < half {
            let other = shared[unit + half];
            shared[unit] += other;
        }
        sync_cube();
    }
    let all = shared[0];
    // The next use of this memory must not begin while a unit still reads.
    sync_cube();
    all
}

/// The largest of one number of each unit of a cube of [`UNITS`], for every unit.
#[cube]
fn largest_of_cube(value: f32) -> f32 {
    let mut shared = SharedMemory::<f32>::new(256usize);
    let unit = UNIT_POS as usize;
    shared[unit] = value;
    sync_cube();
    #[unroll]
    for halving in 0..8usize {
        let half = comptime!(128usize >> halving);
        if unit < half {
            let other = shared[unit + half];
            shared[unit] = max(shared[unit], other);
        }
        sync_cube();
    }
    let all = shared[0];
    // The next use of this memory must not begin while a unit still reads.
    sync_cube();
    all
}
