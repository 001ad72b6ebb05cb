//! A BERT encoder (Devlin et al. 2019, arXiv:1810.04805) on one CPU core, several texts at a time.
//!
//! The tokens of all the texts are the rows of one matrix, so that the products are large and no pad is
//! ever computed; attention alone looks at each text by itself. Callers run several such groups beside
//! each other.

use faer::Accum;

use super::encoder_vector as vector;
use super::product::{block, matrix};
use super::vector::{add_bias, softmax};

/// An affine map `x W + b`.
pub struct Dense {
    /// `[inputs, outputs]`: the layout that the products read fastest.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Dense {
    /// Take `weight` `[outputs, inputs]`, as it is published, and `bias` `[outputs]`.
    ///
    /// # Panics
    /// When `weight` is not a whole number of inputs for each bias.
    pub fn new(weight: &[f32], bias: Vec<f32>) -> Self {
        let (outputs, inputs) = (bias.len(), weight.len() / bias.len());
        assert_eq!(weight.len(), outputs * inputs, "whole rows");
        let mut transposed = vec![0.0; weight.len()];
        for (output, row) in weight.chunks_exact(inputs).enumerate() {
            for (input, &value) in row.iter().enumerate() {
                transposed[input * outputs + output] = value;
            }
        }
        Self { weight: transposed, bias }
    }

    /// Write `x W` to `y` or add it there; the bias is left to the caller.
    fn product(&self, y: &mut [f32], x: &[f32], write: Accum) {
        let (rows, outputs) = (y.len() / self.bias.len(), self.bias.len());
        let inputs = self.weight.len() / outputs;
        block(y, matrix(x, rows, inputs), matrix(&self.weight, inputs, outputs), write);
    }
}

/// Layer normalisation (Ba et al. 2016, arXiv:1607.06450).
pub struct LayerNorm {
    /// `[hidden]`.
    pub scale: Vec<f32>,
    /// `[hidden]`.
    pub shift: Vec<f32>,
    /// Added to the variance.
    pub epsilon: f32,
}

/// The weights of one layer.
pub struct EncoderLayer {
    /// Queries, already divided by √(hidden/heads), then keys, then values: `hidden` to `3 · hidden`.
    pub query_key_value: Dense,
    /// The map out of attention.
    pub attended: Dense,
    /// The norm after attention.
    pub attended_norm: LayerNorm,
    /// The map before the GELU.
    pub widened: Dense,
    /// The map after the GELU.
    pub narrowed: Dense,
    /// The norm after the feed-forward network.
    pub narrowed_norm: LayerNorm,
}

/// A BERT encoder without its pooler.
pub struct Encoder {
    /// `[vocabulary, hidden]`.
    pub words: Vec<f32>,
    /// Position embeddings plus that of the first token type, `[positions, hidden]`.
    pub positions: Vec<f32>,
    /// The norm of the embeddings.
    pub norm: LayerNorm,
    /// The layers, first to last.
    pub layers: Vec<EncoderLayer>,
    /// Attention heads; divides the hidden width.
    pub heads: usize,
}

impl Encoder {
    /// The last hidden states of texts given as token ids, text after text, `[tokens, hidden]`.
    ///
    /// # Panics
    /// On a token beyond the vocabulary and a text with more tokens than there are positions.
    pub fn forward(&self, texts: &[&[u32]]) -> Vec<f32> {
        let hidden = self.norm.scale.len();
        let mut x = self.embed(texts, hidden);
        let tokens = x.len() / hidden;
        let mut wide = Vec::new();
        let mut mixed = vec![0.0; x.len()];
        for layer in &self.layers {
            wide.resize(tokens * 3 * hidden, 0.0);
            layer.query_key_value.product(&mut wide, &x, Accum::Replace);
            add_bias(&mut wide, &layer.query_key_value.bias);
            self.attend(&mut mixed, &wide, texts, hidden);
            // Both products are added to their residual, which `x` already holds.
            layer.attended.product(&mut x, &mixed, Accum::Add);
            layer.attended_norm.forward_biased(&mut x, &layer.attended.bias);
            wide.resize(tokens * layer.widened.bias.len(), 0.0);
            layer.widened.product(&mut wide, &x, Accum::Replace);
            vector::add_bias_gelu(&mut wide, &layer.widened.bias);
            layer.narrowed.product(&mut x, &wide, Accum::Add);
            layer.narrowed_norm.forward_biased(&mut x, &layer.narrowed.bias);
        }
        x
    }

