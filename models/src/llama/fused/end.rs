//! What follows the layers that every token runs through: the last layer for one token a cell, the final norm.

use burn::tensor::DType;
use burn_cubecl::CubeRuntime;
use burn_cubecl::kernel::cast;
use burn_cubecl::tensor::CubeTensor;
use screader_kernels::gpu::attention::{Attending, Heads, Place, attend, attend_backward};
use screader_kernels::gpu::norm::{rms_norm, rms_norm_backward};
use screader_kernels::gpu::product::{Matrices, Write};
use screader_kernels::gpu::softmax::dots_of_heads;
use screader_kernels::gpu::{empty, rotary};

use super::FusedDecoder;
use super::layer::{Layer, SavedMlp, Stream};
use super::packed::{CellBlock, Packed};
use super::tensors::{add_at, of_burn, select, to_burn, zeros};

/// What the end of the network keeps.
pub(super) enum SavedEnd<R: CubeRuntime> {
    /// Of a last layer that was computed for one token a cell.
    OneToken(SavedLast<R>),
    /// Of one that was computed for all: its output, and that for each cell's last token.
    AllTokens { rows: CubeTensor<R>, output: CubeTensor<R> },
}

/// What the last layer keeps: keys and values of every token, the rest of one token a cell.
pub(super) struct SavedLast<R: CubeRuntime> {
    input: CubeTensor<R>,
    query: CubeTensor<R>,
    key_value: CubeTensor<R>,
    mixed: CubeTensor<R>,
    log_normalisers: Vec<CubeTensor<R>>,
    mlp: SavedMlp<R>,
    output: CubeTensor<R>,
}

impl<R: CubeRuntime> FusedDecoder<R> {
    /// Run what follows: the state of each cell's last token, `[cells, hidden]`.
    pub(super) fn end(
        &self,
        last: Option<&Layer<R>>,
        stream: Stream<R>,
        packed: &Packed<R>,
    ) -> (CubeTensor<R>, SavedEnd<R>) {
        let Some(layer) = last else {
            let output = select(&stream.x, &packed.last_rows);
            let h_cls = rms_norm(&output, &self.final_norm, self.epsilon(), DType::F32);
            return (h_cls, SavedEnd::AllTokens { rows: stream.x, output });
        };
        let (h_cls, saved) = self.last_layer(layer, stream, packed);
        (h_cls, SavedEnd::OneToken(saved))
    }

    /// Carry a gradient of [`Self::end`]'s states to its rows, in `f32` and in the type of the weights.
    pub(super) fn end_backward(
        &self,
        last: Option<&Layer<R>>,
        g_cls: &CubeTensor<R>,
        saved: SavedEnd<R>,
        packed: &Packed<R>,
    ) -> (CubeTensor<R>, CubeTensor<R>) {
        match (last, saved) {
            (Some(layer), SavedEnd::OneToken(saved)) => {
                self.last_layer_backward(layer, g_cls, saved, packed)
            }
            (None, SavedEnd::AllTokens { rows, output }) => {
                let g = self.final_norm_backward(g_cls, &output);
                let g = add_at(zeros(&rows), &packed.last_rows, g);
                let narrow = cast(g.clone(), self.dtype);
                (g, narrow)
            }
            _ => unreachable!("saved before the last layer was asked whole"),
        }
    }

    fn final_norm_backward(&self, g_cls: &CubeTensor<R>, output: &CubeTensor<R>) -> CubeTensor<R> {
        rms_norm_backward(&zeros(output), g_cls, output, &self.final_norm, self.epsilon()).0
    }

