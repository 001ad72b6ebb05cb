//! The decoder on a graphics card: fused kernels, products at the card's rate, and nothing computed for pads.

use std::any::Any;
use std::collections::BTreeMap;

use burn::tensor::{DType, IndexingUpdateOp, Int, Tensor, TensorData, TensorPrimitive};
use burn_cubecl::kernel::{cast, into_contiguous};
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime};
use screader_kernels::gpu::attention::{
    Attending, Heads, Place, Pull, Rows, attend, attend_backward, cells_together,
};
use screader_kernels::gpu::norm::{add_rms_norm, rms_norm, rms_norm_backward};
use screader_kernels::gpu::product::{As, Matrices, Product, Products, Write};
use screader_kernels::gpu::quantised::{Bits, Quantised, divides, quantise};
use screader_kernels::gpu::softmax::dots_of_heads;
use screader_kernels::gpu::swiglu::{swiglu, swiglu_backward};
use screader_kernels::gpu::{empty, rotary};
use screader_kernels::rotary::{cosines_and_sines, inverse_frequencies};

use super::batch::Batch;
use super::config::LlamaConfig;
use super::run::{Keep, Run};
use super::weights::{LayerWeights, LinearWeights};

type Gpu<R, BT> = CubeBackend<R, f32, i32, BT>;

/// One layer's weights, `[outputs, inputs]`, with maps of the same input stacked.
struct Layer<R: CubeRuntime> {
    input_norm: CubeTensor<R>,
    query_key_value: Affine<R>,
    output: Affine<R>,
    attention_norm: CubeTensor<R>,
    gate_up: Affine<R>,
    down: Affine<R>,
}

/// A frozen affine map; the bias is `[1, outputs]`.
struct Affine<R: CubeRuntime> {
    weight: Weight<R>,
    bias: Option<CubeTensor<R>>,
}

/// A frozen matrix as it is kept.
enum Weight<R: CubeRuntime> {
    Wide(CubeTensor<R>),
    Quantised(Quantised<R>),
}

impl<R: CubeRuntime> Weight<R> {
    /// The matrix as it is multiplied with.
    fn wide(&self) -> CubeTensor<R> {
        match self {
            Self::Wide(weight) => weight.clone(),
            Self::Quantised(weight) => weight.dequantise(),
        }
    }
}

/// The residual stream before a layer, `[rows, hidden]`, and its normalised rows.
struct Stream<R: CubeRuntime> {
    x: CubeTensor<R>,
    normed: CubeTensor<R>,
}

/// What the gated MLP keeps.
struct SavedMlp<R: CubeRuntime> {
    middle: CubeTensor<R>,
    gate_up: CubeTensor<R>,
}

/// What attention keeps: queries, keys and values, and what it mixed.
struct SavedAttention<R: CubeRuntime> {
    query_key_value: CubeTensor<R>,
    mixed: CubeTensor<R>,
    log_normalisers: Vec<CubeTensor<R>>,
}

/// What one layer keeps for its backward pass.
struct SavedLayer<R: CubeRuntime> {
    input: CubeTensor<R>,
    /// Nothing where it is to be computed again.
    rest: Option<(SavedAttention<R>, SavedMlp<R>)>,
}

/// What the last layer keeps: keys and values of every token, the rest of one token a cell.
struct SavedLast<R: CubeRuntime> {
    input: CubeTensor<R>,
    query: CubeTensor<R>,
    key_value: CubeTensor<R>,
    mixed: CubeTensor<R>,
    log_normalisers: Vec<CubeTensor<R>>,
    mlp: SavedMlp<R>,
    output: CubeTensor<R>,
}

struct Saved<R: CubeRuntime> {
    packed: Packed<R>,
    layers: Vec<SavedLayer<R>>,
    last: SavedLast<R>,
}

