//! The whole network: trained projection, frozen body, trained head, joined by a surrogate loss.

use burn::module::AutodiffModule;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::activation::log_softmax;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{ElementConversion, IndexingUpdateOp, Int, Tensor, TensorData};

use crate::Result;
use crate::llama::{Llama, Precision};
use crate::reader::{MeasuredGenes, PackedCells, TokenSource};
use crate::trainable::Trainable;

/// What stands between projection and head. Nothing of it trains.
pub enum Body<B: Backend> {
    /// A LLaMA that reads genes, instruction and class token; its last state goes to the head.
    Llama(Box<Llama<B>>),
    /// No LLaMA: the mean of a cell's projected gene tokens goes to the head. A control, and scReader's
    /// own baseline.
    MeanPool {
        /// Width of the projected tokens.
        hidden_size: usize,
    },
}

/// The frozen part: a body and what it is given to read.
pub struct Annotator<B: Backend> {
    body: Body<B>,
    tokens: TokenSource<B>,
}

/// What the network says of some cells, on the host.
#[derive(Debug, Clone, Default)]
pub struct Readout {
    /// What the head was given of each cell, row by row, `[cells, features]`: the backbone's last state at
    /// the class token, or the mean of the projected genes; then the pool, if there is one.
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
    /// The device that it is on.
    pub fn device(&self) -> B::Device {
        self.tokens.device()
    }

    /// Put a body behind a token source whose instruction, if it is a LLaMA, comes from it.
    pub fn new(body: Body<B>, tokens: TokenSource<B>) -> Self {
        Self { body, tokens }
    }

    /// The token source.
    pub fn tokens(&self) -> &TokenSource<B> {
        &self.tokens
    }

    /// Root mean square of the backbone's token embeddings, the size of vector it was trained to read; 1
    /// without a backbone.
    ///
    /// # Errors
    /// Those of [`Llama::embed_tokens`].
    pub fn token_scale(&self) -> Result<f32> {
        let Body::Llama(backbone) = &self.body else { return Ok(1.0) };
        // A thousand rows of a vocabulary say as much as all of it.
        let tokens: Vec<u32> = (0..backbone.config().vocab_size.min(1024) as u32).collect();
        let rows = to_host(backbone.embed_tokens(&tokens)?);
        let squares: f64 = rows.iter().map(|&value| f64::from(value).powi(2)).sum();
        Ok((squares / rows.len().max(1) as f64).sqrt() as f32)
    }

    /// The type that the backbone multiplies in.
    pub fn precision(&self) -> Precision {
        match &self.body {
            Body::Llama(backbone) => backbone.precision(),
            Body::MeanPool { .. } => Precision::F32,
        }
    }

    /// What runs the body, in a few words.
    pub fn kernels(&self) -> String {
        match &self.body {
            Body::Llama(backbone) => backbone.describe(),
            Body::MeanPool { .. } => "burn's operations".into(),
        }
    }

    /// Width of what the head is given.
    pub fn hidden_size(&self) -> usize {
        match &self.body {
            Body::Llama(backbone) => backbone.config().hidden_size,
            Body::MeanPool { hidden_size } => *hidden_size,
        }
    }

    /// What the path around the backbone makes of `genes`, `[genes, pool size]`, for any number of
    /// [`Self::read`]; nothing without such a path.
    pub fn pooled_genes(&self, trainable: &Trainable<B>, genes: &[u32]) -> Option<Tensor<B, 2>> {
        let pool = trainable.pool.as_ref()?;
        Some(pool.genes(self.tokens.embeddings(genes, None)))
    }

    /// Read `cells` without gradients; `pooled` are the [`Self::pooled_genes`] of their measured genes.
    pub fn read(
        &self,
        trainable: &Trainable<B>,
        cells: &PackedCells,
        pooled: Option<&Tensor<B, 2>>,
    ) -> Readout {
        let genes = self.tokens.project(&trainable.projection, cells, |table| table);
        let states = match &self.body {
            Body::Llama(backbone) => {
                let instruction = self.tokens.instruction();
                let (x0, lengths) = self.tokens.sequences(trainable, genes, instruction, cells);
                backbone.forward(x0, &lengths)
            }
            Body::MeanPool { .. } => mean_of_cells(genes, cells),
        };
        let features = match pooled {
            None => states,
            Some(genes) => {
                let device = states.device();
                beside_pool(states, weights_of::<B>(&cells.measured, &device).matmul(genes.clone()))
            }
        };
        let logits = trainable.head.forward(features.clone());
        Readout { states: to_host(features), logits: to_host(logits) }
    }

