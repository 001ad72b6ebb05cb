//! The whole network: trained projection, frozen backbone, trained head, joined by a surrogate loss.

use burn::module::AutodiffModule;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::activation::log_softmax;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Int, Tensor, TensorData};

use crate::Result;
use crate::llama::{Llama, Precision};
use crate::reader::{PackedCells, TokenSource};
use crate::trainable::Trainable;

/// The frozen part: a LLaMA and what it is given to read.
pub struct Annotator<B: Backend> {
    backbone: Llama<B>,
    tokens: TokenSource<B>,
}

/// What the network says of some cells, on the host.
#[derive(Debug, Clone, Default)]
pub struct Readout {
    /// The backbone's last state at the class token, row by row, `[cells, hidden_size]`.
    pub states: Vec<f32>,
    /// Class scores before softmax, row by row, `[cells, classes]`.
    pub logits: Vec<f32>,
}

/// One micro-batch's share of a batch's gradients.
pub struct MicroStep {
    /// Gradients of the trained parameters.
    pub gradients: GradientsParams,
    /// Weighted sum of the cells' cross-entropies.
    pub loss: f64,
}

impl<B: Backend> Annotator<B> {
    /// Put a backbone behind a token source whose instruction comes from that backbone.
    pub fn new(backbone: Llama<B>, tokens: TokenSource<B>) -> Self {
        Self { backbone, tokens }
    }

    /// The token source.
    pub fn tokens(&self) -> &TokenSource<B> {
        &self.tokens
    }

    /// Root mean square of the backbone's token embeddings, the size of vector it was trained to read.
    ///
    /// # Errors
    /// Those of [`Llama::embed_tokens`].
    pub fn token_scale(&self) -> Result<f32> {
        // A thousand rows of a vocabulary say as much as all of it.
        let tokens: Vec<u32> = (0..self.backbone.config().vocab_size.min(1024) as u32).collect();
        let rows = to_host(self.backbone.embed_tokens(&tokens)?);
        let squares: f64 = rows.iter().map(|&value| f64::from(value).powi(2)).sum();
        Ok((squares / rows.len().max(1) as f64).sqrt() as f32)
    }

    /// The type that the backbone multiplies in.
    pub fn precision(&self) -> Precision {
        self.backbone.precision()
    }

    /// Width of the backbone.
    pub fn hidden_size(&self) -> usize {
        self.backbone.config().hidden_size
    }

    /// Read `cells` without gradients.
    pub fn read(&self, trainable: &Trainable<B>, cells: &PackedCells) -> Readout {
        let (x0, lengths) = self.tokens.sequences(
            trainable,
            self.tokens.gene_tokens(cells),
            self.tokens.instruction(),
            cells,
        );
        let states = self.backbone.forward(x0, &lengths);
        let logits = trainable.head.forward(states.clone());
        Readout { states: to_host(states), logits: to_host(logits) }
    }

    /// Loss and gradients of `cells` with classes `targets`; each cell's cross-entropy is multiplied by
    /// its entry of `weights` and summed, so a batch may come in any number of micro-batches.
    ///
    /// The backbone is on no tape. With `x0` its input and `g = ∂loss/∂x0` from
    /// [`Llama::backward_input`], the surrogate `Σ x0 · g` has the loss's own gradient with respect to
    /// projection and class token.
    pub fn gradients<A: AutodiffBackend<InnerBackend = B>>(
        &self,
        trainable: &Trainable<A>,
        cells: &PackedCells,
        targets: &[usize],
        weights: &[f32],
    ) -> MicroStep {
        let (x0, lengths) = self.tokens.sequences(
            trainable,
            Tensor::<A, 2>::from_inner(self.tokens.gene_tokens(cells)),
            Tensor::<A, 2>::from_inner(self.tokens.instruction()),
            cells,
        );
        let (states, saved) = self.backbone.forward_save(x0.clone().inner(), &lengths);

        let states = Tensor::<A, 2>::from_inner(states).require_grad();
        let logits = trainable.head.forward(states.clone());
        let loss = weighted_cross_entropy(logits, targets, weights);
        let value = loss.clone().into_scalar();
        let mut gradients = GradientsAccumulator::new();
        let head = loss.backward();
        let g_states = states.grad(&head).unwrap_or_else(|| states.clone().inner().zeros_like());
        gradients.accumulate(trainable, GradientsParams::from_grads(head, trainable));

        let g_x0 = self.backbone.backward_input(g_states, saved);
        let surrogate = (x0 * Tensor::from_inner(g_x0)).sum().backward();
        gradients.accumulate(trainable, GradientsParams::from_grads(surrogate, trainable));
        MicroStep {
            gradients: gradients.grads(),
            loss: burn::tensor::ElementConversion::elem::<f64>(value),
        }
    }
}

/// `-Σ_c w_c · log softmax(logits_c)[target_c]`.
fn weighted_cross_entropy<B: Backend>(
    logits: Tensor<B, 2>,
    targets: &[usize],
    weights: &[f32],
) -> Tensor<B, 1> {
    let device = logits.device();
    let cells = targets.len();
    let targets: Vec<i32> = targets.iter().map(|&target| target as i32).collect();
    let targets = Tensor::<B, 2, Int>::from_data(TensorData::new(targets, [cells, 1]), &device);
    let weights = Tensor::<B, 2>::from_data(TensorData::new(weights.to_vec(), [cells, 1]), &device);
    -(log_softmax(logits, 1).gather(1, targets) * weights).sum()
}

fn to_host<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().into_vec().unwrap_or_default()
}

/// The trained part without its tape, for reading.
pub fn for_reading<A: AutodiffBackend>(trainable: &Trainable<A>) -> Trainable<A::InnerBackend> {
    trainable.valid()
}