/// The real tokens of a batch, one row each, cell after cell.
#[derive(Clone)]
struct Packed<R: CubeRuntime> {
    batch: Batch,
    /// Blocks of the map of every cell, each cell's in order.
    blocks: Vec<CellBlock<R>>,
    /// The last row of the map of every cell, which is all that the last layer needs.
    last_blocks: Vec<CellBlock<R>>,
    /// Position of each row, `[rows]`.
    positions: CubeTensor<R>,
    /// Position of each cell's last token, `[cells]`.
    last_positions: CubeTensor<R>,
    /// Row of each cell's last token, `[cells]`.
    last_rows: CubeTensor<R>,
    cos: CubeTensor<R>,
    sin: CubeTensor<R>,
}

/// A block of the maps of cells of one length, which are computed together.
#[derive(Clone)]
struct CellBlock<R: CubeRuntime> {
    rows: Rows,
    /// Whether it ends where its cells do.
    ends: bool,
    /// Row of each cell's first token.
    starts: Vec<usize>,
    /// Row of each cell's first query.
    query_rows: Vec<usize>,
    /// The same for kernels, `[cells]`.
    dot_rows: CubeTensor<R>,
}

impl<R: CubeRuntime> CellBlock<R> {
    /// The block's rows of what its cells mix, or of its gradient.
    fn mixed<'a>(&self, buffer: &'a CubeTensor<R>) -> Vec<Place<'a, R>> {
        self.query_rows.iter().map(|&row| Place { buffer, row, column: 0 }).collect()
    }

    fn pull<'a>(
        &'a self,
        g_mixed: &'a [Place<'a, R>],
        dots: &'a CubeTensor<R>,
        log_normalisers: &'a CubeTensor<R>,
    ) -> Pull<'a, R> {
        Pull { g_mixed, dots, dot_rows: &self.dot_rows, log_normalisers }
    }
}

/// The layers and the final norm on a graphics card.
pub(crate) struct FusedDecoder<R: CubeRuntime> {
    config: LlamaConfig,
    frequencies: Vec<f64>,
    layers: Vec<Layer<R>>,
    final_norm: CubeTensor<R>,
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

    fn split(&self) -> (&[Layer<R>], &Layer<R>) {
        let end = self.layers.len() - 1;
        (&self.layers[..end], &self.layers[end])
    }

    /// The norm that follows layer `index`.
    fn norm_after(&self, index: usize) -> &CubeTensor<R> {
        self.layers.get(index + 1).map_or(&self.final_norm, |layer| &layer.input_norm)
    }

    /// `x Wᵀ + b`.
    fn map(&self, x: &CubeTensor<R>, affine: &Affine<R>) -> CubeTensor<R> {
        self.map_rows(x, Matrices::whole(&affine.weight.wide()), affine.bias.clone())
    }

    /// `x Wᵀ + b` for some of the rows of a matrix and as many entries of its bias.
    fn map_rows(
        &self,
        x: &CubeTensor<R>,
        weight: Matrices<R>,
        bias: Option<CubeTensor<R>>,
    ) -> CubeTensor<R> {
        let [rows, _] = x.meta.shape().dims();
        let y = empty(x, [rows, weight.rows], self.dtype);
        self.multiply(x, weight, As::Transposed, &y);
        match bias {
            None => y,
            Some(bias) => of_burn(to_burn::<R, u8, 2>(y) + to_burn(bias)),
        }
    }

    /// `g W`.
    fn map_back(&self, g: &CubeTensor<R>, affine: &Affine<R>) -> CubeTensor<R> {
        self.map_rows_back(g, Matrices::whole(&affine.weight.wide()))
    }

    /// `g W` for some of the rows of a matrix.
    fn map_rows_back(&self, g: &CubeTensor<R>, weight: Matrices<R>) -> CubeTensor<R> {
        let [rows, _] = g.meta.shape().dims();
        let y = empty(g, [rows, weight.columns], self.dtype);
        self.multiply(g, weight, As::Is, &y);
        y
    }

    fn multiply(&self, x: &CubeTensor<R>, weight: Matrices<R>, as_: As, out: &CubeTensor<R>) {
        self.products.multiply(&[Product {
            a: (Matrices::whole(x), As::Is),
            b: (weight, as_),
            out: Matrices::whole(out),
            scale: 1.0,
            write: Write::Over,
        }]);
    }

