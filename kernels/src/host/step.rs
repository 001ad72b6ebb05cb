//! A decoder that goes on token by token from what it has read, whose keys and values it keeps.

use rayon::prelude::*;

use super::decoder::{Decoder, Dimensions};
use super::layer::{Affine, Layer, add};
use super::matvec::{matrix_vector, row_dots, weighted_sum};
use super::rotary::{Rotations, Turn};
use super::vector;

/// The keys and values of every token read so far.
pub struct Cache {
    layers: Vec<LayerCache>,
    tokens: usize,
}

/// Keys, turned to their positions, and values of one layer.
struct LayerCache {
    heads: Vec<HeadCache>,
}

/// Keys and values of one key head, `[tokens, head_dim]` each; they grow at their end.
struct HeadCache {
    keys: Vec<f32>,
    values: Vec<f32>,
}

/// Numbers of keys and values from which attention is worth several tasks.
const TASK_NUMBERS: usize = 1 << 17;

impl Decoder {
    /// Read the tokens `x0` `[tokens, hidden]` in one pass: gives the final-normed last one, `[hidden]`, and
    /// what [`Self::step`] goes on from.
    pub fn read(&self, x0: Vec<f32>) -> (Vec<f32>, Cache) {
        let tokens = x0.len() / self.dimensions.hidden;
        let pass = self.pass(tokens);
        let mut layers = Vec::with_capacity(self.layers.len());
        let mut x = pass.buffers.copy(&x0);
        for (index, layer) in self.layers.iter().enumerate() {
            let last = index + 1 == self.layers.len();
            let run = if last { Layer::forward_last } else { Layer::forward };
            let (output, saved) = run(layer, x, &pass);
            x = output;
            let (keys, values) = saved.into_keys_and_values();
            layers.push(LayerCache::new(&keys, &values, tokens * self.dimensions.head_dim));
        }
        (self.normed(&x), Cache { layers, tokens })
    }

    /// Go on by the token `x` `[hidden]`: gives its final-normed state, `[hidden]`.
    pub fn step(&self, mut x: Vec<f32>, cache: &mut Cache) -> Vec<f32> {
        let rotations = Rotations::at(&self.inverse_frequencies, cache.tokens);
        for (layer, cache) in self.layers.iter().zip(&mut cache.layers) {
            x = layer.step(&x, cache, &self.dimensions, &rotations);
        }
        cache.tokens += 1;
        self.normed(&x)
    }

    fn normed(&self, x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; x.len()];
        vector::rms_norm(&mut y, x, &self.final_norm, self.dimensions.epsilon);
        y
    }
}

impl LayerCache {
    /// Split keys and values `[kv_heads, tokens, head_dim]` by head; `each` numbers a head.
    fn new(keys: &[f32], values: &[f32], each: usize) -> Self {
        let heads = keys.chunks_exact(each).zip(values.chunks_exact(each));
        let head = |(keys, values): (&[f32], &[f32])| HeadCache {
            keys: keys.to_vec(),
            values: values.to_vec(),
        };
        Self { heads: heads.map(head).collect() }
    }
}

impl HeadCache {
    /// Mix the values for the query heads that share this key head: `q`, `mixed` `[group, head_dim]`.
    fn mix(&self, mixed: &mut [f32], q: &[f32], width: usize) {
        let mut weights = vec![0.0; self.keys.len() / width];
        for (mixed, q) in mixed.chunks_exact_mut(width).zip(q.chunks_exact(width)) {
            row_dots(&mut weights, &self.keys, q);
            let tokens = weights.len();
            vector::softmax(&mut weights, tokens);
            weighted_sum(mixed, &weights, &self.values);
        }
    }
}

impl Layer {
    fn step(
        &self,
        x: &[f32],
        cache: &mut LayerCache,
        dimensions: &Dimensions,
        rotations: &Rotations,
    ) -> Vec<f32> {
        let width = dimensions.head_dim;
        let mut normed = vec![0.0; x.len()];
        vector::rms_norm(&mut normed, x, &self.input_norm, dimensions.epsilon);
        let row = self.query_key_value.apply(&normed);
        let (q_row, rest) = row.split_at(dimensions.query_width());
        let (k_row, v_row) = rest.split_at(dimensions.key_width());
        let mut q = vec![0.0; q_row.len()];
        for (to, from) in q.chunks_exact_mut(width).zip(q_row.chunks_exact(width)) {
            rotations.turn(to, from, 0, Turn::Forward, dimensions.scale());
        }
        let rows = k_row.chunks_exact(width).zip(v_row.chunks_exact(width));
        for (head, (key, value)) in cache.heads.iter_mut().zip(rows) {
            let end = head.keys.len();
            head.keys.resize(end + width, 0.0);
            rotations.turn(&mut head.keys[end..], key, 0, Turn::Forward, 1.0);
            head.values.extend_from_slice(value);
        }
        let mut mixed = vec![0.0; q.len()];
        let each = width * dimensions.heads / dimensions.kv_heads;
        let kept: usize = cache.heads.iter().map(|head| head.keys.len() + head.values.len()).sum();
        if kept < TASK_NUMBERS {
            let rows = mixed.chunks_exact_mut(each).zip(q.chunks_exact(each));
            for ((mixed, q), head) in rows.zip(&cache.heads) {
                head.mix(mixed, q, width);
            }
        } else {
            let rows = mixed.par_chunks_exact_mut(each).zip(q.par_chunks_exact(each));
            rows.zip(&cache.heads).for_each(|((mixed, q), head)| head.mix(mixed, q, width));
        }
        let mut middle = self.output.apply(&mixed);
        add(&mut middle, x);
        vector::rms_norm(&mut normed, &middle, &self.attention_norm, dimensions.epsilon);
        let gate_up = self.gate_up.apply(&normed);
        let mut gated = vec![0.0; gate_up.len() / 2];
        let gated_width = gated.len();
        vector::swiglu(&mut gated, &gate_up, gated_width);
        let mut output = self.down.apply(&gated);
        add(&mut output, &middle);
        output
    }
}

impl Affine {
    /// Apply the map to one vector on all cores: `x` is `[inputs]`, the result `[outputs]`.
    ///
    /// # Panics
    /// When `x` is of another length.
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; self.outputs];
        matrix_vector(&mut y, &self.weight, x);
        if let Some(bias) = &self.bias {
            vector::add_bias(&mut y, bias);
        }
        y
    }
}
