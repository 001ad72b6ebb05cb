//! The decoder on a graphics card: fused kernels, products at the card's rate, and nothing computed for pads.

mod affine;
mod end;
mod layer;
mod packed;
mod tensors;

use std::any::Any;

use burn::tensor::{DType, IndexingUpdateOp, Tensor, TensorData};
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime};
use screader_kernels::gpu::attention::Heads;
use screader_kernels::gpu::norm::rms_norm;
use screader_kernels::gpu::product::Products;
use screader_kernels::gpu::quantised::{Bits, divides, quantise};
use screader_kernels::rotary::inverse_frequencies;

use super::batch::Batch;
use super::config::LlamaConfig;
use super::run::{Keep, Run};
use super::weights::{LayerWeights, LinearWeights};
use affine::{Affine, Weight};
use end::SavedEnd;
use layer::{Layer, SavedLayer};
use packed::{Packed, real_rows};
use tensors::{of_burn, to_burn, vector};

type Gpu<R, BT> = CubeBackend<R, f32, i32, BT>;

/// What a forward pass keeps for the backward pass.
struct Saved<R: CubeRuntime> {
    packed: Packed<R>,
    layers: Vec<SavedLayer<R>>,
    end: SavedEnd<R>,
}

/// The layers and the final norm on a graphics card.
pub(crate) struct FusedDecoder<R: CubeRuntime> {
    config: LlamaConfig,
    frequencies: Vec<f64>,
    layers: Vec<Layer<R>>,
    final_norm: CubeTensor<R>,
    last_layer_whole: bool,
    dtype: DType,
    bits: Option<Bits>,
    products: Products,
    why_burn: Option<String>,
    device: R::CubeDevice,
}

impl<R: CubeRuntime> FusedDecoder<R> {
    /// Begin a decoder that multiplies in `dtype`, with weights of that type or of fewer bits.
    pub(crate) fn new(
        config: &LlamaConfig,
        final_norm: Vec<f32>,
        dtype: DType,
        bits: Option<Bits>,
        device: &R::CubeDevice,
    ) -> Self {
        let (products, why_burn) = Products::for_device::<R>(device);
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
            bits,
            products,
            why_burn,
            device: device.clone(),
        }
    }

    fn heads(&self) -> Heads {
        Heads {
            queries: self.config.num_attention_heads,
            keys: self.config.num_key_value_heads,
            width: self.config.head_dim,
        }
    }

    fn epsilon(&self) -> f32 {
        self.config.rms_norm_eps as f32
    }

    /// The layers that every token runs through, and the last where one token a cell is asked of it.
    fn split(&self) -> (&[Layer<R>], Option<&Layer<R>>) {
        match self.layers.split_last() {
            Some((last, body)) if !self.last_layer_whole => (body, Some(last)),
            _ => (&self.layers, None),
        }
    }

    /// The norm that follows layer `index`.
    fn norm_after(&self, index: usize) -> &CubeTensor<R> {
        self.layers.get(index + 1).map_or(&self.final_norm, |layer| &layer.input_norm)
    }

    fn run(
        &self,
        x: CubeTensor<R>,
        packed: &Packed<R>,
        keep: Keep,
    ) -> (CubeTensor<R>, Vec<SavedLayer<R>>, SavedEnd<R>) {
        let (body, last) = self.split();
        let mut saved = Vec::new();
        let mut stream = self.stream(x, &self.layers[0].input_norm);
        for (index, layer) in body.iter().enumerate() {
            let input = stream.x.clone();
            let (next, attention, mlp) = self.layer(layer, stream, self.norm_after(index), packed);
            stream = next;
            match keep {
                Keep::Nothing => {}
                Keep::Inputs => saved.push(SavedLayer { input, rest: None }),
                Keep::Everything => saved.push(SavedLayer { input, rest: Some((attention, mlp)) }),
            }
        }
        let (h_cls, end) = self.end(last, stream, packed);
        (h_cls, saved, end)
    }
}

