//! One decoder layer over the tokens of one cell, and its input gradient.

use std::sync::Arc;

use faer::Accum;

use super::attention::{self, Gradients, Kept, Shape};
use super::buffers::{Buffer, Buffers};
use super::decoder::Pass;
use super::product::{matrix, product};
use super::rotary::{Heads, Turn, gather, gather_turned, scatter, scatter_turned_back};
use super::vector;

/// A frozen affine map: `weight` row-major `[outputs, inputs]`, `bias` `[outputs]` or nothing.
pub struct Affine {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Option<Vec<f32>>,
    inputs: usize,
    pub(super) outputs: usize,
}

impl Affine {
    /// Stack maps of the same input: their outputs follow one another.
    ///
    /// # Panics
    /// When a weight is not a whole number of rows of `inputs`, or only some parts have a bias.
    pub fn stack(parts: Vec<(Vec<f32>, Option<Vec<f32>>)>, inputs: usize) -> Self {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for (part_weight, part_bias) in parts {
            assert_eq!(part_weight.len() % inputs, 0, "whole rows");
            weight.extend(part_weight);
            bias.extend(part_bias.unwrap_or_default());
        }
        let outputs = weight.len() / inputs;
        assert!(bias.is_empty() || bias.len() == outputs, "a bias a row, or none");
        Self { weight, bias: (!bias.is_empty()).then_some(bias), inputs, outputs }
    }

    /// Apply the outputs in `range` to the rows of `x`.
    fn part(&self, x: &[f32], range: std::ops::Range<usize>, buffers: &Arc<Buffers>) -> Buffer {
        let rows = x.len() / self.inputs;
        let weight = &self.weight[range.start * self.inputs..range.end * self.inputs];
        let weight = matrix(weight, range.len(), self.inputs);
        let mut y = buffers.take(rows * range.len());
        product(&mut y, matrix(x, rows, self.inputs), weight.transpose(), Accum::Replace);
        if let Some(bias) = &self.bias {
            vector::add_bias(&mut y, &bias[range]);
        }
        y
    }

    fn forward(&self, x: &[f32], buffers: &Arc<Buffers>) -> Buffer {
        self.part(x, 0..self.outputs, buffers)
    }

    fn add_forward(&self, y: &mut [f32], x: &[f32]) {
        let rows = x.len() / self.inputs;
        let weight = matrix(&self.weight, self.outputs, self.inputs);
        product(y, matrix(x, rows, self.inputs), weight.transpose(), Accum::Add);
        if let Some(bias) = &self.bias {
            vector::add_bias(y, bias);
        }
    }

    /// Carry the gradient of the outputs in `range` to the input.
    fn part_backward(
        &self,
        g: &[f32],
        range: std::ops::Range<usize>,
        buffers: &Arc<Buffers>,
    ) -> Buffer {
        let rows = g.len() / range.len();
        let weight = &self.weight[range.start * self.inputs..range.end * self.inputs];
        let mut g_x = buffers.take(rows * self.inputs);
        let g = matrix(g, rows, range.len());
        product(&mut g_x, g, matrix(weight, range.len(), self.inputs), Accum::Replace);
        g_x
    }

    fn backward(&self, g: &[f32], buffers: &Arc<Buffers>) -> Buffer {
        self.part_backward(g, 0..self.outputs, buffers)
    }
}

/// The weights of one layer.
pub struct Layer {
    /// Weight of the norm before attention, `[hidden]`.
    pub input_norm: Vec<f32>,
    /// Queries, then keys, then values, `[(heads + 2 · kv_heads) · head_dim, hidden]`.
    pub query_key_value: Affine,
    /// The map out of attention, `[hidden, heads · head_dim]`.
    pub output: Affine,
    /// Weight of the norm before the MLP, `[hidden]`.
    pub attention_norm: Vec<f32>,
    /// Gates, then ups, `[2 · intermediate, hidden]`.
    pub gate_up: Affine,
    /// The map out of the MLP, `[hidden, intermediate]`.
    pub down: Affine,
}

/// What one layer keeps of one cell.
pub(crate) struct SavedLayer {
    input: Buffer,
    q: Buffer,
    k: Buffer,
    v: Buffer,
    /// Mixed values `[heads, tokens, width]` of every token, or `[heads, width]` of the last.
    mixed: Buffer,
    /// Normalisers of every row of the map, or the one row of the last token.
    map: Buffer,
    middle: Buffer,
    gate_up: Buffer,
}

