//! Powers of a few numbers side by side.

use super::vector::{exponential, vectorised};

/// Numbers that are raised together.
pub const LANES: usize = 8;

/// The natural logarithm of a number that is not next to nothing.
#[inline(always)]
fn logarithm(x: f32) -> f32 {
    // The bits of the root of a half: mantissas go from there to the root of 2.
    const ROOT: u32 = 0x3F35_04F3;
    let shifted = x.to_bits().wrapping_sub(ROOT);
    let whole = (shifted as i32 >> 23) as f32;
    let mantissa = f32::from_bits((shifted & 0x007F_FFFF) + ROOT);
    // The logarithm by the area hyperbolic tangent.
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let square = t * t;
    let series = square * (1.0 / 9.0) + 1.0 / 7.0;
    let series = square * series + 0.2;
    let series = square * series + 1.0 / 3.0;
    let series = square * series + 1.0;
    whole * std::f32::consts::LN_2 + 2.0 * t * series
}

vectorised! {
    /// Raise numbers from 0 to the `exponent`-th power, to a few millionths of each; what is next to nothing counts as
    /// the smallest number of full precision.
    pub fn powers(numbers: &mut [f32; LANES], exponent: f32) {
        for x in numbers.iter_mut() {
            let least = if *x < f32::MIN_POSITIVE { f32::MIN_POSITIVE } else { *x };
            *x = exponential(exponent * logarithm(least));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_those_of_the_standard_library() {
        let mut x = 1e-6f32;
        while x < 1e6 {
            let numbers: [f32; LANES] = std::array::from_fn(|lane| x * (1.0 + lane as f32 / 9.0));
            for exponent in [0.4, 0.79, 0.9, 1.3] {
                let mut found = numbers;
                powers(&mut found, exponent);
                for (found, x) in found.into_iter().zip(numbers) {
                    let wanted = f64::from(x).powf(f64::from(exponent));
                    let off = (f64::from(found) / wanted - 1.0).abs();
                    assert!(off < 3e-6, "{x} to {exponent}: {found}, not {wanted}");
                }
            }
            x *= 1.7;
        }
        let mut least = [0.0; LANES];
        powers(&mut least, 0.9);
        assert!(least.iter().all(|power| (0.0..1e-30).contains(power)), "{least:?}");
    }
}