    /// Loss and gradients of `cells` with classes `targets`; each cell's cross-entropy is multiplied by
    /// its entry of `weights` and summed, so a batch may come in any number of micro-batches.
    ///
    /// The backbone is on no tape. With `x0` its input and `g = ∂loss/∂x0` from
    /// [`Llama::backward_input`], the surrogate `Σ x0 · g` has the loss's own gradient with respect to
    /// projection and class token. `g` enters the backbone multiplied by `scale` and leaves it divided by it:
    /// a backbone in half precision would round what is small to nothing.
    pub fn gradients<A: AutodiffBackend<InnerBackend = B>>(
        &self,
        trainable: &Trainable<A>,
        cells: &PackedCells,
        targets: &[usize],
        weights: &[f32],
        scale: f32,
    ) -> MicroStep {
        let pool = trainable.pool.as_ref().map(|pool| {
            let measured = &cells.measured;
            let weights = weights_of::<B>(measured, &self.tokens.device());
            let genes = self.tokens.embeddings(&measured.genes, cells.noise);
            let genes = pool.genes(Tensor::from_inner(genes));
            Tensor::from_inner(weights).matmul(genes)
        });
        let loss_of = |states: Tensor<A, 2>| {
            let features = match pool {
                None => states,
                Some(pool) => beside_pool(with_unread(states, targets.len()), pool),
            };
            let logits = trainable.head.forward(features);
            let loss = weighted_cross_entropy(logits, targets, weights);
            let value = ElementConversion::elem::<f64>(loss.clone().into_scalar());
            (loss, value)
        };
        let project =
            || self.tokens.project(&trainable.projection, cells, Tensor::<A, 2>::from_inner);
        let backbone = match &self.body {
            Body::Llama(backbone) if !cells.lengths.is_empty() => backbone,
            Body::Llama(_) | Body::MeanPool { .. } => {
                let states = match cells.lengths.is_empty() {
                    true => Tensor::from_inner(Tensor::<B, 2>::zeros(
                        [targets.len(), self.hidden_size()],
                        &self.tokens.device(),
                    )),
                    false => mean_of_cells(project(), cells),
                };
                let (loss, value) = loss_of(states);
                let gradients = GradientsParams::from_grads(loss.backward(), trainable);
                return MicroStep { gradients, loss: value };
            }
        };
        let instruction = self.tokens.instruction().map(Tensor::<A, 2>::from_inner);
        let (x0, lengths) = self.tokens.sequences(trainable, project(), instruction, cells);
        let (states, saved) = backbone.forward_save(x0.clone().inner(), &lengths);

        let states = Tensor::<A, 2>::from_inner(states).require_grad();
        let (loss, value) = loss_of(states.clone());
        let mut gradients = GradientsAccumulator::new();
        let head = loss.backward();
        let g_states = states.grad(&head).unwrap_or_else(|| states.clone().inner().zeros_like());
        gradients.accumulate(trainable, GradientsParams::from_grads(head, trainable));

        let g_x0 = match scale {
            1.0 => backbone.backward_input(g_states, saved),
            scale => backbone.backward_input(g_states * scale, saved) / scale,
        };
        let surrogate = (x0 * Tensor::from_inner(g_x0)).sum().backward();
        gradients.accumulate(trainable, GradientsParams::from_grads(surrogate, trainable));
        MicroStep { gradients: gradients.grads(), loss: value }
    }
}

/// The states of `cells` cells: zeros for those that the backbone has not read.
fn with_unread<B: Backend>(states: Tensor<B, 2>, cells: usize) -> Tensor<B, 2> {
    let [read, width] = states.dims();
    match cells.saturating_sub(read) {
        0 => states,
        unread => {
            let zeros = Tensor::zeros([unread, width], &states.device());
            Tensor::cat(vec![states, zeros], 0)
        }
    }
}

/// What the head is given, `[cells, features]`: the body's `states` `[cells, hidden_size]` and the pool
/// `Σ_g value_g · SiLU(W e_g + b)` `[cells, pool size]`, a path around the body. Both are scaled to root mean
/// square 1, so that neither drowns the other and a cell's depth does not matter.
fn beside_pool<B: Backend>(states: Tensor<B, 2>, pool: Tensor<B, 2>) -> Tensor<B, 2> {
    Tensor::cat(vec![unit_scale(states), unit_scale(pool)], 1)
}

/// Expression less its mean, `[cells, genes]`.
fn weights_of<B: Backend>(measured: &MeasuredGenes, device: &B::Device) -> Tensor<B, 2> {
    let genes = measured.genes.len();
    let shape = [measured.values.len() / genes.max(1), genes];
    Tensor::from_data(TensorData::new(measured.values.clone(), shape), device)
}

fn unit_scale<B: Backend>(rows: Tensor<B, 2>) -> Tensor<B, 2> {
    let scale = (rows.clone().powi_scalar(2).mean_dim(1) + 1e-6).sqrt();
    rows / scale
}

/// The mean of each cell's rows of `tokens` `[gene tokens of all cells, hidden_size]`, zeros for a cell
/// without genes: `[cells, hidden_size]`.
fn mean_of_cells<B: Backend>(tokens: Tensor<B, 2>, cells: &PackedCells) -> Tensor<B, 2> {
    let (device, [_, width]) = (tokens.device(), tokens.dims());
    let owner: Vec<i32> = cells
        .lengths
        .iter()
        .enumerate()
        .flat_map(|(cell, &length)| std::iter::repeat_n(cell as i32, length))
        .collect();
    let shares: Vec<f32> = cells
        .lengths
        .iter()
        .flat_map(|&length| std::iter::repeat_n(1.0 / length as f32, length))
        .collect();
    let count = owner.len();
    let sums = Tensor::zeros([cells.lengths.len(), width], &device);
    if count == 0 {
        return sums;
    }
    let owner = Tensor::<B, 1, Int>::from_data(TensorData::new(owner, [count]), &device);
    let shares = Tensor::<B, 2>::from_data(TensorData::new(shares, [count, 1]), &device);
    sums.select_assign(0, owner, tokens * shares, IndexingUpdateOp::Add)
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
