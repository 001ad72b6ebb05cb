//! Elementwise kernels over rows, compiled for the widest vectors that the running CPU has.
//!
//! Sums run in eight interleaved lanes: an order that vector units can keep, the same on all of them.

const LANES: usize = 8;

/// Run `operation` in a copy of its code compiled for the CPU's vector extension.
pub(crate) fn vectorised<R>(operation: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(operation)
}

/// `e^x` to within two units in the last place; 0 far below, never infinite.
#[inline(always)]
fn exponential(x: f32) -> f32 {
    // Cephes' expf: x = n·ln 2 + r, a polynomial in r, and n put into the exponent bits. Adding and
    // subtracting 1.5·2²³ rounds to a whole number without a call.
    const ROUND: f32 = 12_582_912.0;
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    p * f32::from_bits(((n as i32 + 127) << 23) as u32)
}

#[inline(always)]
fn fold(row: &[f32], start: f32, join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] = join(lanes[lane], chunk[lane]);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = join(*lane, x);
    }
    lanes.iter().fold(start, |a, &b| join(a, b))
}

/// Sum the products of two rows.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (left, right) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (left_rest, right_rest) = (left.remainder(), right.remainder());
    for (a, b) in left.zip(right) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    for (lane, (a, b)) in lanes.iter_mut().zip(left_rest.iter().zip(right_rest)) {
        *lane += a * b;
    }
    lanes.iter().sum()
}

/// Turn a row of scores into softmax weights; gives the logarithm of their normaliser.
#[inline(always)]
pub(crate) fn softmax(row: &mut [f32]) -> f32 {
    let peak = fold(row, f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
    for x in row.iter_mut() {
        *x = exponential(*x - peak);
    }
    let sum = fold(row, 0.0, |a, b| a + b);
    let inverse = 1.0 / sum;
    for x in row.iter_mut() {
        *x *= inverse;
    }
    peak + sum.ln()
}

/// Turn a row of scores into softmax weights, given the logarithm of their normaliser.
#[inline(always)]
pub(crate) fn softmax_again(row: &mut [f32], log_normaliser: f32) {
    for x in row.iter_mut() {
        *x = exponential(*x - log_normaliser);
    }
}

/// Turn a row of gradients of weights into gradients of scores: `g = weights · (g − pull)`.
#[inline(always)]
pub(crate) fn softmax_backward(g: &mut [f32], weights: &[f32], pull: f32) {
    for (g, w) in g.iter_mut().zip(weights) {
        *g = w * (*g - pull);
    }
}

/// `1 / sqrt(mean(x²) + epsilon)` of a row.
#[inline(always)]
fn inverse_rms(x: &[f32], epsilon: f32) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + epsilon).sqrt()
}

/// Normalise each row of `x` `[rows, weight.len()]` into `y`; see [`crate::norm::rms_norm`].
pub(crate) fn rms_norm(y: &mut [f32], x: &[f32], weight: &[f32], epsilon: f32) {
    let width = weight.len();
    vectorised(|| {
        for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            let inverse = inverse_rms(x, epsilon);
            for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
                *y = x * inverse * w;
            }
        }
    });
}

/// Add the input gradient of [`rms_norm`] to `sum`; see [`crate::norm::rms_norm_backward`].
pub(crate) fn add_rms_norm_backward(
    sum: &mut [f32],
    g: &[f32],
    x: &[f32],
    weight: &[f32],
    epsilon: f32,
) {
    let width = weight.len();
    let mut u = vec![0.0; width];
    vectorised(|| {
        let rows =
            sum.chunks_exact_mut(width).zip(g.chunks_exact(width).zip(x.chunks_exact(width)));
        for (sum, (g, x)) in rows {
            let inverse = inverse_rms(x, epsilon);
            for ((u, g), w) in u.iter_mut().zip(g).zip(weight) {
                *u = g * w;
            }
            let pull = dot(&u, x) / width as f32 * inverse * inverse * inverse;
            for ((sum, u), x) in sum.iter_mut().zip(&u).zip(x) {
                *sum += u * inverse - x * pull;
            }
        }
    });
}

/// Gate each row: `gate_up` `[rows, 2 · width]` holds both branches, `y` is `[rows, width]`.
pub(crate) fn swiglu(y: &mut [f32], gate_up: &[f32], width: usize) {
    vectorised(|| {
        for (y, branches) in y.chunks_exact_mut(width).zip(gate_up.chunks_exact(2 * width)) {
            let (gate, up) = branches.split_at(width);
            for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
                *y = gate / (1.0 + exponential(-gate)) * up;
            }
        }
    });
}

/// Replace both branches by their gradients, given that of [`swiglu`]'s output `[rows, width]`.
pub(crate) fn swiglu_backward(gate_up: &mut [f32], g: &[f32], width: usize) {
    vectorised(|| {
        for (branches, g) in gate_up.chunks_exact_mut(2 * width).zip(g.chunks_exact(width)) {
            let (gate, up) = branches.split_at_mut(width);
            for ((gate, up), g) in gate.iter_mut().zip(up).zip(g) {
                let s = 1.0 / (1.0 + exponential(-*gate));
                let silu = *gate * s;
                *gate = g * *up * (s + silu - silu * s);
                *up = g * silu;
            }
        }
    });
}

/// Add a bias to each row of `y` `[rows, bias.len()]`.
pub(crate) fn add_bias(y: &mut [f32], bias: &[f32]) {
    for row in y.chunks_exact_mut(bias.len()) {
        for (y, b) in row.iter_mut().zip(bias) {
            *y += b;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_is_that_of_the_standard_library() {
        for step in -8_600..8_700 {
            let x = step as f32 * 0.01;
            let (found, expected) = (f64::from(exponential(x)), f64::from(x).exp());
            assert!((found / expected - 1.0).abs() < 3e-7, "e^{x}: {found:e} for {expected:e}");
        }
        assert!(exponential(f32::NEG_INFINITY) < 1e-37);
        assert!(exponential(1e9).is_finite());
    }

    #[test]
    fn softmax_sums_to_one_and_is_repeated_by_its_normaliser() {
        let scores: Vec<f32> = (0..21).map(|i| ((i * 7) % 13) as f32 - 30.0).collect();
        let (mut weights, mut again) = (scores.clone(), scores);
        let log_normaliser = softmax(&mut weights);
        assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        softmax_again(&mut again, log_normaliser);
        for (a, b) in weights.iter().zip(&again) {
            assert!((a - b).abs() < 1e-5 * a.abs() + 1e-12);
        }
    }
}
