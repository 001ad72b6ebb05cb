//! The decoder on any burn backend, each part with its input gradient.

mod step;

use std::any::Any;

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use screader_kernels::attention::{self, Attended};
use screader_kernels::norm::{rms_norm, rms_norm_backward};
use screader_kernels::rotary::{Rotation, inverse_frequencies};
use screader_kernels::swiglu::{swiglu, swiglu_backward};

use super::batch::Batch;
use super::config::LlamaConfig;
use super::run::{Keep, Run};
use super::weights::{LayerWeights, LinearWeights};

pub(crate) use step::Cache;

/// A frozen affine map; `weight` is `[outputs, inputs]` as published.
struct Linear<B: Backend> {
    weight: Tensor<B, 2>,
    bias: Option<Tensor<B, 2>>,
}

impl<B: Backend> Linear<B> {
    fn new(weights: LinearWeights, dtype: DType, device: &B::Device) -> Self {
        let LinearWeights { weight, bias, outputs, inputs } = weights;
        let row = |values: Vec<f32>| {
            Tensor::<B, 2>::from_data(TensorData::new(values, [1, outputs]), device)
        };
        Self {
            weight: weight.tensor([outputs, inputs], device).cast(dtype),
            bias: bias.map(|bias| row(bias).cast(dtype)),
        }
    }

    /// Map `x`, brought to the type of the weights.
    fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let y = x.cast(self.weight.dtype()).matmul(self.weight.clone().transpose());
        match &self.bias {
            Some(bias) => y + bias.clone(),
            None => y,
        }
    }

    /// Carry `g`, brought to the type of the weights, back to the input.
    fn backward(&self, g: Tensor<B, 2>) -> Tensor<B, 2> {
        g.cast(self.weight.dtype()).matmul(self.weight.clone())
    }
}

struct Layer<B: Backend> {
    input_norm: Tensor<B, 1>,
    query: Linear<B>,
    key: Linear<B>,
    value: Linear<B>,
    output: Linear<B>,
    attention_norm: Tensor<B, 1>,
    gate: Linear<B>,
    up: Linear<B>,
    down: Linear<B>,
}

/// What the gated MLP keeps: its input before the norm, and both branches.
struct SavedMlp<B: Backend> {
    input: Tensor<B, 2>,
    gate: Tensor<B, 2>,
    up: Tensor<B, 2>,
}

/// What one layer keeps for its backward pass.
struct SavedLayer<B: Backend> {
    input: Tensor<B, 2>,
    query: Tensor<B, 5>,
    key: Tensor<B, 4>,
    value: Tensor<B, 4>,
    attended: Attended<B>,
    mlp: SavedMlp<B>,
}

/// What the last layer keeps: keys and values of every token, the rest of one token a cell.
struct SavedLast<B: Backend> {
    input: Tensor<B, 2>,
    query: Tensor<B, 4>,
    key: Tensor<B, 4>,
    value: Tensor<B, 4>,
    weights: Tensor<B, 4>,
    mlp: SavedMlp<B>,
    output: Tensor<B, 2>,
}

/// What the end of the network keeps.
enum SavedEnd<B: Backend> {
    /// Of a last layer that was computed for one token a cell.
    OneToken(SavedLast<B>),
    /// Of one that was computed for all: its output for each cell's last token.
    AllTokens(Tensor<B, 2>),
}

/// What a forward pass keeps for the backward pass.
struct SavedDecoder<B: Backend> {
    batch: Batch,
    rotation: Rotation<B>,
    layers: Vec<SavedLayer<B>>,
    end: SavedEnd<B>,
}

/// The layers and the final norm on a device.
pub(crate) struct Decoder<B: Backend> {
    config: LlamaConfig,
    frequencies: Vec<f64>,
    layers: Vec<Layer<B>>,
    final_norm: Tensor<B, 1>,
    last_layer_whole: bool,
    dtype: DType,
    device: B::Device,
}