    /// The rows of queries in the stacked map, and those of keys and values.
    fn query_and_key_value<'a>(&self, stacked: &'a CubeTensor<R>) -> [Matrices<'a, R>; 2] {
        let Heads { queries, keys, width } = self.heads();
        let all = Matrices::whole(stacked);
        [all.clone().rows(0, queries * width), all.rows(queries * width, 2 * keys * width)]
    }

    /// Queries of a block's cells from one buffer, keys and values side by side in another.
    fn attending_last<'a>(
        &self,
        query: &'a CubeTensor<R>,
        key_value: &'a CubeTensor<R>,
        block: &CellBlock<R>,
    ) -> Vec<Attending<'a, R>> {
        let Heads { keys, width, .. } = self.heads();
        let cell = |(&start, &row): (&usize, &usize)| Attending {
            queries: Place { buffer: query, row, column: 0 },
            keys: Place { buffer: key_value, row: start, column: 0 },
            values: Place { buffer: key_value, row: start, column: keys * width },
        };
        block.starts.iter().zip(&block.query_rows).map(cell).collect()
    }

    /// The last layer and the final norm, of which only the last token of each cell is asked.
    fn last_layer(
        &self,
        layer: &Layer<R>,
        stream: Stream<R>,
        packed: &Packed<R>,
    ) -> (CubeTensor<R>, SavedLast<R>) {
        let heads = self.heads();
        let stacked = layer.query_key_value.weight.wide();
        let [of_query, of_key_value] = self.query_and_key_value(&stacked);
        let (query_width, key_width) = (heads.queries * heads.width, heads.keys * heads.width);
        let bias = |first, count| {
            let bias = layer.query_key_value.bias.clone()?;
            Some(of_burn(to_burn::<R, u8, 2>(bias).narrow(1, first, count)))
        };
        let last = select(&stream.normed, &packed.last_rows);
        let query = self.map_rows(&last, of_query, bias(0, query_width));
        let key_value =
            self.map_rows(&stream.normed, of_key_value, bias(query_width, 2 * key_width));
        rotary::turn(&query, query_width, &packed.last_positions, packed.angles());
        rotary::turn(&key_value, key_width, &packed.positions, packed.angles());
        let mixed = empty(&query, [packed.batch.cells(), query_width], self.dtype);
        let log_normalisers = packed.last_blocks.iter().map(|block| {
            let from = self.attending_last(&query, &key_value, block);
            attend(&self.products, heads, block.rows, &from, &block.mixed(&mixed))
        });
        let log_normalisers = log_normalisers.collect();
        let part = self.map(&mixed, &layer.output);
        let x = select(&stream.x, &packed.last_rows);
        let (Stream { x: output, .. }, mlp) = self.mlp(layer, &x, &part, &self.final_norm);
        let h_cls = rms_norm(&output, &self.final_norm, self.epsilon(), DType::F32);
        let input = stream.x;
        (h_cls, SavedLast { input, query, key_value, mixed, log_normalisers, mlp, output })
    }

    fn last_layer_backward(
        &self,
        layer: &Layer<R>,
        g_cls: &CubeTensor<R>,
        saved: SavedLast<R>,
        packed: &Packed<R>,
    ) -> (CubeTensor<R>, CubeTensor<R>) {
        let heads = self.heads();
        let g = self.final_norm_backward(g_cls, &saved.output);
        let narrow = cast(g.clone(), self.dtype);
        let (g_middle, narrow) = self.mlp_backward(layer, (&g, &narrow), &saved.mlp);
        let g_mixed = self.map_back(&narrow, &layer.output);
        let dots = dots_of_heads(&g_mixed, &saved.mixed, heads.queries);
        let g_query = empty(&saved.query, saved.query.meta.shape().clone(), DType::F32);
        let g_key_value = empty(&saved.key_value, saved.key_value.meta.shape().clone(), DType::F32);
        for (block, log_normalisers) in packed.last_blocks.iter().zip(&saved.log_normalisers) {
            let from = self.attending_last(&saved.query, &saved.key_value, block);
            let to = self.attending_last(&g_query, &g_key_value, block);
            let g_mixed = block.mixed(&g_mixed);
            let pull = block.pull(&g_mixed, &dots, log_normalisers);
            attend_backward(&self.products, heads, block.rows, &from, &pull, &to, Write::Over);
        }
        let turned = (heads.queries * heads.width, heads.keys * heads.width);
        let (positions, angles) = (&packed.positions, packed.angles());
        let g_query =
            rotary::turn_back(&g_query, turned.0, &packed.last_positions, angles, self.dtype);
        let g_key_value = rotary::turn_back(&g_key_value, turned.1, positions, angles, self.dtype);
        let stacked = layer.query_key_value.weight.wide();
        let [of_query, of_key_value] = self.query_and_key_value(&stacked);
        let g_normed = self.map_rows_back(&g_key_value, of_key_value);
        let g_normed = add_at(g_normed, &packed.last_rows, self.map_rows_back(&g_query, of_query));
        let none = zeros(&saved.input);
        let (g, _) =
            rms_norm_backward(&none, &g_normed, &saved.input, &layer.input_norm, self.epsilon());
        let g = add_at(g, &packed.last_rows, g_middle);
        let narrow = cast(g.clone(), self.dtype);
        (g, narrow)
    }
}
