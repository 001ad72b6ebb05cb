//! Elementwise kernels over rows, compiled for the widest vectors that the running CPU has.
//!
//! Sums run in eight interleaved lanes: an order that vector units can keep, the same on all of them. Loops over
//! two branches of the same row count an index: the compiler makes vectors of that, and of a zip none.

const LANES: usize = 8;

/// Define a function three times: for any CPU, for AVX2 and for AVX-512, which are taken where the running
/// CPU has them.
///
/// None contracts a multiplication and an addition into one rounding, so all give the same bits.
macro_rules! vectorised {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $visibility fn $name($($argument: $kind),*) {
            #[inline(always)]
            #[allow(clippy::needless_range_loop)]
            fn portable($($argument: $kind),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f")]
                fn widest($($argument: $kind),*) {
                    portable($($argument),*)
                }
                #[target_feature(enable = "avx2")]
                fn wide($($argument: $kind),*) {
                    portable($($argument),*)
                }
                if std::arch::is_x86_feature_detected!("avx512f") {
                    // SAFETY: the feature that `widest` is compiled for has just been detected.
                    return unsafe { widest($($argument),*) };
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the feature that `wide` is compiled for has just been detected.
                    return unsafe { wide($($argument),*) };
                }
            }
            portable($($argument),*)
        }
    };
}
pub(crate) use vectorised;

/// `e^x` to within two units in the last place; 0 far below, never infinite.
#[inline(always)]
pub(super) fn exponential(x: f32) -> f32 {
    // Cephes' expf: x = n·ln 2 + r, a polynomial in r, and n put into the exponent bits. Adding and
    // subtracting 1.5·2²³ rounds to a whole number without a call.
    const ROUND: f32 = 12_582_912.0;
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    // The low bits of `shifted` are those of ROUND plus n.
    const BIAS: u32 = 127_u32.wrapping_sub(ROUND.to_bits());
    p * f32::from_bits(shifted.to_bits().wrapping_add(BIAS) << 23)
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

/// Replace a row of scores by `exp(score − peak)`; gives the peak and the sum.
#[inline(always)]
fn exponentials(row: &mut [f32]) -> (f32, f32) {
    let peak = fold(row, f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
    // Two loops, which vector units like better than one that does both.
    row.iter_mut().for_each(|x| *x = exponential(*x - peak));
    (peak, fold(row, 0.0, |a, b| a + b))
}

vectorised! {
    /// Turn rows of scores into softmax weights, each row whole; `map` is `[rows, columns]`.
    pub(crate) fn softmax(map: &mut [f32], columns: usize) {
        for row in map.chunks_exact_mut(columns) {
            let (_, sum) = exponentials(row);
            let inverse = 1.0 / sum;
            row.iter_mut().for_each(|x| *x *= inverse);
        }
    }
}

vectorised! {
    /// Turn a block of causal scores `[rows, columns]` into weights short of their normalisers.
    ///
    /// Row `r` sees the first `start + r + 1` columns and gets zeros in the rest. `sums` and
    /// `log_normalisers`, one a row, receive what divides a row, and the logarithm of its normaliser.
    pub(crate) fn causal_weights(
        map: &mut [f32],
        columns: usize,
        start: usize,
        sums: &mut [f32],
        log_normalisers: &mut [f32],
    ) {
        let rows = map.chunks_exact_mut(columns).zip(sums.iter_mut().zip(log_normalisers));
        for (index, (row, (row_sum, log_normaliser))) in rows.enumerate() {
            let (seen, hidden) = row.split_at_mut(start + index + 1);
            let (peak, sum) = exponentials(seen);
            *row_sum = sum;
            *log_normaliser = peak + sum.ln();
            hidden.fill(0.0);
        }
    }
}

vectorised! {
    /// Divide each row of `y` `[rows, width]` by its sum.
    pub(crate) fn divide_rows(y: &mut [f32], width: usize, sums: &[f32]) {
        for (row, sum) in y.chunks_exact_mut(width).zip(sums) {
            let inverse = 1.0 / sum;
            row.iter_mut().for_each(|y| *y *= inverse);
        }
    }
}

vectorised! {
    /// Turn a block of causal scores into weights, and gradients of weights into gradients of scores.
    ///
    /// `map`, `g_map` are `[rows, columns]`; `g`, `output` the rows of gradient and mixed values, whose
    /// products each row's gradient loses: `g_score = weight · (g_weight − Σ g·output)`.
    pub(crate) fn causal_weights_backward(
        map: &mut [f32],
        g_map: &mut [f32],
        columns: usize,
        start: usize,
        log_normalisers: &[f32],
        g: &[f32],
        output: &[f32],
    ) {
        let width = g.len() / log_normalisers.len();
        let rows = map.chunks_exact_mut(columns).zip(g_map.chunks_exact_mut(columns));
        let mixed = g.chunks_exact(width).zip(output.chunks_exact(width));
        for (index, ((row, g_row), ((g, output), log_normaliser))) in
            rows.zip(mixed.zip(log_normalisers)).enumerate()
        {
            let (weights, hidden) = row.split_at_mut(start + index + 1);
            let (g_weights, g_hidden) = g_row.split_at_mut(start + index + 1);
            let pull = dot(g, output);
            for (weight, g_weight) in weights.iter_mut().zip(g_weights) {
                *weight = exponential(*weight - log_normaliser);
                *g_weight = *weight * (*g_weight - pull);
            }
            hidden.fill(0.0);
            g_hidden.fill(0.0);
        }
    }
}

vectorised! {
    /// Turn gradients of whole rows of softmax weights into gradients of scores.
    pub(crate) fn softmax_backward(g_map: &mut [f32], map: &[f32], columns: usize) {
        for (g, weights) in g_map.chunks_exact_mut(columns).zip(map.chunks_exact(columns)) {
            let pull = dot(g, weights);
            for (g, weight) in g.iter_mut().zip(weights) {
                *g = weight * (*g - pull);
            }
        }
    }
}

/// `1 / sqrt(mean(x²) + epsilon)` of a row.
#[inline(always)]
fn inverse_rms(x: &[f32], epsilon: f32) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + epsilon).sqrt()
}