impl<B: Backend> Decoder<B> {
    /// Begin a decoder whose weights are of type `dtype`.
    pub(crate) fn new(
        config: &LlamaConfig,
        final_norm: Vec<f32>,
        dtype: DType,
        device: &B::Device,
    ) -> Self {
        Self {
            frequencies: inverse_frequencies(
                config.head_dim,
                config.rope_theta,
                &config.rope_scaling,
            ),
            config: config.clone(),
            layers: Vec::with_capacity(config.num_hidden_layers),
            final_norm: vector(final_norm, device),
            last_layer_whole: false,
            dtype,
            device: device.clone(),
        }
    }

    /// The layers that every token runs through, and the last where one token a cell is asked of it.
    fn split(&self) -> (&[Layer<B>], Option<&Layer<B>>) {
        match self.layers.split_last() {
            Some((last, body)) if !self.last_layer_whole => (body, Some(last)),
            _ => (&self.layers, None),
        }
    }

    fn rotation(&self, batch: &Batch) -> Rotation<B> {
        let positions: Vec<usize> = (0..batch.tokens).collect();
        Rotation::new(&self.frequencies, &positions, &self.device)
    }

    fn rows(&self, x0: Tensor<B, 3>, batch: &Batch) -> Tensor<B, 2> {
        batch.blank_pads(x0).reshape([batch.cells() * batch.tokens, self.config.hidden_size])
    }

    fn scale(&self) -> f64 {
        1.0 / (self.config.head_dim as f64).sqrt()
    }

    /// Normalise the residual stream, which is in `f32`, and bring it to the type of the weights.
    fn normed(&self, x: Tensor<B, 2>, weight: &Tensor<B, 1>) -> Tensor<B, 2> {
        rms_norm(x, weight.clone(), self.config.rms_norm_eps).cast(self.dtype)
    }

    fn normed_backward(
        &self,
        g: Tensor<B, 2>,
        x: Tensor<B, 2>,
        weight: &Tensor<B, 1>,
    ) -> Tensor<B, 2> {
        rms_norm_backward(g.cast(x.dtype()), x, weight.clone(), self.config.rms_norm_eps)
    }

    /// `[cells · tokens, heads · head_dim]` to `[cells, tokens, heads, head_dim]`.
    fn heads(&self, x: Tensor<B, 2>, batch: &Batch) -> Tensor<B, 4> {
        let heads = x.dims()[1] / self.config.head_dim;
        x.reshape([batch.cells(), batch.tokens, heads, self.config.head_dim])
    }

    fn rows_of_heads(x: Tensor<B, 4>) -> Tensor<B, 2> {
        let [cells, heads, tokens, width] = x.dims();
        x.swap_dims(1, 2).reshape([cells * tokens, heads * width])
    }

    /// Query heads by the key head they share, `[cells, kv_heads, group, ..]`.
    fn grouped(&self, cells: usize) -> [usize; 3] {
        let kv_heads = self.config.num_key_value_heads;
        [cells, kv_heads, self.config.num_attention_heads / kv_heads]
    }

    fn keys_and_values(
        &self,
        layer: &Layer<B>,
        normed: Tensor<B, 2>,
        batch: &Batch,
        rotation: &Rotation<B>,
    ) -> (Tensor<B, 4>, Tensor<B, 4>) {
        let key = rotation.apply(self.heads(layer.key.forward(normed.clone()), batch));
        let value = self.heads(layer.value.forward(normed), batch);
        (key.swap_dims(1, 2), value.swap_dims(1, 2))
    }

    fn keys_and_values_backward(
        &self,
        layer: &Layer<B>,
        g_key: Tensor<B, 4>,
        g_value: Tensor<B, 4>,
        rotation: &Rotation<B>,
    ) -> Tensor<B, 2> {
        let g_key = rotation.invert(g_key.swap_dims(1, 2)).swap_dims(1, 2);
        layer.key.backward(Self::rows_of_heads(g_key))
            + layer.value.backward(Self::rows_of_heads(g_value))
    }

