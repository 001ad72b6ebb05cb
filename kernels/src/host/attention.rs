//! Causal grouped-query attention of one cell, blocked over query rows; twin of [`crate::attention`].

use std::sync::Arc;

use faer::Accum;
use rayon::prelude::*;

use super::buffers::{Buffer, Buffers};
use super::product::{matrix, product};
use super::vector;

/// Query rows of one block: its part of the map stays in the second-level cache.
const BLOCK_ROWS: usize = 64;

/// Tokens, head width and the number of query heads that share a key head.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) tokens: usize,
    pub(crate) width: usize,
    pub(crate) group: usize,
}

impl Shape {
    fn keys(&self) -> usize {
        self.tokens * self.width
    }

    fn queries(&self) -> usize {
        self.group * self.keys()
    }

    fn blocks(&self) -> impl Iterator<Item = (usize, usize)> {
        let tokens = self.tokens;
        (0..tokens).step_by(BLOCK_ROWS).map(move |start| (start, (start + BLOCK_ROWS).min(tokens)))
    }
}

/// Mix values: `q`, `output` `[heads, tokens, width]`, `k`, `v` `[kv_heads, tokens, width]`, `q` scaled.
///
/// `log_normalisers` is `[heads, tokens]`.
pub(crate) fn causal(
    output: &mut [f32],
    log_normalisers: &mut [f32],
    q: &[f32],
    k: &[f32],
    v: &[f32],
    shape: Shape,
) {
    let Shape { tokens, width, group } = shape;
    output
        .par_chunks_mut(shape.queries())
        .zip(log_normalisers.par_chunks_mut(group * tokens))
        .zip(q.par_chunks(shape.queries()))
        .zip(k.par_chunks(shape.keys()).zip(v.par_chunks(shape.keys())))
        .for_each(|(((output, log_normalisers), q), (k, v))| {
            let mut map = vec![0.0; BLOCK_ROWS * tokens];
            let mut sums = [0.0; BLOCK_ROWS];
            for head in 0..group {
                let base = head * tokens;
                for (start, end) in shape.blocks() {
                    let rows = end - start;
                    let map = &mut map[..rows * end];
                    let span = (base + start) * width..(base + end) * width;
                    let q = matrix(&q[span.clone()], rows, width);
                    let k = matrix(k, end, width);
                    product(map, q, k.transpose(), Accum::Replace);
                    let normalisers = &mut log_normalisers[base + start..base + end];
                    let sums = &mut sums[..rows];
                    vector::causal_weights(map, end, start, sums, normalisers);
                    let (map, v) = (matrix(map, rows, end), matrix(v, end, width));
                    let output = &mut output[span];
                    product(output, map, v, Accum::Replace);
                    vector::divide_rows(output, width, sums);
                }
            }
        });
}

/// The gradients of queries, keys and values, laid out as these are.
pub(crate) struct Gradients {
    pub(crate) q: Buffer,
    pub(crate) k: Buffer,
    pub(crate) v: Buffer,
}

/// What [`causal`] was given and gave.
pub(crate) struct Kept<'a> {
    pub(crate) q: &'a [f32],
    pub(crate) k: &'a [f32],
    pub(crate) v: &'a [f32],
    pub(crate) output: &'a [f32],
    pub(crate) log_normalisers: &'a [f32],
}

/// Carry a gradient `g` `[heads, tokens, width]` of [`causal`]'s output to its inputs.
pub(crate) fn causal_backward(
    g: &[f32],
    kept: Kept,
    shape: Shape,
    buffers: &Arc<Buffers>,
) -> Gradients {
    let Shape { tokens, group, .. } = shape;
    let mut gradients = Gradients {
        q: buffers.take(kept.q.len()),
        k: buffers.zeros(kept.k.len()),
        v: buffers.zeros(kept.v.len()),
    };
    let heads = gradients
        .q
        .par_chunks_mut(shape.queries())
        .zip(gradients.k.par_chunks_mut(shape.keys()))
        .zip(gradients.v.par_chunks_mut(shape.keys()))
        .enumerate();
    heads.for_each(|(head, ((g_q, g_k), g_v))| {
        let queries = head * shape.queries()..(head + 1) * shape.queries();
        let keys = head * shape.keys()..(head + 1) * shape.keys();
        let rows = head * group * tokens..(head + 1) * group * tokens;
        let kept = Kept {
            q: &kept.q[queries.clone()],
            k: &kept.k[keys.clone()],
            v: &kept.v[keys],
            output: &kept.output[queries.clone()],
            log_normalisers: &kept.log_normalisers[rows],
        };
        key_head_backward(g_q, g_k, g_v, &g[queries], kept, shape);
    });
    gradients
}

