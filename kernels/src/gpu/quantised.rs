//! Frozen weights of 8 or 4 bits, which a product has made wide again just before it needs them.
//!
//! Numbers lie in blocks of [`BLOCK`] with one scale each: `w ≈ scale · q` with `q` a whole number of
//! `-127..=127` or `-7..=7`, rounded to the nearest. Both passes multiply by the same wide weights, so gradients
//! are exactly those of the network of rounded weights.

use burn::tensor::DType;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::{array, empty, unit_a_piece};

/// Numbers that share a scale.
pub const BLOCK: usize = 32;

/// How many bits a number takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bits {
    /// 8 bits: 8.5 with the scales.
    Eight,
    /// 4 bits: 4.5 with the scales.
    Four,
}

impl Bits {
    fn count(self) -> usize {
        match self {
            Self::Eight => 8,
            Self::Four => 4,
        }
    }

    /// Numbers in a word of 32 bits.
    fn in_word(self) -> usize {
        32 / self.count()
    }

    /// The largest whole number, which is stored as twice itself; the one under its negative is not used.
    fn largest(self) -> u32 {
        (1 << (self.count() - 1)) - 1
    }
}

/// A matrix of few bits.
#[derive(Debug, Clone)]
pub struct Quantised<R: CubeRuntime> {
    codes: CubeTensor<R>,
    scales: CubeTensor<R>,
    shape: [usize; 2],
    bits: Bits,
}

/// Round `weight`, whose scales are kept in its own type.
///
/// # Panics
/// When the numbers of `weight` are no multiple of [`BLOCK`]; [`divides`] tells beforehand.
pub fn quantise<R: CubeRuntime>(weight: &CubeTensor<R>, bits: Bits) -> Quantised<R> {
    let shape: [usize; 2] = weight.meta.shape().dims();
    let numbers = shape[0] * shape[1];
    assert!(divides(shape), "{shape:?} is no whole number of blocks of {BLOCK}");
    let codes = empty(weight, [numbers / bits.in_word()], DType::U32);
    let scales = empty(weight, [numbers / BLOCK], weight.dtype);
    let (count, dim) = unit_a_piece(&weight.client, numbers / BLOCK);
    // SAFETY: a unit reads and writes its own block, of which there are as many as the buffers hold.
    unsafe {
        quantise_kernel::launch_unchecked(
            &weight.client,
            count,
            dim,
            array(weight),
            array(&codes),
            array(&scales),
            numbers / BLOCK,
            bits.count(),
            weight.dtype.into(),
        );
    }
    Quantised { codes, scales, shape, bits }
}

/// Tell whether a matrix can be quantised.
pub fn divides([rows, columns]: [usize; 2]) -> bool {
    (rows * columns).is_multiple_of(BLOCK)
}

impl<R: CubeRuntime> Quantised<R> {
    /// Make the matrix wide again.
    pub fn dequantise(&self) -> CubeTensor<R> {
        let dtype = self.scales.dtype;
        let weight = empty(&self.scales, self.shape, dtype);
        let words = self.codes.meta.num_elements();
        let (count, dim) = unit_a_piece(&weight.client, words);
        // SAFETY: a unit reads its own word and its block's scale, and writes the word's own numbers.
        unsafe {
            dequantise_kernel::launch_unchecked(
                &weight.client,
                count,
                dim,
                4,
                array(&self.codes),
                array(&self.scales),
                array(&weight),
                words,
                self.bits.count(),
                dtype.into(),
            );
        }
        weight
    }
}

/// The twin of [`quantise`] and [`Quantised::dequantise`] on the host: round `weight` and make it wide again.
pub fn rounded(weight: &[f32], bits: Bits) -> Vec<f32> {
    let largest = bits.largest() as f32;
    let block = |block: &[f32]| {
        let peak = block.iter().fold(0.0f32, |peak, value| peak.max(value.abs()));
        let scale = peak / largest;
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        block.iter().map(|value| (value * inverse + 0.5).floor() * scale).collect::<Vec<_>>()
    };
    weight.chunks(BLOCK).flat_map(block).collect()
}

#[cube(launch_unchecked)]
fn quantise_kernel<E: Float>(
    weight: &Array<E>,
    codes: &mut Array<u32>,
    scales: &mut Array<E>,
    blocks: usize,
    #[comptime] bits: usize,
    #[define(E)] _dtype: StorageType,
) {
    let block = ABSOLUTE_POS;
    if block >= blocks {
        terminate!();
    }
    let largest = comptime!(((1u32 << (bits - 1)) - 1) as f32);
    let mut peak = 0.0f32;
    for at in 0..32usize {
        peak = max(peak, f32::cast_from(weight[block * 32 + at]).abs());
    }
    // Rounded first, so that the numbers fit the scale that is kept.
    let scale = E::cast_from(peak / largest);
    scales[block] = scale;
    let scale = f32::cast_from(scale);
    let mut inverse = 0.0f32;
    if scale > 0.0f32 {
        inverse = 1.0f32 / scale;
    }
    let in_word = comptime!(32 / bits);
    for word in 0..bits {
        let mut code = 0u32;
        for part in 0..in_word {
            let value = f32::cast_from(weight[block * 32 + word * in_word + part]);
            let whole = (value * inverse + 0.5f32).floor().clamp(-largest, largest);
            code |= u32::cast_from(whole + largest + 1.0f32) << u32::cast_from(part * bits);
        }
        codes[block * bits + word] = code;
    }
}

#[cube(launch_unchecked)]
fn dequantise_kernel<E: Float, N: Size>(
    codes: &Array<u32>,
    scales: &Array<E>,
    weight: &mut Array<Vector<E, N>>,
    words: usize,
    #[comptime] bits: usize,
    #[define(E)] _dtype: StorageType,
) {
    let word = ABSOLUTE_POS;
    if word >= words {
        terminate!();
    }
    let zero = comptime!((1u32 << (bits - 1)) as f32);
    let mask = comptime!((1u32 << bits) - 1);
    let code = codes[word];
    let scale = f32::cast_from(scales[word / bits]);
    let vectors = comptime!(32 / bits / 4);
    #[unroll]
    for vector in 0..vectors {
        let mut numbers = Vector::<E, N>::new(E::new(0.0f32));
        #[unroll]
        for part in 0..4usize {
            let shift = comptime!(((vector * 4 + part) * bits) as u32);
            let whole = f32::cast_from((code >> shift) & mask) - zero;
            numbers[part] = E::cast_from(whole * scale);
        }
        weight[word * vectors + vector] = numbers;
    }
}