vectorised! {
    /// Normalise each row of `x` `[rows, weight.len()]` into `y`; see [`crate::norm::rms_norm`].
    pub(crate) fn rms_norm(y: &mut [f32], x: &[f32], weight: &[f32], epsilon: f32) {
        let width = weight.len();
            for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                let inverse = inverse_rms(x, epsilon);
                for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
                    *y = x * inverse * w;
                }
            }
    }
}

vectorised! {
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
    }
}

vectorised! {
    /// Gate each row: `gate_up` `[rows, 2 · width]` holds both branches, `y` is `[rows, width]`.
    pub(crate) fn swiglu(y: &mut [f32], gate_up: &[f32], width: usize) {
            for (y, branches) in y.chunks_exact_mut(width).zip(gate_up.chunks_exact(2 * width)) {
                let (gate, up) = branches.split_at(width);
                for i in 0..width {
                    y[i] = gate[i] / (1.0 + exponential(-gate[i])) * up[i];
                }
            }
    }
}

vectorised! {
    /// Replace both branches by their gradients, given that of [`swiglu`]'s output `[rows, width]`.
    pub(crate) fn swiglu_backward(gate_up: &mut [f32], g: &[f32], width: usize) {
            for (branches, g) in gate_up.chunks_exact_mut(2 * width).zip(g.chunks_exact(width)) {
                let (gate, up) = branches.split_at_mut(width);
                for i in 0..width {
                    let s = 1.0 / (1.0 + exponential(-gate[i]));
                    let silu = gate[i] * s;
                    gate[i] = g[i] * up[i] * (s + silu - silu * s);
                    up[i] = g[i] * silu;
                }
            }
    }
}

vectorised! {
    /// Add a bias to each row of `y` `[rows, bias.len()]`.
    pub(crate) fn add_bias(y: &mut [f32], bias: &[f32]) {
        for row in y.chunks_exact_mut(bias.len()) {
            for (y, b) in row.iter_mut().zip(bias) {
                *y += b;
            }
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
    fn causal_weights_are_softmax_over_what_a_row_sees() {
        let scores: Vec<f32> = (0..3 * 21).map(|i| ((i * 7) % 13) as f32 - 30.0).collect();
        let (mut map, mut sums, mut log_normalisers) = (scores.clone(), [0.0; 3], [0.0; 3]);
        causal_weights(&mut map, 21, 18, &mut sums, &mut log_normalisers);
        for (index, row) in map.chunks(21).enumerate() {
            let mut whole = scores[index * 21..index * 21 + 19 + index].to_vec();
            let columns = whole.len();
            softmax(&mut whole, columns);
            assert!((whole.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            for (found, expected) in row.iter().zip(&whole) {
                assert!((found / sums[index] - expected).abs() < 1e-6);
                let again = (scores[index * 21] - log_normalisers[index]).exp();
                assert!((again - whole[0]).abs() < 1e-6);
            }
            assert!(row[columns..].iter().all(|x| *x == 0.0));
        }
    }
}