impl<R: CubeRuntime, BT: BoolElement> Run<Gpu<R, BT>> for FusedDecoder<R> {
    fn push(&mut self, weights: LayerWeights) {
        let LayerWeights { query, key, value, output, gate, up, down, .. } = weights;
        let stack = |parts: Vec<LinearWeights>| {
            let (weights, biases): (Vec<_>, Vec<_>) = parts
                .into_iter()
                .map(|LinearWeights { weight, bias, outputs, inputs }| {
                    let weight = weight.tensor::<Gpu<R, u8>>([outputs, inputs], &self.device);
                    let bias = bias.map(|bias| {
                        let data = TensorData::new(bias, [1, outputs]);
                        Tensor::<Gpu<R, u8>, 2>::from_data(data, &self.device).cast(self.dtype)
                    });
                    (weight.cast(self.dtype), bias)
                })
                .unzip();
            let wide = of_burn(Tensor::cat(weights, 0));
            let weight = match self.bits {
                Some(bits) if divides(wide.meta.shape().dims()) => {
                    Weight::Quantised(quantise(&wide, bits))
                }
                _ => Weight::Wide(wide),
            };
            // The maps of one input have all a bias or none.
            let biases: Option<Vec<_>> = biases.into_iter().collect();
            Affine { weight, bias: biases.map(|biases| of_burn(Tensor::cat(biases, 1))) }
        };
        let layer = Layer {
            input_norm: vector(weights.input_norm, &self.device),
            query_key_value: stack(vec![query, key, value]),
            output: stack(vec![output]),
            attention_norm: vector(weights.attention_norm, &self.device),
            gate_up: stack(vec![gate, up]),
            down: stack(vec![down]),
        };
        self.layers.push(layer);
    }

    fn compute_last_layer_whole(&mut self) {
        self.last_layer_whole = true;
    }

    fn forward(
        &self,
        x0: Tensor<Gpu<R, BT>, 3>,
        batch: &Batch,
        keep: Keep,
    ) -> (Tensor<Gpu<R, BT>, 2>, Option<Box<dyn Any + Send>>) {
        let packed = self.pack(batch);
        let x = real_rows(x0, &packed, &self.device);
        let (h_cls, layers, end) = self.run(x, &packed, keep);
        let saved = (keep != Keep::Nothing)
            .then(|| Box::new(Saved { packed, layers, end }) as Box<dyn Any + Send>);
        (to_burn(h_cls), saved)
    }

    fn backward_input(
        &self,
        g_cls: Tensor<Gpu<R, BT>, 2>,
        saved: Box<dyn Any + Send>,
    ) -> Tensor<Gpu<R, BT>, 3> {
        let Ok(saved) = saved.downcast::<Saved<R>>() else {
            unreachable!("saved by a LLaMA of other kernels")
        };
        let Saved { packed, layers, end } = *saved;
        let (body, last) = self.split();
        let (mut g, mut narrow) = self.end_backward(last, &of_burn(g_cls), end, &packed);
        for (index, (layer, saved)) in body.iter().zip(layers).enumerate().rev() {
            let next = self.norm_after(index);
            (g, narrow) = self.layer_backward(layer, (&g, &narrow), saved, next, &packed);
        }
        let g: Tensor<Gpu<R, BT>, 2> = to_burn(g);
        let [cells, tokens, hidden] =
            [packed.batch.cells(), packed.batch.tokens, self.config.hidden_size];
        let g = match packed.real(&self.device) {
            None => g,
            Some(real) => Tensor::zeros([cells * tokens, hidden], &self.device).select_assign(
                0,
                real,
                g,
                IndexingUpdateOp::Add,
            ),
        };
        g.reshape([cells, tokens, hidden])
    }

    fn hidden_states(
        &self,
        x0: Tensor<Gpu<R, BT>, 3>,
        batch: &Batch,
    ) -> Vec<Tensor<Gpu<R, BT>, 3>> {
        let shape = x0.dims();
        // Every token is asked for, pads included: they are a cell's last and reach no other.
        let whole = Batch { tokens: batch.tokens, lengths: vec![batch.tokens; batch.cells()] };
        let packed = self.pack(&whole);
        let x = real_rows(batch.blank_pads(x0), &packed, &self.device);
        let mut states = vec![x.clone()];
        let mut stream = self.stream(x, &self.layers[0].input_norm);
        for (index, layer) in self.layers.iter().enumerate() {
            stream = self.layer(layer, stream, self.norm_after(index), &packed).0;
            states.push(stream.x.clone());
        }
        if let Some(last) = states.last_mut() {
            *last = rms_norm(last, &self.final_norm, self.epsilon(), DType::F32);
        }
        states.into_iter().map(|state| to_burn::<R, BT, 2>(state).reshape(shape)).collect()
    }

    fn describe(&self) -> String {
        match &self.why_burn {
            None => format!("fused kernels, products by {}", self.products.name()),
            Some(reason) => format!("fused kernels, products by burn, since {reason}"),
        }
    }
}
