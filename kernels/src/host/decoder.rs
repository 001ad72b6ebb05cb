//! All layers and the final norm, one cell a task.

use std::sync::Arc;

use rayon::prelude::*;

use super::attention::Shape;
use super::buffers::{Buffer, Buffers};
use super::layer::{Layer, SavedLayer};
use super::rotary::{Heads, Rotations};
use super::vector;

/// The widths of a decoder.
#[derive(Debug, Clone)]
pub struct Dimensions {
    /// Width of the residual stream.
    pub hidden: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// The constant under the root of the norms.
    pub epsilon: f32,
}

impl Dimensions {
    pub(crate) fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    pub(crate) fn key_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    pub(crate) fn scale(&self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }

    pub(crate) fn shape(&self, tokens: usize) -> Shape {
        Shape { tokens, width: self.head_dim, group: self.heads / self.kv_heads }
    }

    /// Where queries, keys and values lie in the rows of their stacked map.
    pub(crate) fn heads_in_rows(&self) -> [Heads; 3] {
        let (q, k) = (self.query_width(), self.key_width());
        [0, q, q + k].map(|start| Heads { row: q + 2 * k, start, width: self.head_dim })
    }
}

/// What every layer needs on the way over one cell.
pub(crate) struct Pass<'a> {
    pub(crate) dimensions: &'a Dimensions,
    pub(crate) rotations: Rotations,
    pub(crate) buffers: &'a Arc<Buffers>,
}

/// A frozen decoder in host memory.
pub struct Decoder {
    pub(super) dimensions: Dimensions,
    pub(super) inverse_frequencies: Vec<f64>,
    pub(super) layers: Vec<Layer>,
    pub(super) final_norm: Vec<f32>,
    last_layer_whole: bool,
    buffers: Arc<Buffers>,
}

/// What the forward pass of one cell keeps.
pub struct SavedCell {
    layers: Vec<SavedLayer>,
    /// The last token before the final norm.
    output: Buffer,
}

impl Decoder {
    /// Begin a decoder without layers; `final_norm` is `[hidden]`, `inverse_frequencies`
    /// `[head_dim / 2]` as [`crate::rotary::inverse_frequencies`] gives them.
    pub fn new(
        dimensions: Dimensions,
        inverse_frequencies: Vec<f64>,
        final_norm: Vec<f32>,
    ) -> Self {
        let (layers, last_layer_whole) = (Vec::new(), false);
        let buffers = Arc::default();
        Self { dimensions, inverse_frequencies, layers, final_norm, last_layer_whole, buffers }
    }

    /// Let [`Self::forward`] and [`Self::backward`] compute the last layer for every token, which changes
    /// nothing but the time: what it saves to ask for the last token alone can be measured so.
    pub fn compute_last_layer_whole(&mut self) {
        self.last_layer_whole = true;
    }

    /// Whether of layer `index` the last token alone is asked.
    fn asks_last(&self, index: usize) -> bool {
        index + 1 == self.layers.len() && !self.last_layer_whole
    }

    /// Add the next layer.
    pub fn push(&mut self, layer: Layer) {
        self.layers.push(layer);
    }

