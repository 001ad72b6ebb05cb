//! The shape of a right-padded batch and what follows from it.

use burn::tensor::{Bool, Int, Tensor, TensorData, backend::Backend};

/// Cells of different lengths side by side, padded on the right to `tokens`.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) tokens: usize,
    pub(crate) lengths: Vec<usize>,
}

impl Batch {
    /// Hold the lengths against the shape of the inputs.
    ///
    /// # Panics
    /// When there is not one length a cell within `1..=tokens`, as burn does for shapes that disagree.
    pub(crate) fn new([cells, tokens, _]: [usize; 3], lengths: &[usize]) -> Self {
        assert_eq!(lengths.len(), cells, "one length a cell");
        assert!(
            lengths.iter().all(|length| (1..=tokens).contains(length)),
            "every length within 1..={tokens}, found {lengths:?}"
        );
        Self { tokens, lengths: lengths.to_vec() }
    }

    pub(crate) fn cells(&self) -> usize {
        self.lengths.len()
    }

    fn padded(&self) -> bool {
        self.lengths.iter().any(|&length| length < self.tokens)
    }

    /// Rows of the last real tokens in `[cells · tokens]`.
    pub(crate) fn last_rows<B: Backend>(&self, device: &B::Device) -> Tensor<B, 1, Int> {
        let rows = self.lengths.iter().enumerate();
        let rows: Vec<i64> =
            rows.map(|(cell, length)| (cell * self.tokens + length - 1) as i64).collect();
        Tensor::from_data(TensorData::new(rows, [self.cells()]), device)
    }

    /// Positions of the last real tokens.
    pub(crate) fn last_positions(&self) -> Vec<usize> {
        self.lengths.iter().map(|length| length - 1).collect()
    }

    /// True where a token is a pad, `[cells, tokens]`.
    pub(crate) fn pads<B: Backend>(&self, device: &B::Device) -> Tensor<B, 2, Bool> {
        let pads: Vec<bool> = self
            .lengths
            .iter()
            .flat_map(|&length| (0..self.tokens).map(move |token| token >= length))
            .collect();
        Tensor::from_data(TensorData::new(pads, [self.cells(), self.tokens]), device)
    }

    /// Blank the pads of `x` `[cells, tokens, hidden]`, so that nothing in them reaches a real token.
    pub(crate) fn blank_pads<B: Backend>(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        if !self.padded() {
            return x;
        }
        let pads = self.pads::<B>(&x.device()).unsqueeze_dim::<3>(2).expand(x.shape());
        x.mask_fill(pads, 0.0)
    }
}
