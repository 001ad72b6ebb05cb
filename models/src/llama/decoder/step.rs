//! The decoder on any burn backend, going on token by token from what it has read.

use burn::tensor::{Tensor, backend::Backend};
use screader_kernels::attention;
use screader_kernels::norm::rms_norm;
use screader_kernels::rotary::Rotation;

use super::{Batch, Decoder, add};

/// The keys and values of every token read so far, `[1, kv_heads, tokens, head_dim]` a layer.
pub(crate) struct Cache<B: Backend> {
    layers: Vec<(Tensor<B, 4>, Tensor<B, 4>)>,
    tokens: usize,
}

impl<B: Backend> Decoder<B> {
    /// Read the tokens `x0` `[1, tokens, hidden]` in one pass: gives the final-normed last one, `[1, hidden]`,
    /// and what [`Self::step`] goes on from.
    pub(crate) fn read(&self, x0: Tensor<B, 3>) -> (Tensor<B, 2>, Cache<B>) {
        let tokens = x0.dims()[1];
        let batch = Batch::new(x0.dims(), &[tokens]);
        let rotation = self.rotation(&batch);
        let mut x = self.rows(x0, &batch);
        let mut layers = Vec::with_capacity(self.layers.len());
        let Some((last, body)) = self.layers.split_last() else {
            unreachable!("a configuration has layers")
        };
        for layer in body {
            let (output, saved) = self.layer(layer, x, &batch, &rotation);
            x = output;
            layers.push((saved.key, saved.value));
        }
        let (h_last, saved) = self.last_layer(last, x, &batch, &rotation);
        layers.push((saved.key, saved.value));
        (h_last, Cache { layers, tokens })
    }

    /// Go on by the token `x` `[1, hidden]`: gives its final-normed state, `[1, hidden]`.
    pub(crate) fn step(&self, mut x: Tensor<B, 2>, cache: &mut Cache<B>) -> Tensor<B, 2> {
        let one = Batch { tokens: 1, lengths: vec![1] };
        let rotation = Rotation::new(&self.frequencies, &[cache.tokens], &self.device);
        cache.tokens += 1;
        let all = Batch { tokens: cache.tokens, lengths: vec![cache.tokens] };
        let hidden = all.pads::<B>(&self.device).reshape([1, 1, 1, cache.tokens]);
        let [_, kv_heads, group] = self.grouped(1);
        let width = self.config.head_dim;
        for (layer, (keys, values)) in self.layers.iter().zip(&mut cache.layers) {
            let normed = self.normed(x.clone(), &layer.input_norm);
            let query = rotation.apply(self.heads(layer.query.forward(normed.clone()), &one));
            let query = query.mul_scalar(self.scale()).reshape([1, kv_heads, group, width]);
            let (key, value) = self.keys_and_values(layer, normed, &one, &rotation);
            *keys = Tensor::cat(vec![keys.clone(), key], 2);
            *values = Tensor::cat(vec![values.clone(), value], 2);
            let (mixed, _) = attention::single(query, keys.clone(), values.clone(), hidden.clone());
            let mixed = mixed.reshape([1, kv_heads * group * width]);
            let middle = add(x, layer.output.forward(mixed));
            x = self.mlp(layer, middle).0;
        }
        rms_norm(x, self.final_norm.clone(), self.config.rms_norm_eps)
    }
}
