//! The two trained perceptrons of scReader: one maps gene tokens into the backbone, one reads classes
//! out of its last state.

use burn::module::{Module, Param, ParamId};
use burn::nn::{Linear, RmsNorm, RmsNormConfig};
use burn::tensor::activation::silu;
use burn::tensor::{Tensor, TensorData, backend::Backend};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use serde::{Deserialize, Serialize};

/// How the layers of an [`Mlp`] are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MlpKind {
    /// Linear layers with SiLU between them and weights from N(0, 0.02), as the paper's code has them.
    Plain,
    /// Each inner layer adds to its input what it makes of the normalised input: gradients reach the
    /// first layer from the first step on.
    Residual,
}

/// Sizes of an [`Mlp`]. It has `layers` linear layers in all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MlpConfig {
    /// Width of the input.
    pub input_size: usize,
    /// Width of the inner layers.
    pub hidden_size: usize,
    /// Width of the output.
    pub output_size: usize,
    /// Number of linear layers, at least 2.
    pub layers: usize,
    /// How they are joined.
    pub kind: MlpKind,
}

/// A stack of linear layers, `[rows, input_size] -> [rows, output_size]`.
#[derive(Module, Debug)]
pub struct Mlp<B: Backend> {
    layers: Vec<Linear<B>>,
    norms: Vec<RmsNorm<B>>,
}

impl MlpConfig {
    /// Initialise the layers from `rng`, drawing on the host so that every device starts from the same
    /// weights.
    pub fn init<B: Backend>(&self, rng: &mut ChaCha8Rng, device: &B::Device) -> Mlp<B> {
        let last = self.layers.max(2) - 1;
        let layer = |index: usize, rng: &mut ChaCha8Rng| {
            let rows = if index == 0 { self.input_size } else { self.hidden_size };
            let columns = if index == last { self.output_size } else { self.hidden_size };
            linear(rows, columns, self.deviation(index, last, rows), rng, device)
        };
        let layers = (0..=last).map(|index| layer(index, rng)).collect();
        let norms = match self.kind {
            MlpKind::Plain => Vec::new(),
            MlpKind::Residual => {
                (0..last).map(|_| RmsNormConfig::new(self.hidden_size).init(device)).collect()
            }
        };
        Mlp { layers, norms }
    }

    /// Number of weights and biases, normalisation gains included.
    pub fn num_params(&self) -> usize {
        let (d, inner) = (self.hidden_size, self.layers.max(2) - 2);
        let gains = if self.kind == MlpKind::Residual { (inner + 1) * d } else { 0 };
        (self.input_size + 1) * d + inner * (d + 1) * d + (d + 1) * self.output_size + gains
    }

    fn deviation(&self, index: usize, last: usize, rows: usize) -> f32 {
        match self.kind {
            MlpKind::Plain => 0.02,
            MlpKind::Residual if index == 0 || index == last => 1.0 / (rows as f32).sqrt(),
            // The branches start small, so that the stack starts near a two-layer network.
            MlpKind::Residual => 0.02,
        }
    }
}

impl<B: Backend> Mlp<B> {
    /// Apply the stack to each row of `input`, `[rows, input_size]`.
    pub fn forward(&self, input: Tensor<B, 2>) -> Tensor<B, 2> {
        self.after_first(self.layers[0].forward(input))
    }

    /// The first layer's weights `[input_size, hidden_size]` and bias `[hidden_size]`, for one whose input is
    /// made of parts that recur.
    pub(crate) fn first(&self) -> (Tensor<B, 2>, Option<Tensor<B, 1>>) {
        let first = &self.layers[0];
        (first.weight.val(), first.bias.as_ref().map(Param::val))
    }

    /// Apply the other layers to what the first one gave, `[rows, hidden_size]`.
    pub(crate) fn after_first(&self, mut hidden: Tensor<B, 2>) -> Tensor<B, 2> {
        let last = self.layers.len() - 1;
        for (index, layer) in self.layers.iter().enumerate().skip(1) {
            hidden = match self.norms.get(index - 1) {
                None => layer.forward(silu(hidden)),
                Some(norm) if index == last => layer.forward(norm.forward(hidden)),
                Some(norm) => hidden.clone() + layer.forward(silu(norm.forward(hidden))),
            };
        }
        hidden
    }
}

/// A linear layer with weights from N(0, deviation²) and no bias yet.
pub(crate) fn linear<B: Backend>(
    rows: usize,
    columns: usize,
    deviation: f32,
    rng: &mut ChaCha8Rng,
    device: &B::Device,
) -> Linear<B> {
    let weight = Tensor::from_data(
        TensorData::new(normal(rows * columns, deviation, rng), [rows, columns]),
        device,
    );
    Linear {
        weight: Param::initialized(ParamId::new(), weight.require_grad()),
        bias: Some(Param::initialized(
            ParamId::new(),
            Tensor::zeros([columns], device).require_grad(),
        )),
    }
}

/// Draw `count` numbers from N(0, deviation²).
pub(crate) fn normal(count: usize, deviation: f32, rng: &mut ChaCha8Rng) -> Vec<f32> {
    // A deviation that is finite and not negative is the constructor's only demand.
    let Ok(normal) = Normal::new(0.0f32, deviation) else { return vec![0.0; count] };
    (0..count).map(|_| normal.sample(rng)).collect()
}