    fn layer(
        &self,
        layer: &Layer<B>,
        x: Tensor<B, 2>,
        batch: &Batch,
        rotation: &Rotation<B>,
    ) -> (Tensor<B, 2>, SavedLayer<B>) {
        let normed = self.normed(x.clone(), &layer.input_norm);
        let query = rotation.apply(self.heads(layer.query.forward(normed.clone()), batch));
        let [cells, kv_heads, group] = self.grouped(batch.cells());
        let grouped = [cells, kv_heads, group, batch.tokens, self.config.head_dim];
        let query = query.swap_dims(1, 2).mul_scalar(self.scale()).reshape(grouped);
        let (key, value) = self.keys_and_values(layer, normed, batch, rotation);
        let attended = attention::causal(query.clone(), key.clone(), value.clone());
        let mixed = attended.output.clone().reshape([
            cells,
            kv_heads * group,
            batch.tokens,
            self.config.head_dim,
        ]);
        let middle = add(x.clone(), layer.output.forward(Self::rows_of_heads(mixed)));
        let (output, mlp) = self.mlp(layer, middle);
        (output, SavedLayer { input: x, query, key, value, attended, mlp })
    }

    fn layer_backward(
        &self,
        layer: &Layer<B>,
        g: Tensor<B, 2>,
        saved: SavedLayer<B>,
        batch: &Batch,
        rotation: &Rotation<B>,
    ) -> Tensor<B, 2> {
        let g_middle = self.mlp_backward(layer, g, saved.mlp);
        let [cells, kv_heads, group] = self.grouped(batch.cells());
        let (tokens, width) = (batch.tokens, self.config.head_dim);
        let g_mixed = self.heads(layer.output.backward(g_middle.clone()), batch);
        let g_mixed = g_mixed.swap_dims(1, 2).reshape([cells, kv_heads, group, tokens, width]);
        let (g_query, g_key, g_value) = attention::causal_backward(
            g_mixed,
            saved.query,
            saved.key,
            saved.value,
            saved.attended,
        );
        let g_query = g_query.reshape([cells, kv_heads * group, tokens, width]).swap_dims(1, 2);
        let g_query = rotation.invert(g_query).mul_scalar(self.scale());
        let g_query = g_query.reshape([cells * tokens, kv_heads * group * width]);
        let g_normed = layer.query.backward(g_query)
            + self.keys_and_values_backward(layer, g_key, g_value, rotation);
        g_middle + self.normed_backward(g_normed, saved.input, &layer.input_norm)
    }

    fn mlp(&self, layer: &Layer<B>, x: Tensor<B, 2>) -> (Tensor<B, 2>, SavedMlp<B>) {
        let normed = self.normed(x.clone(), &layer.attention_norm);
        let gate = layer.gate.forward(normed.clone());
        let up = layer.up.forward(normed);
        let output = add(x.clone(), layer.down.forward(swiglu(gate.clone(), up.clone())));
        (output, SavedMlp { input: x, gate, up })
    }

    fn mlp_backward(&self, layer: &Layer<B>, g: Tensor<B, 2>, saved: SavedMlp<B>) -> Tensor<B, 2> {
        let (g_gate, g_up) = swiglu_backward(layer.down.backward(g.clone()), saved.gate, saved.up);
        let g_normed = layer.gate.backward(g_gate) + layer.up.backward(g_up);
        g + self.normed_backward(g_normed, saved.input, &layer.attention_norm)
    }

