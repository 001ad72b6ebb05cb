//! What every decoder does, whatever kernels run it.

use std::any::Any;

use burn::tensor::{Tensor, backend::Backend};

use super::batch::Batch;
use super::weights::LayerWeights;

/// What a forward pass keeps for the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Nothing: there will be none.
    Nothing,
    /// The input of each layer, from which the rest is computed again.
    #[cfg_attr(not(any(feature = "cuda", feature = "wgpu")), allow(dead_code))]
    Inputs,
    /// Every activation that the gradient needs.
    Everything,
}

/// A decoder on the device of backend `B`.
pub(crate) trait Run<B: Backend>: Send + Sync {
    /// Add the next layer.
    fn push(&mut self, weights: LayerWeights);

    /// Compute the last layer for every token from here on, not for each cell's last alone.
    fn compute_last_layer_whole(&mut self);

    /// Run the layers and the final norm: the last real token of each cell, `[cells, hidden]`, and what
    /// [`Self::backward_input`] needs unless nothing is kept.
    fn forward(
        &self,
        x0: Tensor<B, 3>,
        batch: &Batch,
        keep: Keep,
    ) -> (Tensor<B, 2>, Option<Box<dyn Any + Send>>);

    /// Carry a gradient `[cells, hidden]` back to the inputs, `[cells, tokens, hidden]`; pads get zero.
    fn backward_input(&self, g_cls: Tensor<B, 2>, saved: Box<dyn Any + Send>) -> Tensor<B, 3>;

    /// The residual stream before each layer and after the last one, the latter normalised.
    fn hidden_states(&self, x0: Tensor<B, 3>, batch: &Batch) -> Vec<Tensor<B, 3>>;

    /// Say in a few words what runs it.
    fn describe(&self) -> String;
}
