//! One decoder layer over the rows of real tokens, and its input gradient.

use burn::tensor::DType;
use burn_cubecl::CubeRuntime;
use burn_cubecl::tensor::CubeTensor;
use screader_kernels::gpu::attention::{Attending, Place, attend, attend_backward};
use screader_kernels::gpu::norm::{add_rms_norm, rms_norm, rms_norm_backward};
use screader_kernels::gpu::product::Write;
use screader_kernels::gpu::softmax::dots_of_heads;
use screader_kernels::gpu::swiglu::{swiglu, swiglu_backward};
use screader_kernels::gpu::{attention::Heads, empty, rotary};

use super::FusedDecoder;
use super::affine::Affine;
use super::packed::{CellBlock, Packed};

/// One layer's weights, `[outputs, inputs]`, with maps of the same input stacked.
pub(super) struct Layer<R: CubeRuntime> {
    pub(super) input_norm: CubeTensor<R>,
    pub(super) query_key_value: Affine<R>,
    pub(super) output: Affine<R>,
    pub(super) attention_norm: CubeTensor<R>,
    pub(super) gate_up: Affine<R>,
    pub(super) down: Affine<R>,
}

/// The residual stream before a layer, `[rows, hidden]`, and its normalised rows.
pub(super) struct Stream<R: CubeRuntime> {
    pub(super) x: CubeTensor<R>,
    pub(super) normed: CubeTensor<R>,
}

/// What the gated MLP keeps.
pub(super) struct SavedMlp<R: CubeRuntime> {
    pub(super) middle: CubeTensor<R>,
    pub(super) gate_up: CubeTensor<R>,
}

/// What attention keeps: queries, keys and values, and what it mixed.
pub(super) struct SavedAttention<R: CubeRuntime> {
    pub(super) query_key_value: CubeTensor<R>,
    pub(super) mixed: CubeTensor<R>,
    pub(super) log_normalisers: Vec<CubeTensor<R>>,
}

/// What one layer keeps for its backward pass.
pub(super) struct SavedLayer<R: CubeRuntime> {
    pub(super) input: CubeTensor<R>,
    /// Nothing where it is to be computed again.
    pub(super) rest: Option<(SavedAttention<R>, SavedMlp<R>)>,
}

impl<R: CubeRuntime> FusedDecoder<R> {
    pub(super) fn stream(&self, x: CubeTensor<R>, norm: &CubeTensor<R>) -> Stream<R> {
        let normed = rms_norm(&x, norm, self.epsilon(), self.dtype);
        Stream { x, normed }
    }

    fn attention(
        &self,
        layer: &Layer<R>,
        normed: &CubeTensor<R>,
        packed: &Packed<R>,
    ) -> SavedAttention<R> {
        let heads = self.heads();
        let query_key_value = self.map(normed, &layer.query_key_value);
        let turned = (heads.queries + heads.keys) * heads.width;
        rotary::turn(&query_key_value, turned, &packed.positions, packed.angles());
        let [rows, _] = query_key_value.meta.shape().dims();
        let mixed = empty(&query_key_value, [rows, heads.queries * heads.width], self.dtype);
        let log_normalisers = packed.blocks.iter().map(|block| {
            let from = self.attending(&query_key_value, block);
            attend(&self.products, heads, block.rows, &from, &block.mixed(&mixed))
        });
        let log_normalisers = log_normalisers.collect();
        SavedAttention { query_key_value, mixed, log_normalisers }
    }

