//! The host decoder of the kernels crate, fed with a checkpoint's layers and burn's tensors.

use std::any::Any;

use burn::tensor::{Tensor, TensorData, backend::Backend};
use screader_kernels::host::{self, Affine, Dimensions, SavedCell};
use screader_kernels::rotary::inverse_frequencies;

use super::batch::Batch;
use super::config::LlamaConfig;
use super::run::{Keep, Run};
use super::weights::{LayerWeights, LinearWeights};

/// A decoder in host memory, whatever backend the tensors around it live on.
pub(crate) struct HostDecoder {
    decoder: host::Decoder,
    hidden: usize,
}

/// What a forward pass keeps, cell by cell.
struct SavedHost {
    batch: Batch,
    cells: Vec<SavedCell>,
}

impl HostDecoder {
    pub(crate) fn new(config: &LlamaConfig, final_norm: Vec<f32>) -> Self {
        let dimensions = Dimensions {
            hidden: config.hidden_size,
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
            epsilon: config.rms_norm_eps as f32,
        };
        let frequencies =
            inverse_frequencies(config.head_dim, config.rope_theta, &config.rope_scaling);
        let decoder = host::Decoder::new(dimensions, frequencies, final_norm);
        Self { decoder, hidden: config.hidden_size }
    }

    pub(crate) fn push_layer(&mut self, weights: LayerWeights) {
        let LayerWeights { query, key, value, output, gate, up, down, .. } = weights;
        self.decoder.push(host::Layer {
            input_norm: weights.input_norm,
            query_key_value: stack([query, key, value]),
            output: stack([output]),
            attention_norm: weights.attention_norm,
            gate_up: stack([gate, up]),
            down: stack([down]),
        });
    }

    pub(crate) fn into_decoder(self) -> host::Decoder {
        self.decoder
    }
}

impl<B: Backend> Run<B> for HostDecoder {
    fn push(&mut self, weights: LayerWeights) {
        self.push_layer(weights);
    }

    fn compute_last_layer_whole(&mut self) {
        self.decoder.compute_last_layer_whole();
    }

    fn forward(
        &self,
        x0: Tensor<B, 3>,
        batch: &Batch,
        keep: Keep,
    ) -> (Tensor<B, 2>, Option<Box<dyn Any + Send>>) {
        let keep = keep != Keep::Nothing;
        let device = x0.device();
        let x0 = numbers(x0);
        let (h_cls, cells) = self.decoder.forward(&x0, batch.tokens, &batch.lengths, keep);
        let shape = [batch.cells(), self.hidden];
        let h_cls = Tensor::from_data(TensorData::new(h_cls, shape), &device);
        let saved = SavedHost { batch: batch.clone(), cells };
        (h_cls, keep.then(|| Box::new(saved) as _))
    }

    fn backward_input(&self, g_cls: Tensor<B, 2>, saved: Box<dyn Any + Send>) -> Tensor<B, 3> {
        let device = g_cls.device();
        let Ok(saved) = saved.downcast::<SavedHost>() else {
            unreachable!("saved by a LLaMA of other kernels")
        };
        let SavedHost { batch, cells } = *saved;
        let g_cls = numbers(g_cls);
        let g_x0 = self.decoder.backward(&g_cls, cells, batch.tokens, &batch.lengths);
        let shape = [batch.cells(), batch.tokens, self.hidden];
        Tensor::from_data(TensorData::new(g_x0, shape), &device)
    }

    fn hidden_states(&self, x0: Tensor<B, 3>, batch: &Batch) -> Vec<Tensor<B, 3>> {
        let (device, shape) = (x0.device(), x0.dims());
        let states = self.decoder.hidden_states(&numbers(x0), batch.tokens, &batch.lengths);
        let tensor = |state| Tensor::from_data(TensorData::new(state, shape), &device);
        states.into_iter().map(tensor).collect()
    }

    fn describe(&self) -> String {
        "the processor's own kernels".into()
    }
}

fn stack<const N: usize>(parts: [LinearWeights; N]) -> Affine {
    let inputs = parts[0].inputs;
    let part = |part: LinearWeights| (part.weight.into_vec(part.outputs * part.inputs), part.bias);
    Affine::stack(parts.into_iter().map(part).collect(), inputs)
}

/// Bring a tensor's numbers home; the flex backend hands over its buffer where it can.
fn numbers<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    match tensor.into_data().convert::<f32>().into_vec() {
        Ok(numbers) => numbers,
        Err(error) => unreachable!("converted to f32: {error:?}"),
    }
}
