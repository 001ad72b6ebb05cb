//! All layers and the final norm, one cell a task.

use rayon::prelude::*;

use super::attention::Shape;
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

/// A frozen decoder in host memory.
pub struct Decoder {
    pub(super) dimensions: Dimensions,
    pub(super) inverse_frequencies: Vec<f64>,
    pub(super) layers: Vec<Layer>,
    pub(super) final_norm: Vec<f32>,
}

/// What the forward pass of one cell keeps.
pub struct SavedCell {
    layers: Vec<SavedLayer>,
    /// The last token before the final norm.
    output: Vec<f32>,
}

impl Decoder {
    /// Begin a decoder without layers; `final_norm` is `[hidden]`, `inverse_frequencies`
    /// `[head_dim / 2]` as [`crate::rotary::inverse_frequencies`] gives them.
    pub fn new(
        dimensions: Dimensions,
        inverse_frequencies: Vec<f64>,
        final_norm: Vec<f32>,
    ) -> Self {
        Self { dimensions, inverse_frequencies, layers: Vec::new(), final_norm }
    }

    /// Add the next layer.
    pub fn push(&mut self, layer: Layer) {
        self.layers.push(layer);
    }

    pub(super) fn rotations(&self, tokens: usize) -> Rotations {
        Rotations::new(&self.inverse_frequencies, tokens)
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
        let rotations = self.rotations(tokens);
        let mut h_cls = vec![0.0; lengths.len() * hidden];
        let saved = h_cls
            .par_chunks_mut(hidden)
            .zip(x0.par_chunks(tokens * hidden))
            .zip(lengths.par_iter())
            .map(|((h_cls, x0), length)| {
                let saved = self.cell(x0[..length * hidden].to_vec(), &rotations, keep);
                let epsilon = self.dimensions.epsilon;
                vector::rms_norm(h_cls, &saved.output, &self.final_norm, epsilon);
                saved
            })
            .collect();
        (h_cls, saved)
    }

    fn cell(&self, mut x: Vec<f32>, rotations: &Rotations, keep: bool) -> SavedCell {
        let mut layers = Vec::with_capacity(self.layers.len());
        for (index, layer) in self.layers.iter().enumerate() {
            let last = index + 1 == self.layers.len();
            let run = if last { Layer::forward_last } else { Layer::forward };
            let (output, saved) = run(layer, x, &self.dimensions, rotations);
            x = output;
            if keep {
                layers.push(saved);
            }
        }
        SavedCell { layers, output: x }
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
        let rotations = self.rotations(tokens);
        let mut g_x0 = vec![0.0; lengths.len() * tokens * hidden];
        g_x0.par_chunks_mut(tokens * hidden)
            .zip(g_cls.par_chunks(hidden))
            .zip(saved)
            .zip(lengths.par_iter())
            .for_each(|(((g_x0, g_cls), saved), length)| {
                let g = self.cell_backward(g_cls, saved, &rotations);
                g_x0[..length * hidden].copy_from_slice(&g);
            });
        g_x0
    }

    fn cell_backward(&self, g_cls: &[f32], saved: SavedCell, rotations: &Rotations) -> Vec<f32> {
        let mut g = vec![0.0; g_cls.len()];
        let epsilon = self.dimensions.epsilon;
        vector::add_rms_norm_backward(&mut g, g_cls, &saved.output, &self.final_norm, epsilon);
        for (index, (layer, saved)) in self.layers.iter().zip(saved.layers).enumerate().rev() {
            let last = index + 1 == self.layers.len();
            let run = if last { Layer::backward_last } else { Layer::backward };
            g = run(layer, g, saved, &self.dimensions, rotations);
        }
        g
    }

    /// Run every layer on every real token: the residual stream before each layer and after the last,
    /// the latter normalised; each `[cells, tokens, hidden]` with zeros at pads.
    pub fn hidden_states(&self, x0: &[f32], tokens: usize, lengths: &[usize]) -> Vec<Vec<f32>> {
        let (hidden, rotations) = (self.dimensions.hidden, self.rotations(tokens));
        let mut states = vec![vec![0.0; x0.len()]; self.layers.len() + 1];
        for (cell, length) in lengths.iter().enumerate() {
            let start = cell * tokens * hidden;
            let span = start..start + length * hidden;
            let mut x = x0[span.clone()].to_vec();
            for (state, layer) in states.iter_mut().zip(&self.layers) {
                state[span.clone()].copy_from_slice(&x);
                x = layer.forward(x, &self.dimensions, &rotations).0;
            }
            if let Some(last) = states.last_mut() {
                let epsilon = self.dimensions.epsilon;
                vector::rms_norm(&mut last[span], &x, &self.final_norm, epsilon);
            }
        }
        states
    }
}