    fn stream(&self, x: CubeTensor<R>, norm: &CubeTensor<R>) -> Stream<R> {
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
    fn layer(
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
    fn mlp(
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
    fn mlp_backward(
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

    fn layer_backward(
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
        let none = zeros(&saved.output);
        let (g, _) =
            rms_norm_backward(&none, g_cls, &saved.output, &self.final_norm, self.epsilon());
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

    fn pack(&self, batch: &Batch) -> Packed<R> {
        let starts: Vec<usize> = batch
            .lengths
            .iter()
            .scan(0, |rows, length| {
                *rows += length;
                Some(*rows - length)
            })
            .collect();
        let positions = batch.lengths.iter().flat_map(|&length| 0..length);
        let last = batch.last_positions();
        let last_rows = starts.iter().zip(&last).map(|(start, last)| start + last);
        let longest = batch.lengths.iter().copied().max().unwrap_or(1);
        let all: Vec<usize> = (0..longest).collect();
        let (cos, sin) = cosines_and_sines(&self.frequencies, &all);
        let table = |values| {
            let shape = [longest, self.frequencies.len()];
            from_host(TensorData::new(values, shape), &self.device)
        };
        Packed {
            positions: integers(positions, &self.device),
            last_positions: integers(last.iter().copied(), &self.device),
            last_rows: integers(last_rows, &self.device),
            cos: table(cos),
            sin: table(sin),
            blocks: self.blocks(batch, &starts),
            last_blocks: self.last_blocks(batch, &starts),
            batch: batch.clone(),
        }
    }

    /// Blocks of the map of every cell; cells of one length share theirs.
    fn blocks(&self, batch: &Batch, starts: &[usize]) -> Vec<CellBlock<R>> {
        let mut cells_of: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (&length, &start) in batch.lengths.iter().zip(starts) {
            cells_of.entry(length).or_default().push(start);
        }
        let blocks = cells_of.into_iter().flat_map(|(length, starts)| {
            Rows::of_cell(length).into_iter().flat_map(move |rows| {
                let together = cells_together(self.heads(), rows);
                let share = move |starts: &[usize]| {
                    let query_rows = starts.iter().map(|start| start + rows.first).collect();
                    self.block(rows, length, starts.to_vec(), query_rows)
                };
                starts.chunks(together).map(share).collect::<Vec<_>>()
            })
        });
        blocks.collect()
    }

    /// The last row of the map of every cell.
    fn last_blocks(&self, batch: &Batch, starts: &[usize]) -> Vec<CellBlock<R>> {
        let mut cells_of: BTreeMap<usize, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
        for (cell, (&length, &start)) in batch.lengths.iter().zip(starts).enumerate() {
            let (starts, query_rows) = cells_of.entry(length).or_default();
            starts.push(start);
            query_rows.push(cell);
        }
        let block = |(length, (starts, query_rows)): (usize, _)| {
            self.block(Rows { first: length - 1, rows: 1 }, length, starts, query_rows)
        };
        cells_of.into_iter().map(block).collect()
    }

    fn block(
        &self,
        rows: Rows,
        length: usize,
        starts: Vec<usize>,
        query_rows: Vec<usize>,
    ) -> CellBlock<R> {
        let dot_rows = integers(query_rows.iter().copied(), &self.device);
        CellBlock { ends: rows.first + rows.rows == length, rows, starts, query_rows, dot_rows }
    }

    fn run(
        &self,
        x: CubeTensor<R>,
        packed: &Packed<R>,
        keep: Keep,
    ) -> (CubeTensor<R>, Vec<SavedLayer<R>>, SavedLast<R>) {
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
        let (h_cls, last) = self.last_layer(last, stream, packed);
        (h_cls, saved, last)
    }
}

impl<R: CubeRuntime> Packed<R> {
    fn angles(&self) -> [&CubeTensor<R>; 2] {
        [&self.cos, &self.sin]
    }

    /// Rows of the real tokens in `[cells · tokens]`, where there are pads.
    fn real<BT: BoolElement>(&self, device: &R::CubeDevice) -> Option<Tensor<Gpu<R, BT>, 1, Int>> {
        let Batch { tokens, lengths } = &self.batch;
        if lengths.iter().all(|length| length == tokens) {
            return None;
        }
        let cells = lengths.iter().enumerate();
        let rows: Vec<i32> = cells
            .flat_map(|(cell, &length)| {
                (0..length).map(move |token| (cell * tokens + token) as i32)
            })
            .collect();
        let count = rows.len();
        Some(Tensor::from_data(TensorData::new(rows, [count]), device))
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

    fn forward(
        &self,
        x0: Tensor<Gpu<R, BT>, 3>,
        batch: &Batch,
        keep: Keep,
    ) -> (Tensor<Gpu<R, BT>, 2>, Option<Box<dyn Any + Send>>) {
        let packed = self.pack(batch);
        let x = real_rows(x0, &packed, &self.device);
        let (h_cls, layers, last) = self.run(x, &packed, keep);
        let saved = (keep != Keep::Nothing)
            .then(|| Box::new(Saved { packed, layers, last }) as Box<dyn Any + Send>);
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
        let Saved { packed, layers, last } = *saved;
        let (body, last_layer) = self.split();
        let g_cls = of_burn(g_cls);
        let (mut g, mut narrow) = self.last_layer_backward(last_layer, &g_cls, last, &packed);
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

fn real_rows<R: CubeRuntime, BT: BoolElement>(
    x0: Tensor<Gpu<R, BT>, 3>,
    packed: &Packed<R>,
    device: &R::CubeDevice,
) -> CubeTensor<R> {
    let [cells, tokens, hidden] = x0.dims();
    let rows = x0.reshape([cells * tokens, hidden]);
    of_burn(match packed.real(device) {
        None => rows,
        Some(real) => rows.select(0, real),
    })
}

fn to_burn<R: CubeRuntime, BT: BoolElement, const D: usize>(
    tensor: CubeTensor<R>,
) -> Tensor<Gpu<R, BT>, D> {
    Tensor::from_primitive(TensorPrimitive::Float(tensor))
}

fn of_burn<R: CubeRuntime, BT: BoolElement, const D: usize>(
    tensor: Tensor<Gpu<R, BT>, D>,
) -> CubeTensor<R> {
    into_contiguous(tensor.into_primitive().tensor())
}

fn from_host<R: CubeRuntime>(data: TensorData, device: &R::CubeDevice) -> CubeTensor<R> {
    of_burn(Tensor::<Gpu<R, u8>, 2>::from_data(data, device))
}

fn vector<R: CubeRuntime>(values: Vec<f32>, device: &R::CubeDevice) -> CubeTensor<R> {
    let length = values.len();
    of_burn(Tensor::<Gpu<R, u8>, 1>::from_data(TensorData::new(values, [length]), device))
}

fn integers<R: CubeRuntime>(
    values: impl Iterator<Item = usize>,
    device: &R::CubeDevice,
) -> CubeTensor<R> {
    let values: Vec<i32> = values.map(|value| value as i32).collect();
    let length = values.len();
    let data = TensorData::new(values, [length]);
    into_contiguous(Tensor::<Gpu<R, u8>, 1, Int>::from_data(data, device).into_primitive())
}

fn zeros<R: CubeRuntime>(like: &CubeTensor<R>) -> CubeTensor<R> {
    let [rows, width] = like.meta.shape().dims();
    of_burn(Tensor::<Gpu<R, u8>, 2>::zeros([rows, width], &like.device))
}

fn indices<R: CubeRuntime>(rows: &CubeTensor<R>) -> Tensor<Gpu<R, u8>, 1, Int> {
    Tensor::from_primitive(rows.clone())
}

fn select<R: CubeRuntime>(from: &CubeTensor<R>, rows: &CubeTensor<R>) -> CubeTensor<R> {
    of_burn(to_burn::<R, u8, 2>(from.clone()).select(0, indices(rows)))
}

/// Add `part` to distinct `rows` of `sum`.
fn add_at<R: CubeRuntime>(
    sum: CubeTensor<R>,
    rows: &CubeTensor<R>,
    part: CubeTensor<R>,
) -> CubeTensor<R> {
    let part = to_burn::<R, u8, 2>(part);
    of_burn(to_burn::<R, u8, 2>(sum).select_assign(0, indices(rows), part, IndexingUpdateOp::Add))
}