    /// The last layer and the final norm, of which only the last real token of each cell is asked.
    fn last_layer(
        &self,
        layer: &Layer<B>,
        x: Tensor<B, 2>,
        batch: &Batch,
        rotation: &Rotation<B>,
    ) -> (Tensor<B, 2>, SavedLast<B>) {
        let rows = batch.last_rows::<B>(&self.device);
        let normed = self.normed(x.clone(), &layer.input_norm);
        let [cells, kv_heads, group] = self.grouped(batch.cells());
        let width = self.config.head_dim;
        let query = layer.query.forward(normed.clone().select(0, rows.clone()));
        let query = query.reshape([cells, kv_heads * group, width]);
        let query = self.last_rotation(batch).apply_per_cell(query).mul_scalar(self.scale());
        let query = query.reshape([cells, kv_heads, group, width]);
        let (key, value) = self.keys_and_values(layer, normed, batch, rotation);
        let pads = batch.pads::<B>(&self.device).unsqueeze_dim::<3>(1).unsqueeze_dim::<4>(1);
        let (mixed, weights) = attention::single(query.clone(), key.clone(), value.clone(), pads);
        let mixed = mixed.reshape([cells, kv_heads * group * width]);
        let middle = add(x.clone().select(0, rows), layer.output.forward(mixed));
        let (output, mlp) = self.mlp(layer, middle);
        let epsilon = self.config.rms_norm_eps;
        let h_cls = rms_norm(output.clone(), self.final_norm.clone(), epsilon);
        (h_cls, SavedLast { input: x, query, key, value, weights, mlp, output })
    }

    fn last_layer_backward(
        &self,
        layer: &Layer<B>,
        g_cls: Tensor<B, 2>,
        saved: SavedLast<B>,
        batch: &Batch,
        rotation: &Rotation<B>,
    ) -> Tensor<B, 2> {
        let rows = batch.last_rows::<B>(&self.device);
        let [cells, kv_heads, group] = self.grouped(batch.cells());
        let width = self.config.head_dim;
        let g = self.normed_backward(g_cls, saved.output, &self.final_norm);
        let g_middle = self.mlp_backward(layer, g, saved.mlp);
        let g_mixed =
            layer.output.backward(g_middle.clone()).reshape([cells, kv_heads, group, width]);
        let (g_query, g_key, g_value) =
            attention::single_backward(g_mixed, saved.query, saved.key, saved.value, saved.weights);
        let g_query = g_query.reshape([cells, kv_heads * group, width]);
        let g_query = self.last_rotation(batch).invert_per_cell(g_query).mul_scalar(self.scale());
        let g_query = layer.query.backward(g_query.reshape([cells, kv_heads * group * width]));
        let g_normed = add_at(
            self.keys_and_values_backward(layer, g_key, g_value, rotation),
            rows.clone(),
            g_query,
        );
        let g_input = self.normed_backward(g_normed, saved.input, &layer.input_norm);
        add_at(g_input, rows, g_middle)
    }

    /// What follows the layers that every token runs through.
    fn end(
        &self,
        last: Option<&Layer<B>>,
        x: Tensor<B, 2>,
        batch: &Batch,
        rotation: &Rotation<B>,
    ) -> (Tensor<B, 2>, SavedEnd<B>) {
        let Some(layer) = last else {
            let output = x.select(0, batch.last_rows::<B>(&self.device));
            let epsilon = self.config.rms_norm_eps;
            let h_cls = rms_norm(output.clone(), self.final_norm.clone(), epsilon);
            return (h_cls, SavedEnd::AllTokens(output));
        };
        let (h_cls, saved) = self.last_layer(layer, x, batch, rotation);
        (h_cls, SavedEnd::OneToken(saved))
    }

    fn end_backward(
        &self,
        last: Option<&Layer<B>>,
        g_cls: Tensor<B, 2>,
        saved: SavedEnd<B>,
        batch: &Batch,
        rotation: &Rotation<B>,
    ) -> Tensor<B, 2> {
        match (last, saved) {
            (Some(layer), SavedEnd::OneToken(saved)) => {
                self.last_layer_backward(layer, g_cls, saved, batch, rotation)
            }
            (None, SavedEnd::AllTokens(output)) => {
                let g = self.normed_backward(g_cls, output, &self.final_norm);
                let shape = [batch.cells() * batch.tokens, self.config.hidden_size];
                let none = Tensor::zeros(shape, &self.device);
                add_at(none, batch.last_rows::<B>(&self.device), g)
            }
            _ => unreachable!("saved before the last layer was asked whole"),
        }
    }

