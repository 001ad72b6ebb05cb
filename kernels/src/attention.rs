//! Causal grouped-query attention whose maps are never kept.
//!
//! The forward pass keeps only the logarithm of each row's normaliser; the backward pass recomputes the
//! map block by block from it (Dao et al., 2022). Blocks run over query rows, so that the half of the map
//! above the diagonal is mostly skipped.
//!
//! Cells of a batch are right-padded. A real token sees itself and what lies left of it, which is never a
//! pad, so causal attention needs no padding mask: what pads compute reaches no real token, and a gradient
//! that is zero at pads stays zero there.

use burn::tensor::{Bool, Tensor, activation, backend::Backend};

use crate::{narrow, widen};

/// Query rows of one block of the attention map.
pub const BLOCK_ROWS: usize = 128;

/// What [`causal`] gives: the mixed values and each row's normaliser.
#[derive(Debug, Clone)]
pub struct Attended<B: Backend> {
    /// Mixed values, `[cells, kv_heads, group, tokens, head_dim]`.
    pub output: Tensor<B, 5>,
    /// `log Σ exp(score)` of each row, `[cells, kv_heads, group, tokens, 1]`, in `f32` at least.
    pub log_normaliser: Tensor<B, 5>,
}

/// Mix values causally: row `t` of `softmax(q kᵀ)` over columns `0..=t`, times `v`.
///
/// `q` is `[cells, kv_heads, group, tokens, head_dim]`, already scaled by `1/sqrt(head_dim)`; `k` and `v`
/// are `[cells, kv_heads, tokens, head_dim]`, shared by the `group` query heads of each.
pub fn causal<B: Backend>(q: Tensor<B, 5>, k: Tensor<B, 4>, v: Tensor<B, 4>) -> Attended<B> {
    let tokens = q.dims()[3];
    let mut outputs = Vec::new();
    let mut normalisers = Vec::new();
    for start in (0..tokens).step_by(BLOCK_ROWS) {
        let end = (start + BLOCK_ROWS).min(tokens);
        let q = fold(q.clone().narrow(3, start, end - start));
        let (k, v) = (k.clone().narrow(2, 0, end), v.clone().narrow(2, 0, end));
        let shape = Block::of(&q, start, end);
        let scores = shape.mask(widen(q.matmul(k.transpose())));
        let peak = scores.clone().max_dim(3);
        let weights = (scores - peak.clone()).exp();
        let sum = weights.clone().sum_dim(3);
        let mixed = narrow(weights, v.dtype()).matmul(v);
        let dtype = mixed.dtype();
        outputs.push(shape.unfold(narrow(widen(mixed) / sum.clone(), dtype)));
        normalisers.push(shape.unfold(sum.log() + peak));
    }
    Attended { output: Tensor::cat(outputs, 3), log_normaliser: Tensor::cat(normalisers, 3) }
}

/// Carry a gradient from the output of [`causal`] to `(q, k, v)`.
///
/// `g` and `attended.output` are `[cells, kv_heads, group, tokens, head_dim]`. With `P` the map and
/// `D = Σ g·output` per row: `g_v = Pᵀg`, `dS = P·(g vᵀ − D)`, `g_q = dS k`, `g_k = dSᵀ q`.
#[allow(clippy::type_complexity)]
pub fn causal_backward<B: Backend>(
    g: Tensor<B, 5>,
    q: Tensor<B, 5>,
    k: Tensor<B, 4>,
    v: Tensor<B, 4>,
    attended: Attended<B>,
) -> (Tensor<B, 5>, Tensor<B, 4>, Tensor<B, 4>) {
    let tokens = q.dims()[3];
    let dots = (widen(g.clone()) * widen(attended.output)).sum_dim(4);
    let mut g_q = Vec::new();
    let mut g_k = k.zeros_like();
    let mut g_v = v.zeros_like();
    for start in (0..tokens).step_by(BLOCK_ROWS) {
        let end = (start + BLOCK_ROWS).min(tokens);
        let rows = |t: &Tensor<B, 5>| fold(t.clone().narrow(3, start, end - start));
        let (q, g) = (rows(&q), rows(&g));
        let (k, v) = (k.clone().narrow(2, 0, end), v.clone().narrow(2, 0, end));
        let shape = Block::of(&q, start, end);
        let dtype = q.dtype();
        let scores = widen(q.clone().matmul(k.clone().transpose()));
        let weights = shape.mask(scores - rows(&attended.log_normaliser)).exp();
        let pull = widen(g.clone().matmul(v.transpose())) - rows(&dots);
        let g_scores = narrow(weights.clone() * pull, dtype);
        g_q.push(shape.unfold(g_scores.clone().matmul(k)));
        g_k = add_rows(g_k, g_scores.transpose().matmul(q), end);
        g_v = add_rows(g_v, narrow(weights, dtype).transpose().matmul(g), end);
    }
    (Tensor::cat(g_q, 3), g_k, g_v)
}

