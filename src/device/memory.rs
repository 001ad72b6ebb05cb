//! How much memory a frozen backbone and its trainable parts need, from its published shape.

use screader_models::llama::{LlamaConfig, Precision, Recompute, Weights};

use crate::fetch::Backbone;

/// How a weight is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// 32-bit floating point, 4 bytes.
    F32,
    /// Brain floating point, 2 bytes.
    Bf16,
    /// 8-bit integers, 1 byte.
    Int8,
    /// 4-bit integers, half a byte.
    Int4,
}

impl Format {
    /// All formats, most exact first.
    pub const ALL: [Self; 4] = [Self::F32, Self::Bf16, Self::Int8, Self::Int4];

    /// Name, as in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
        }
    }

    /// The format of weights that are multiplied in `precision` and kept as `weights` says.
    pub fn of(precision: Precision, weights: Weights) -> Self {
        match (weights, precision) {
            (Weights::Int8, _) => Self::Int8,
            (Weights::Int4, _) => Self::Int4,
            (Weights::Wide, Precision::Bf16 | Precision::F16) => Self::Bf16,
            (Weights::Wide, Precision::F32 | Precision::Auto) => Self::F32,
        }
    }

    /// Bits of two weights, the scales of rounded ones included.
    fn bits_of_two(self) -> u64 {
        match self {
            Self::F32 => 64,
            Self::Bf16 => 32,
            Self::Int8 => 17,
            Self::Int4 => 9,
        }
    }

    /// Bytes of one activation: quantised weights are multiplied in bf16.
    fn activation_bytes(self) -> u64 {
        if self == Self::F32 { 4 } else { 2 }
    }
}

/// Sizes of a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Width of a hidden state.
    pub hidden: u64,
    /// Width of the feed-forward layer.
    pub intermediate: u64,
    /// Number of layers.
    pub layers: u64,
    /// Width of all heads' queries together.
    pub query: u64,
    /// Width of all heads' keys together, which is that of their values.
    pub key_value: u64,
}

impl From<&Backbone> for Shape {
    fn from(known: &Backbone) -> Self {
        Self {
            hidden: known.hidden_size,
            intermediate: known.intermediate_size,
            layers: known.layers,
            query: known.heads * known.head_dim,
            key_value: known.kv_heads * known.head_dim,
        }
    }
}

impl From<&LlamaConfig> for Shape {
    fn from(config: &LlamaConfig) -> Self {
        Self {
            hidden: config.hidden_size as u64,
            intermediate: config.intermediate_size as u64,
            layers: config.num_hidden_layers as u64,
            query: (config.num_attention_heads * config.head_dim) as u64,
            key_value: (config.num_key_value_heads * config.head_dim) as u64,
        }
    }
}

impl Shape {
    /// Weights of the layers and the last norm, which are what lies on the device: the token table is mapped
    /// from its file, and the output layer is not read.
    fn weights(&self) -> u64 {
        let Self { hidden: h, intermediate: i, layers, query, key_value } = *self;
        layers * (2 * h * (query + key_value) + 3 * h * i + 2 * h) + h
    }

    /// Bytes that a layer keeps of a token: its input and the stream between attention and MLP, which stay in
    /// f32; queries, keys, values, what attention mixed, gate and up projections, in `bytes` each. Attention
    /// never holds all scores of a cell at once.
    fn layer(&self, bytes: u64) -> u64 {
        let Self { hidden, intermediate, query, key_value, .. } = *self;
        8 * hidden + bytes * (2 * query + 2 * key_value + 2 * intermediate)
    }
}

impl Shape {
    /// Arithmetic of one cell's training step, in operations: each weight multiplies each token once forward
    /// and once back, and once more where layers are recomputed; of the half of the attention map under the
    /// diagonal two products forward and five back, which compute it again.
    pub fn operations(&self, tokens: u64, recompute: Recompute) -> f64 {
        let [hidden, tokens, query, layers] =
            [self.hidden, tokens, self.query, self.layers].map(|size| size as f64);
        let weights = 2.0 * hidden * (query + self.key_value as f64)
            + 3.0 * hidden * self.intermediate as f64;
        let (passes, products) = match recompute {
            Recompute::Nothing => (2.0, 7.0),
            Recompute::Layers => (3.0, 9.0),
        };
        layers * (passes * 2.0 * weights * tokens + products * tokens * tokens * query)
    }
}

/// What training on a backbone needs, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The frozen weights.
    pub weights: u64,
    /// Projection and head in f32 with gradient and AdamW's two moments, 16 bytes a parameter.
    pub trainables: u64,
    /// What one cell keeps for its backward pass when every activation is kept.
    pub cell_keeping_all: u64,
    /// What one cell keeps when only the inputs of layers are kept and the rest is computed again.
    pub cell_keeping_inputs: u64,
}

/// Classes and embedding width assumed for the head and the projection: the paper's, which are the
/// larger case. They hardly matter beside the eight square layers.
const CLASSES: u64 = 61;
const EMBEDDING: u64 = 1536;