    /// The mean of each text's last hidden states, `[texts, hidden]`.
    ///
    /// # Panics
    /// As [`Encoder::forward`].
    pub fn mean(&self, texts: &[&[u32]]) -> Vec<f32> {
        let hidden = self.norm.scale.len();
        let states = self.forward(texts);
        let mut rows = states.chunks_exact(hidden);
        let mut means = vec![0.0; texts.len() * hidden];
        for (mean, text) in means.chunks_exact_mut(hidden).zip(texts) {
            for row in rows.by_ref().take(text.len()) {
                mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += value);
            }
            let count = text.len() as f32;
            mean.iter_mut().for_each(|mean| *mean /= count);
        }
        means
    }

    fn embed(&self, texts: &[&[u32]], hidden: usize) -> Vec<f32> {
        let tokens = texts.iter().map(|text| text.len()).sum::<usize>();
        let mut x = Vec::with_capacity(tokens * hidden);
        for text in texts {
            for (position, &token) in text.iter().enumerate() {
                let word = &self.words[token as usize * hidden..][..hidden];
                let position = &self.positions[position * hidden..][..hidden];
                x.extend(word.iter().zip(position).map(|(word, position)| word + position));
            }
        }
        self.norm.forward_biased(&mut x, &vec![0.0; hidden]);
        x
    }

    /// Mix the values of each text: `all` `[tokens, 3 · hidden]`, `mixed` `[tokens, hidden]`.
    fn attend(&self, mixed: &mut [f32], all: &[f32], texts: &[&[u32]], hidden: usize) {
        let width = hidden / self.heads;
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        let mut map = vec![0.0; longest * longest];
        let mut parts = vec![0.0; 4 * longest * width];
        let (mut all, mut mixed) = (all, mixed);
        for text in texts {
            let tokens = text.len();
            let (own, rest) = all.split_at(tokens * 3 * hidden);
            let (own_mixed, rest_mixed) = std::mem::take(&mut mixed).split_at_mut(tokens * hidden);
            (all, mixed) = (rest, rest_mixed);
            if tokens == 0 {
                continue;
            }
            let map = &mut map[..tokens * tokens];
            let (queries, parts) = parts.split_at_mut(tokens * width);
            let (keys, parts) = parts.split_at_mut(tokens * width);
            let (values, parts) = parts.split_at_mut(tokens * width);
            let context = &mut parts[..tokens * width];
            for head in (0..hidden).step_by(width) {
                for (token, row) in own.chunks_exact(3 * hidden).enumerate() {
                    let span = token * width..(token + 1) * width;
                    queries[span.clone()].copy_from_slice(&row[head..][..width]);
                    values[span].copy_from_slice(&row[2 * hidden + head..][..width]);
                    // Transposed, as the product reads its right side.
                    for (at, &key) in row[hidden + head..][..width].iter().enumerate() {
                        keys[at * tokens + token] = key;
                    }
                }
                let queries = matrix(queries, tokens, width);
                block(map, queries, matrix(keys, width, tokens), Accum::Replace);
                softmax(map, tokens);
                let weights = matrix(map, tokens, tokens);
                block(context, weights, matrix(values, tokens, width), Accum::Replace);
                for (row, context) in
                    own_mixed.chunks_exact_mut(hidden).zip(context.chunks_exact(width))
                {
                    row[head..head + width].copy_from_slice(context);
                }
            }
        }
    }
}

impl LayerNorm {
    fn forward_biased(&self, x: &mut [f32], bias: &[f32]) {
        vector::normalise(x, bias, &self.scale, &self.shift, self.epsilon);
    }
}