    /// Queries, keys and values of a block's cells, side by side in the rows of one buffer.
    fn attending<'a>(
        &self,
        buffer: &'a CubeTensor<R>,
        block: &CellBlock<R>,
    ) -> Vec<Attending<'a, R>> {
        let Heads { queries, keys, width } = self.heads();
        let place = |row, column| Place { buffer, row, column };
        let cell = |(&start, &row): (&usize, &usize)| Attending {
            queries: place(row, 0),
            keys: place(start, queries * width),
            values: place(start, (queries + keys) * width),
        };
        block.starts.iter().zip(&block.query_rows).map(cell).collect()
    }

    /// Gradient of the normalised rows that [`Self::attention`] was given, from that of what it mixed.
    fn attention_backward(
        &self,
        layer: &Layer<R>,
        g_mixed: &CubeTensor<R>,
        saved: &SavedAttention<R>,
        packed: &Packed<R>,
    ) -> CubeTensor<R> {
        let heads = self.heads();
        let dots = dots_of_heads(g_mixed, &saved.mixed, heads.queries);
        let [rows, width] = saved.query_key_value.meta.shape().dims();
        let gradients = empty(&saved.query_key_value, [rows, width], DType::F32);
        // Backwards, so that a cell's last block, which sees all its columns, comes first.
        for (block, log_normalisers) in packed.blocks.iter().zip(&saved.log_normalisers).rev() {
            let from = self.attending(&saved.query_key_value, block);
            let to = self.attending(&gradients, block);
            let g_mixed = block.mixed(g_mixed);
            let pull = block.pull(&g_mixed, &dots, log_normalisers);
            let write = if block.ends { Write::Over } else { Write::Add };
            attend_backward(&self.products, heads, block.rows, &from, &pull, &to, write);
        }
        let turned = (heads.queries + heads.keys) * heads.width;
        let g =
            rotary::turn_back(&gradients, turned, &packed.positions, packed.angles(), self.dtype);
        self.map_back(&g, &layer.query_key_value)
    }

    /// Run a layer; `next` is the norm that follows it.
    pub(super) fn layer(
        &self,
        layer: &Layer<R>,
        stream: Stream<R>,
        next: &CubeTensor<R>,
        packed: &Packed<R>,
    ) -> (Stream<R>, SavedAttention<R>, SavedMlp<R>) {
        let attention = self.attention(layer, &stream.normed, packed);
        let part = self.map(&attention.mixed, &layer.output);
        let (stream, mlp) = self.mlp(layer, &stream.x, &part, next);
        (stream, attention, mlp)
    }

    /// Add `part` to the residual stream `x` and run the gated MLP on the sum.
    pub(super) fn mlp(
        &self,
        layer: &Layer<R>,
        x: &CubeTensor<R>,
        part: &CubeTensor<R>,
        next: &CubeTensor<R>,
    ) -> (Stream<R>, SavedMlp<R>) {
        let (middle, normed) = add_rms_norm(x, part, &layer.attention_norm, self.epsilon());
        let gate_up = self.map(&normed, &layer.gate_up);
        let part = self.map(&swiglu(&gate_up), &layer.down);
        let (x, normed) = add_rms_norm(&middle, &part, next, self.epsilon());
        (Stream { x, normed }, SavedMlp { middle, gate_up })
    }

    /// Carry a gradient, in `f32` and in the type of the weights, from the output of [`Self::mlp`] to the
    /// sum that it began with.
    pub(super) fn mlp_backward(
        &self,
        layer: &Layer<R>,
        (g, narrow): (&CubeTensor<R>, &CubeTensor<R>),
        saved: &SavedMlp<R>,
    ) -> (CubeTensor<R>, CubeTensor<R>) {
        let g_gated = self.map_back(narrow, &layer.down);
        let g_gate_up = swiglu_backward(&g_gated, &saved.gate_up);
        let g_normed = self.map_back(&g_gate_up, &layer.gate_up);
        rms_norm_backward(g, &g_normed, &saved.middle, &layer.attention_norm, self.epsilon())
    }

    pub(super) fn layer_backward(
        &self,
        layer: &Layer<R>,
        g: (&CubeTensor<R>, &CubeTensor<R>),
        saved: SavedLayer<R>,
        next: &CubeTensor<R>,
        packed: &Packed<R>,
    ) -> (CubeTensor<R>, CubeTensor<R>) {
        let SavedLayer { input, rest } = saved;
        let (attention, mlp) = rest.unwrap_or_else(|| {
            let stream = self.stream(input.clone(), &layer.input_norm);
            let (_, attention, mlp) = self.layer(layer, stream, next, packed);
            (attention, mlp)
        });
        let (g, narrow) = self.mlp_backward(layer, g, &mlp);
        let g_mixed = self.map_back(&narrow, &layer.output);
        let g_normed = self.attention_backward(layer, &g_mixed, &attention, packed);
        rms_norm_backward(&g, &g_normed, &input, &layer.input_norm, self.epsilon())
    }
}