fn key_head_backward(
    g_q: &mut [f32],
    g_k: &mut [f32],
    g_v: &mut [f32],
    g: &[f32],
    kept: Kept,
    shape: Shape,
) {
    let Shape { tokens, width, group } = shape;
    let mut map = vec![0.0; BLOCK_ROWS * tokens];
    let mut g_map = vec![0.0; BLOCK_ROWS * tokens];
    for head in 0..group {
        let base = head * tokens;
        for (start, end) in shape.blocks() {
            let rows = end - start;
            let (map, g_map) = (&mut map[..rows * end], &mut g_map[..rows * end]);
            let span = (base + start) * width..(base + end) * width;
            let q = matrix(&kept.q[span.clone()], rows, width);
            let g_rows = &g[span.clone()];
            let g = matrix(g_rows, rows, width);
            let (k, v) = (matrix(kept.k, end, width), matrix(kept.v, end, width));
            product(map, q, k.transpose(), Accum::Replace);
            product(g_map, g, v.transpose(), Accum::Replace);
            let output = &kept.output[span.clone()];
            let normalisers = &kept.log_normalisers[base + start..base + end];
            vector::causal_weights_backward(map, g_map, end, start, normalisers, g_rows, output);
            let (map, g_map) = (matrix(map, rows, end), matrix(g_map, rows, end));
            product(&mut g_q[span], g_map, k, Accum::Replace);
            product(&mut g_k[..end * width], g_map.transpose(), q, Accum::Add);
            product(&mut g_v[..end * width], map.transpose(), g, Accum::Add);
        }
    }
}

/// Mix values for the last token alone: `q`, `output` `[heads, width]`, `weights` `[heads, tokens]`.
pub(crate) fn last(
    output: &mut [f32],
    weights: &mut [f32],
    q: &[f32],
    k: &[f32],
    v: &[f32],
    shape: Shape,
) {
    let Shape { tokens, width, group } = shape;
    let rows = output.chunks_exact_mut(group * width).zip(q.chunks_exact(group * width));
    let keys = k.chunks_exact(shape.keys()).zip(v.chunks_exact(shape.keys()));
    for (((output, q), weights), (k, v)) in
        rows.zip(weights.chunks_exact_mut(group * tokens)).zip(keys)
    {
        let (q, k) = (matrix(q, group, width), matrix(k, tokens, width));
        product(weights, q, k.transpose(), Accum::Replace);
        vector::softmax(weights, tokens);
        let map = matrix(weights, group, tokens);
        product(output, map, matrix(v, tokens, width), Accum::Replace);
    }
}

/// Carry a gradient `g` `[heads, width]` of [`last`]'s output to its inputs.
pub(crate) fn last_backward(
    g: &[f32],
    weights: &[f32],
    q: &[f32],
    k: &[f32],
    v: &[f32],
    shape: Shape,
    buffers: &Arc<Buffers>,
) -> Gradients {
    let Shape { tokens, width, group } = shape;
    let mut gradients =
        Gradients { q: buffers.take(q.len()), k: buffers.take(k.len()), v: buffers.take(v.len()) };
    let mut g_map = vec![0.0; group * tokens];
    for head in 0..k.len() / shape.keys() {
        let own = head * group * width..(head + 1) * group * width;
        let keys = head * shape.keys()..(head + 1) * shape.keys();
        let map_rows = &weights[head * group * tokens..(head + 1) * group * tokens];
        let g = matrix(&g[own.clone()], group, width);
        let map = matrix(map_rows, group, tokens);
        product(&mut gradients.v[keys.clone()], map.transpose(), g, Accum::Replace);
        product(&mut g_map, g, matrix(&v[keys.clone()], tokens, width).transpose(), Accum::Replace);
        vector::softmax_backward(&mut g_map, map_rows, tokens);
        let g_map = matrix(&g_map, group, tokens);
        let k = matrix(&k[keys.clone()], tokens, width);
        product(&mut gradients.q[own.clone()], g_map, k, Accum::Replace);
        let q = matrix(&q[own], group, width);
        product(&mut gradients.k[keys], g_map.transpose(), q, Accum::Replace);
    }
    gradients
}
