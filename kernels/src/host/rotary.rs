//! Rotary positions over rows of heads, moving between token-major and head-major order on the way.

use super::vector::vectorised;

/// Cosines and sines of positions `0..tokens`, row-major `[tokens, head_dim / 2]`.
pub(crate) struct Rotations {
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
}

/// Which way to turn.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Turn {
    Forward,
    Back,
}

impl Rotations {
    pub(crate) fn new(inverse_frequencies: &[f64], tokens: usize) -> Self {
        let positions: Vec<usize> = (0..tokens).collect();
        Self::of(inverse_frequencies, &positions)
    }

    /// Tabulate one position alone, as the first row.
    pub(crate) fn at(inverse_frequencies: &[f64], position: usize) -> Self {
        Self::of(inverse_frequencies, &[position])
    }

    fn of(inverse_frequencies: &[f64], positions: &[usize]) -> Self {
        let (cos, sin) = crate::rotary::cosines_and_sines(inverse_frequencies, positions);
        Self { cos, sin, half: inverse_frequencies.len() }
    }

    /// Write `scale` times the rotation of one head at one position.
    #[inline(always)]
    pub(crate) fn turn(
        &self,
        target: &mut [f32],
        source: &[f32],
        position: usize,
        turn: Turn,
        scale: f32,
    ) {
        let half = self.half;
        let cos = &self.cos[position * half..(position + 1) * half];
        let sin = &self.sin[position * half..(position + 1) * half];
        let (first, second) = target.split_at_mut(half);
        let (a, b) = source.split_at(half);
        let sign = if turn == Turn::Forward { scale } else { -scale };
        for i in 0..half {
            let (c, s) = (cos[i] * scale, sin[i] * sign);
            first[i] = a[i] * c - b[i] * s;
            second[i] = b[i] * c + a[i] * s;
        }
    }
}

/// Where the heads of one kind lie within token-major rows.
#[derive(Clone, Copy)]
pub(crate) struct Heads {
    /// Numbers in a row.
    pub(crate) row: usize,
    /// First number of the first head.
    pub(crate) start: usize,
    /// Width of a head.
    pub(crate) width: usize,
}

impl Heads {
    fn range(&self, head: usize, token: usize) -> std::ops::Range<usize> {
        let at = token * self.row + self.start + head * self.width;
        at..at + self.width
    }

    /// The same heads in rows that lack their first `width` numbers.
    pub(crate) fn without(self, width: usize) -> Self {
        Self { row: self.row - width, start: self.start - width, ..self }
    }
}

vectorised! {
    /// Gather heads from rows into `[heads, tokens, width]`, turned and scaled on the way.
    pub(crate) fn gather_turned(
        target: &mut [f32],
        rows: &[f32],
        tokens: usize,
        heads: Heads,
        rotations: &Rotations,
        scale: f32,
    ) {
        for (head, target) in target.chunks_exact_mut(tokens * heads.width).enumerate() {
            for (token, target) in target.chunks_exact_mut(heads.width).enumerate() {
                let source = &rows[heads.range(head, token)];
                rotations.turn(target, source, token, Turn::Forward, scale);
            }
        }
    }
}

vectorised! {
    /// Scatter `[heads, tokens, width]` into rows, turned back and scaled on the way.
    pub(crate) fn scatter_turned_back(
        rows: &mut [f32],
        source: &[f32],
        tokens: usize,
        heads: Heads,
        rotations: &Rotations,
        scale: f32,
    ) {
        for (head, source) in source.chunks_exact(tokens * heads.width).enumerate() {
            for (token, source) in source.chunks_exact(heads.width).enumerate() {
                let target = &mut rows[heads.range(head, token)];
                rotations.turn(target, source, token, Turn::Back, scale);
            }
        }
    }
}

/// Gather heads from rows into `[heads, tokens, width]`.
pub(crate) fn gather(target: &mut [f32], rows: &[f32], tokens: usize, heads: Heads) {
    for (head, target) in target.chunks_exact_mut(tokens * heads.width).enumerate() {
        for (token, target) in target.chunks_exact_mut(heads.width).enumerate() {
            target.copy_from_slice(&rows[heads.range(head, token)]);
        }
    }
}

/// Scatter `[heads, tokens, width]` into rows.
pub(crate) fn scatter(rows: &mut [f32], source: &[f32], tokens: usize, heads: Heads) {
    for (head, source) in source.chunks_exact(tokens * heads.width).enumerate() {
        for (token, source) in source.chunks_exact(heads.width).enumerate() {
            rows[heads.range(head, token)].copy_from_slice(source);
        }
    }
}