impl Plan {
    /// Estimate the memory of training on a backbone with cells of `tokens` tokens (genes, instruction and
    /// cls).
    pub fn of(shape: &Shape, format: Format, tokens: u64) -> Self {
        let h = shape.hidden;
        let layer = tokens * shape.layer(format.activation_bytes());
        let projection = EMBEDDING * h + 4 * h * h + 5 * h;
        let head = 4 * (h * h + h) + h * CLASSES + CLASSES;
        Self {
            weights: shape.weights() * format.bits_of_two() / 16,
            trainables: 16 * (projection + head),
            cell_keeping_all: shape.layers * layer,
            cell_keeping_inputs: shape.layers * tokens * 4 * h + layer,
        }
    }

    /// Bytes that `cells` cells at once need besides the weights and what trains. A graphics card's allocator
    /// reserves more than is kept: on an H200, with 7 and 13 billion weights, 1.4 to 1.8 times where all
    /// is kept, up to 3.2 times where inputs are, the buffers of the layer in work included.
    pub fn activations(&self, cells: u64, recompute: Recompute, on_card: bool) -> u64 {
        let (cell, tenths) = match recompute {
            Recompute::Nothing => (self.cell_keeping_all, 18),
            Recompute::Layers => (self.cell_keeping_inputs, 32),
        };
        cells * cell * if on_card { tenths } else { 10 } / 10
    }

    /// Count the cells that fit at once into `memory` bytes. A tenth of the memory is left to the driver and
    /// everything else.
    pub fn cells(&self, memory: u64, recompute: Recompute, on_card: bool) -> u64 {
        let usable = memory / 10 * 9;
        let cell = self.activations(1, recompute, on_card);
        usable.saturating_sub(self.weights + self.trainables) / cell.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::known_backbones;

    fn plan(name: &str, format: Format, tokens: u64) -> Plan {
        let known = known_backbones().unwrap();
        let known = known.iter().find(|known| known.name == name).unwrap();
        Plan::of(&known.into(), format, tokens)
    }

    #[test]
    fn weights_leave_out_the_token_tables() {
        // 6,738,415,616 parameters less two tables of 32,000 by 4,096; then less one of 128,256 by
        // 2,048, which is the output layer too.
        assert_eq!(plan("llama-2-7b", Format::F32, 1).weights, 4 * 6_476_271_616);
        assert_eq!(plan("llama-3.2-1b", Format::Bf16, 1).weights, 2 * 973_146_112);
        assert_eq!(plan("llama-2-7b", Format::Int4, 1).weights, 6_476_271_616 * 9 / 16);
    }

    #[test]
    fn trainables_count_as_the_papers_projection_and_head() {
        // 217,937,981 at d = 5120 and K = 61; 140,795,965 at d = 4096.
        assert_eq!(plan("llama-2-13b", Format::F32, 1).trainables, 16 * 217_937_981);
        assert_eq!(plan("llama-2-7b", Format::F32, 1).trainables, 16 * 140_795_965);
    }

    /// Peaks that `scripts/gpu-suite` measured on an H200, in MiB: `benches/results`.
    #[test]
    fn no_more_is_needed_than_is_promised() {
        use Recompute::{Layers, Nothing};
        let measured = [
            ("llama-2-13b", Format::Bf16, 1, Nothing, 37_813),
            ("llama-2-13b", Format::Bf16, 2, Nothing, 56_823),
            ("llama-2-13b", Format::Bf16, 4, Nothing, 92_663),
            ("llama-2-13b", Format::Bf16, 1, Layers, 31_093),
            ("llama-2-13b", Format::Bf16, 2, Layers, 33_623),
            ("llama-2-13b", Format::Bf16, 4, Layers, 47_031),
            ("llama-2-13b", Format::Int8, 2, Layers, 22_487),
            ("llama-2-13b", Format::Int4, 2, Layers, 17_303),
            ("llama-2-7b", Format::Bf16, 1, Nothing, 22_645),
            ("llama-2-7b", Format::Bf16, 4, Nothing, 49_781),
        ];
        for (name, format, cells, recompute, mebibytes) in measured {
            let plan = plan(name, format, 2064);
            let promised = plan.weights + plan.activations(cells, recompute, true);
            let ratio = promised as f64 / f64::from(mebibytes << 10) / 1024.0;
            // What trains was not on the card, and the driver's own part was.
            assert!(
                (0.95..1.35).contains(&ratio),
                "{name} {format:?} {cells} {recompute:?}: {ratio}"
            );
        }
    }

    #[test]
    fn what_fits_grows_with_memory_and_shrinks_with_exactness() {
        let cells = |format, gigabytes: u64, recompute| {
            plan("llama-2-7b", format, 2064).cells(gigabytes * 1_000_000_000, recompute, true)
        };
        assert_eq!(cells(Format::F32, 24, Recompute::Layers), 0);
        assert!(cells(Format::Int4, 24, Recompute::Layers) >= 1);
        assert!(cells(Format::Bf16, 80, Recompute::Nothing) >= 1);
        assert_eq!(cells(Format::Bf16, 0, Recompute::Layers), 0);
        let weights: Vec<u64> =
            Format::ALL.iter().map(|format| plan("llama-2-7b", *format, 1).weights).collect();
        assert!(weights.windows(2).all(|pair| pair[0] > pair[1]), "{weights:?}");
    }
}