    /// Begin a pass over cells of up to `tokens`.
    pub(super) fn pass(&self, tokens: usize) -> Pass<'_> {
        let rotations = Rotations::new(&self.inverse_frequencies, tokens);
        Pass { dimensions: &self.dimensions, rotations, buffers: &self.buffers }
    }

    /// Run cells of `x0` `[cells, tokens, hidden]`, right-padded to `tokens`, of the given lengths.
    ///
    /// Gives the final-normed last real token of each cell, `[cells, hidden]`, and what each cell keeps
    /// for [`Self::backward`]. With `keep` false each layer's activations are dropped on the way.
    pub fn forward(
        &self,
        x0: &[f32],
        tokens: usize,
        lengths: &[usize],
        keep: bool,
    ) -> (Vec<f32>, Vec<SavedCell>) {
        let hidden = self.dimensions.hidden;
        let pass = self.pass(tokens);
        let mut h_cls = vec![0.0; lengths.len() * hidden];
        let saved = h_cls
            .par_chunks_mut(hidden)
            .zip(x0.par_chunks(tokens * hidden))
            .zip(lengths.par_iter())
            .map(|((h_cls, x0), length)| {
                let saved = self.cell(&x0[..length * hidden], &pass, keep);
                let epsilon = self.dimensions.epsilon;
                vector::rms_norm(h_cls, &saved.output, &self.final_norm, epsilon);
                saved
            })
            .collect();
        (h_cls, saved)
    }

    fn cell(&self, x0: &[f32], pass: &Pass, keep: bool) -> SavedCell {
        let mut x = pass.buffers.copy(x0);
        let mut layers = Vec::with_capacity(self.layers.len());
        for (index, layer) in self.layers.iter().enumerate() {
            let run = if self.asks_last(index) { Layer::forward_last } else { Layer::forward };
            let (output, saved) = run(layer, x, pass);
            x = output;
            if keep {
                layers.push(saved);
            }
        }
        let last = x.len() - self.dimensions.hidden;
        SavedCell { layers, output: pass.buffers.copy(&x[last..]) }
    }

    /// Carry a gradient `[cells, hidden]` of [`Self::forward`]'s output to `x0`, whose pads get zero.
    pub fn backward(
        &self,
        g_cls: &[f32],
        saved: Vec<SavedCell>,
        tokens: usize,
        lengths: &[usize],
    ) -> Vec<f32> {
        let hidden = self.dimensions.hidden;
        let pass = self.pass(tokens);
        let mut g_x0 = vec![0.0; lengths.len() * tokens * hidden];
        g_x0.par_chunks_mut(tokens * hidden)
            .zip(g_cls.par_chunks(hidden))
            .zip(saved)
            .zip(lengths.par_iter())
            .for_each(|(((g_x0, g_cls), saved), length)| {
                let g = self.cell_backward(g_cls, saved, *length, &pass);
                g_x0[..length * hidden].copy_from_slice(&g);
            });
        g_x0
    }

    fn cell_backward(&self, g_cls: &[f32], saved: SavedCell, tokens: usize, pass: &Pass) -> Buffer {
        let tokens = if self.last_layer_whole { tokens } else { 1 };
        let mut g = pass.buffers.zeros(tokens * g_cls.len());
        let (last, epsilon) = (g.len() - g_cls.len(), self.dimensions.epsilon);
        let (sum, output) = (&mut g[last..], &saved.output);
        vector::add_rms_norm_backward(sum, g_cls, output, &self.final_norm, epsilon);
        for (index, (layer, saved)) in self.layers.iter().zip(saved.layers).enumerate().rev() {
            let run = if self.asks_last(index) { Layer::backward_last } else { Layer::backward };
            g = run(layer, g, saved, pass);
        }
        g
    }

    /// Run every layer on every real token: the residual stream before each layer and after the last,
    /// the latter normalised; each `[cells, tokens, hidden]` with zeros at pads.
    pub fn hidden_states(&self, x0: &[f32], tokens: usize, lengths: &[usize]) -> Vec<Vec<f32>> {
        let (hidden, pass) = (self.dimensions.hidden, self.pass(tokens));
        let mut states = vec![vec![0.0; x0.len()]; self.layers.len() + 1];
        for (cell, length) in lengths.iter().enumerate() {
            let start = cell * tokens * hidden;
            let span = start..start + length * hidden;
            let mut x = pass.buffers.copy(&x0[span.clone()]);
            for (state, layer) in states.iter_mut().zip(&self.layers) {
                state[span.clone()].copy_from_slice(&x);
                x = layer.forward(x, &pass).0;
            }
            if let Some(last) = states.last_mut() {
                let epsilon = self.dimensions.epsilon;
                vector::rms_norm(&mut last[span], &x, &self.final_norm, epsilon);
            }
        }
        states
    }
}