/// Mix values for one query a cell: `q` `[cells, kv_heads, group, head_dim]`, already scaled.
///
/// `k`, `v` are `[cells, kv_heads, tokens, head_dim]`; `hidden` `[cells, 1, 1, tokens]` is true where a
/// column is a pad. Gives the mixed values `[cells, kv_heads, group, head_dim]` and the map
/// `[cells, kv_heads, group, tokens]`, one row a head, which is small enough to keep.
pub fn single<B: Backend>(
    q: Tensor<B, 4>,
    k: Tensor<B, 4>,
    v: Tensor<B, 4>,
    hidden: Tensor<B, 4, Bool>,
) -> (Tensor<B, 4>, Tensor<B, 4>) {
    let scores = widen(q.matmul(k.transpose()));
    let hidden = hidden.expand(scores.shape());
    let weights =
        narrow(activation::softmax(scores.mask_fill(hidden, f32::NEG_INFINITY), 3), v.dtype());
    (weights.clone().matmul(v), weights)
}

/// Carry a gradient from the output of [`single`] to `(q, k, v)`; pads get zero.
pub fn single_backward<B: Backend>(
    g: Tensor<B, 4>,
    q: Tensor<B, 4>,
    k: Tensor<B, 4>,
    v: Tensor<B, 4>,
    weights: Tensor<B, 4>,
) -> (Tensor<B, 4>, Tensor<B, 4>, Tensor<B, 4>) {
    let g_v = weights.clone().transpose().matmul(g.clone());
    let dtype = v.dtype();
    let g_weights = widen(g.matmul(v.transpose()));
    let weights = widen(weights);
    let dots = (g_weights.clone() * weights.clone()).sum_dim(3);
    let g_scores = narrow(weights * (g_weights - dots), dtype);
    (g_scores.clone().matmul(k), g_scores.transpose().matmul(q), g_v)
}

/// One block of rows of the map, folded to `[cells, kv_heads, group · rows, columns]`.
struct Block {
    cells: usize,
    kv_heads: usize,
    group: usize,
    start: usize,
    end: usize,
}

impl Block {
    fn of<B: Backend>(q: &Tensor<B, 4>, start: usize, end: usize) -> Self {
        let [cells, kv_heads, folded, _] = q.dims();
        Self { cells, kv_heads, group: folded / (end - start), start, end }
    }

    /// Hide what lies right of the diagonal.
    fn mask<B: Backend>(&self, scores: Tensor<B, 4>) -> Tensor<B, 4> {
        let rows = self.end - self.start;
        // `tril_mask` is false on and under the diagonal shifted by `start`, true above it.
        let hidden: Tensor<B, 2, Bool> =
            Tensor::tril_mask([rows, self.end], self.start as i64, &scores.device());
        let hidden = hidden.unsqueeze::<5>();
        let wide = [self.cells, self.kv_heads, self.group, rows, self.end];
        let folded = scores.dims();
        scores.reshape(wide).mask_fill(hidden.expand(wide), f32::NEG_INFINITY).reshape(folded)
    }

    fn unfold<B: Backend>(&self, t: Tensor<B, 4>) -> Tensor<B, 5> {
        let width = t.dims()[3];
        t.reshape([self.cells, self.kv_heads, self.group, self.end - self.start, width])
    }
}

fn fold<B: Backend>(t: Tensor<B, 5>) -> Tensor<B, 4> {
    let [cells, kv_heads, group, rows, width] = t.dims();
    t.reshape([cells, kv_heads, group * rows, width])
}

/// Add `part` to the first `end` token rows of `sum`.
fn add_rows<B: Backend>(sum: Tensor<B, 4>, part: Tensor<B, 4>, end: usize) -> Tensor<B, 4> {
    let [cells, kv_heads, tokens, width] = sum.dims();
    if end == tokens {
        return sum + part;
    }
    let ranges = [0..cells, 0..kv_heads, 0..end, 0..width];
    let rows = sum.clone().slice(ranges.clone()) + part;
    sum.slice_assign(ranges, rows)
}