    fn last_rotation(&self, batch: &Batch) -> Rotation<B> {
        Rotation::new(&self.frequencies, &batch.last_positions(), &self.device)
    }
}

impl<B: Backend> Run<B> for Decoder<B> {
    fn push(&mut self, weights: LayerWeights) {
        let linear = |weights| Linear::new(weights, self.dtype, &self.device);
        self.layers.push(Layer {
            input_norm: vector(weights.input_norm, &self.device),
            query: linear(weights.query),
            key: linear(weights.key),
            value: linear(weights.value),
            output: linear(weights.output),
            attention_norm: vector(weights.attention_norm, &self.device),
            gate: linear(weights.gate),
            up: linear(weights.up),
            down: linear(weights.down),
        });
    }

    fn compute_last_layer_whole(&mut self) {
        self.last_layer_whole = true;
    }

    /// Run every layer on every token: the residual stream before each layer and after the last one,
    /// the latter normalised; each `[cells, tokens, hidden]`.
    fn hidden_states(&self, x0: Tensor<B, 3>, batch: &Batch) -> Vec<Tensor<B, 3>> {
        let shape = x0.dims();
        let rotation = self.rotation(batch);
        let mut x = self.rows(x0, batch);
        let mut states = vec![x.clone().reshape(shape)];
        for layer in &self.layers {
            x = self.layer(layer, x, batch, &rotation).0;
            states.push(x.clone().reshape(shape));
        }
        if let Some(last) = states.last_mut() {
            *last = rms_norm(last.clone(), self.final_norm.clone(), self.config.rms_norm_eps);
        }
        states
    }

    fn forward(
        &self,
        x0: Tensor<B, 3>,
        batch: &Batch,
        keep: Keep,
    ) -> (Tensor<B, 2>, Option<Box<dyn Any + Send>>) {
        let rotation = self.rotation(batch);
        let mut x = self.rows(x0, batch);
        let (body, last) = self.split();
        let mut layers = Vec::with_capacity(body.len());
        for layer in body {
            let (output, saved) = self.layer(layer, x, batch, &rotation);
            x = output;
            if keep != Keep::Nothing {
                layers.push(saved);
            }
        }
        let (h_cls, end) = self.end(last, x, batch, &rotation);
        let saved = SavedDecoder { batch: batch.clone(), rotation, layers, end };
        (h_cls, (keep != Keep::Nothing).then(|| Box::new(saved) as _))
    }

    fn backward_input(&self, g_cls: Tensor<B, 2>, saved: Box<dyn Any + Send>) -> Tensor<B, 3> {
        let Ok(saved) = saved.downcast::<SavedDecoder<B>>() else {
            unreachable!("saved by a LLaMA of other kernels")
        };
        let SavedDecoder { batch, rotation, layers, end } = *saved;
        let (body, last) = self.split();
        let mut g = self.end_backward(last, g_cls, end, &batch, &rotation);
        for (layer, saved) in body.iter().zip(layers).rev() {
            g = self.layer_backward(layer, g, saved, &batch, &rotation);
        }
        g.reshape([batch.cells(), batch.tokens, self.config.hidden_size])
    }

    fn describe(&self) -> String {
        "burn's operations".into()
    }
}

fn vector<B: Backend>(values: Vec<f32>, device: &B::Device) -> Tensor<B, 1> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}

/// Add `part`, of whatever type, to the residual stream.
fn add<B: Backend>(stream: Tensor<B, 2>, part: Tensor<B, 2>) -> Tensor<B, 2> {
    let dtype = stream.dtype();
    stream + part.cast(dtype)
}

/// Add `part` to distinct `rows` of `sum`.
fn add_at<B: Backend>(
    sum: Tensor<B, 2>,
    rows: Tensor<B, 1, burn::tensor::Int>,
    part: Tensor<B, 2>,
) -> Tensor<B, 2> {
    sum.select_assign(0, rows, part, burn::tensor::IndexingUpdateOp::Add)
}