impl SavedLayer {
    /// Keys, turned to their positions, and values: `[kv_heads, tokens, head_dim]` each.
    pub(super) fn into_keys_and_values(self) -> (Buffer, Buffer) {
        (self.k, self.v)
    }
}

impl Layer {
    /// Run the layer on every token: `x` `[tokens, hidden]`.
    pub(crate) fn forward(&self, x: Buffer, pass: &Pass) -> (Buffer, SavedLayer) {
        let Pass { dimensions, rotations, buffers } = pass;
        let tokens = x.len() / dimensions.hidden;
        let normed = self.normed(&x, &self.input_norm, pass);
        let rows = self.query_key_value.forward(&normed, buffers);
        let [queries, keys, values] = dimensions.heads_in_rows();
        let (mut q, scale) = (buffers.take(tokens * dimensions.query_width()), dimensions.scale());
        let mut k = buffers.take(tokens * dimensions.key_width());
        let mut v = buffers.take(k.len());
        gather_turned(&mut q, &rows, tokens, queries, rotations, scale);
        gather_turned(&mut k, &rows, tokens, keys, rotations, 1.0);
        gather(&mut v, &rows, tokens, values);
        let mut mixed = buffers.take(q.len());
        let mut map = buffers.take(tokens * dimensions.heads);
        attention::causal(&mut mixed, &mut map, &q, &k, &v, dimensions.shape(tokens));
        let mut mixed_rows = buffers.take(q.len());
        let heads = Heads { row: dimensions.query_width(), ..queries };
        scatter(&mut mixed_rows, &mixed, tokens, heads);
        let mut middle = buffers.copy(&x);
        self.output.add_forward(&mut middle, &mixed_rows);
        let (output, gate_up) = self.mlp(&middle, pass);
        (output, SavedLayer { input: x, q, k, v, mixed, map, middle, gate_up })
    }

    /// Carry a gradient `[tokens, hidden]` from the output of [`Self::forward`] to its input.
    pub(crate) fn backward(&self, g: Buffer, saved: SavedLayer, pass: &Pass) -> Buffer {
        let Pass { dimensions, rotations, buffers } = pass;
        let tokens = g.len() / dimensions.hidden;
        let SavedLayer { input, q, k, v, mixed, map, middle, gate_up } = saved;
        let mut g = self.mlp_backward(g, &middle, gate_up, pass);
        let [queries, keys, values] = dimensions.heads_in_rows();
        let g_rows = self.output.backward(&g, buffers);
        let mut g_mixed = buffers.take(q.len());
        let heads = Heads { row: dimensions.query_width(), ..queries };
        gather(&mut g_mixed, &g_rows, tokens, heads);
        let kept = Kept { q: &q, k: &k, v: &v, output: &mixed, log_normalisers: &map };
        let gradients =
            attention::causal_backward(&g_mixed, kept, dimensions.shape(tokens), buffers);
        let mut g_rows = buffers.take(tokens * queries.row);
        let scale = dimensions.scale();
        scatter_turned_back(&mut g_rows, &gradients.q, tokens, queries, rotations, scale);
        scatter_turned_back(&mut g_rows, &gradients.k, tokens, keys, rotations, 1.0);
        scatter(&mut g_rows, &gradients.v, tokens, values);
        let g_normed = self.query_key_value.backward(&g_rows, buffers);
        let (norm, epsilon) = (&self.input_norm, dimensions.epsilon);
        vector::add_rms_norm_backward(&mut g, &g_normed, &input, norm, epsilon);
        g
    }

    /// Run the layer for the last token alone, which needs the keys and values of all: gives `[hidden]`.
    pub(crate) fn forward_last(&self, x: Buffer, pass: &Pass) -> (Buffer, SavedLayer) {
        let Pass { dimensions, rotations, buffers } = pass;
        let tokens = x.len() / dimensions.hidden;
        let normed = self.normed(&x, &self.input_norm, pass);
        let last = (tokens - 1) * dimensions.hidden;
        let query_width = dimensions.query_width();
        let q_row = self.query_key_value.part(&normed[last..], 0..query_width, buffers);
        let rows =
            self.query_key_value.part(&normed, query_width..self.query_key_value.outputs, buffers);
        let [_, keys, values] = dimensions.heads_in_rows();
        let mut q = buffers.take(query_width);
        let width = dimensions.head_dim;
        for (to, from) in q.chunks_exact_mut(width).zip(q_row.chunks_exact(width)) {
            rotations.turn(to, from, tokens - 1, Turn::Forward, dimensions.scale());
        }
        let mut k = buffers.take(tokens * dimensions.key_width());
        let mut v = buffers.take(k.len());
        let [keys, values] = [keys, values].map(|heads| heads.without(query_width));
        gather_turned(&mut k, &rows, tokens, keys, rotations, 1.0);
        gather(&mut v, &rows, tokens, values);
        let mut mixed = buffers.take(query_width);
        let mut map = buffers.take(dimensions.heads * tokens);
        attention::last(&mut mixed, &mut map, &q, &k, &v, dimensions.shape(tokens));
        let mut middle = buffers.copy(&x[last..]);
        self.output.add_forward(&mut middle, &mixed);
        let (output, gate_up) = self.mlp(&middle, pass);
        (output, SavedLayer { input: x, q, k, v, mixed, map, middle, gate_up })
    }

    /// Carry a gradient `[hidden]` from the output of [`Self::forward_last`] to `[tokens, hidden]`.
    pub(crate) fn backward_last(&self, g: Buffer, saved: SavedLayer, pass: &Pass) -> Buffer {
        let Pass { dimensions, rotations, buffers } = pass;
        let SavedLayer { input, q, k, v, map, middle, gate_up, .. } = saved;
        let tokens = input.len() / dimensions.hidden;
        let g_middle = self.mlp_backward(g, &middle, gate_up, pass);
        let g_mixed = self.output.backward(&g_middle, buffers);
        let shape: Shape = dimensions.shape(tokens);
        let Gradients { q: g_q, k: g_k, v: g_v } =
            attention::last_backward(&g_mixed, &map, &q, &k, &v, shape, buffers);
        let query_width = dimensions.query_width();
        let width = dimensions.head_dim;
        let mut g_q_row = buffers.take(query_width);
        for (to, from) in g_q_row.chunks_exact_mut(width).zip(g_q.chunks_exact(width)) {
            rotations.turn(to, from, tokens - 1, Turn::Back, dimensions.scale());
        }
        let [_, keys, values] = dimensions.heads_in_rows();
        let [keys, values] = [keys, values].map(|heads| heads.without(query_width));
        let mut g_rows = buffers.take(tokens * keys.row);
        scatter_turned_back(&mut g_rows, &g_k, tokens, keys, rotations, 1.0);
        scatter(&mut g_rows, &g_v, tokens, values);
        let all = self.query_key_value.outputs;
        let mut g_normed = self.query_key_value.part_backward(&g_rows, query_width..all, buffers);
        let last = (tokens - 1) * dimensions.hidden;
        let g_query = self.query_key_value.part_backward(&g_q_row, 0..query_width, buffers);
        add(&mut g_normed[last..], &g_query);
        let mut g = buffers.zeros(input.len());
        g[last..].copy_from_slice(&g_middle);
        let (norm, epsilon) = (&self.input_norm, dimensions.epsilon);
        vector::add_rms_norm_backward(&mut g, &g_normed, &input, norm, epsilon);
        g
    }

    fn normed(&self, x: &[f32], weight: &[f32], pass: &Pass) -> Buffer {
        let mut y = pass.buffers.take(x.len());
        vector::rms_norm(&mut y, x, weight, pass.dimensions.epsilon);
        y
    }

    fn mlp(&self, x: &[f32], pass: &Pass) -> (Buffer, Buffer) {
        let buffers = pass.buffers;
        let normed = self.normed(x, &self.attention_norm, pass);
        let gate_up = self.gate_up.forward(&normed, buffers);
        let mut gated = buffers.take(gate_up.len() / 2);
        vector::swiglu(&mut gated, &gate_up, self.down.inputs);
        let mut y = pass.buffers.copy(x);
        self.down.add_forward(&mut y, &gated);
        (y, gate_up)
    }

    fn mlp_backward(&self, mut g: Buffer, x: &[f32], mut gate_up: Buffer, pass: &Pass) -> Buffer {
        let Pass { dimensions, buffers, .. } = pass;
        let g_gated = self.down.backward(&g, buffers);
        vector::swiglu_backward(&mut gate_up, &g_gated, self.down.inputs);
        let g_normed = self.gate_up.backward(&gate_up, buffers);
        let (norm, epsilon) = (&self.attention_norm, dimensions.epsilon);
        vector::add_rms_norm_backward(&mut g, &g_normed, x, norm, epsilon);
        g
    }
}

pub(super) fn add(sum: &mut [f32], part: &[f32]) {
    for (sum, part) in sum.iter_mut().zip(part) {
        *sum += part;
    }
}
