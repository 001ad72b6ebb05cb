//! How much memory a frozen backbone and its trainable parts need, from its published shape.

/// A backbone by its published shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KnownBackbone {
    /// Name, as on Hugging Face.
    pub name: &'static str,
    /// Width of the residual stream.
    pub hidden_size: u64,
    /// Decoder layers.
    pub layers: u64,
    /// Width of the MLP.
    pub intermediate_size: u64,
    /// Query heads.
    pub heads: u64,
    /// Key and value heads.
    pub key_value_heads: u64,
    /// Entries of the token table.
    pub vocabulary: u64,
    /// Whether the output layer is the token table again.
    pub tied: bool,
}

const fn backbone(name: &'static str, shape: [u64; 6], tied: bool) -> KnownBackbone {
    let [hidden_size, layers, intermediate_size, heads, key_value_heads, vocabulary] = shape;
    KnownBackbone {
        name,
        hidden_size,
        layers,
        intermediate_size,
        heads,
        key_value_heads,
        vocabulary,
        tied,
    }
}

/// Backbones that biologists ask for, smallest first; shapes from their `config.json`.
pub const KNOWN_BACKBONES: [KnownBackbone; 9] = [
    backbone("SmolLM2-135M", [576, 30, 1536, 9, 3, 49_152], true),
    backbone("SmolLM2-360M", [960, 32, 2560, 15, 5, 49_152], true),
    backbone("TinyLlama-1.1B", [2048, 22, 5632, 32, 4, 32_000], false),
    backbone("Llama-3.2-1B", [2048, 16, 8192, 32, 8, 128_256], true),
    backbone("SmolLM2-1.7B", [2048, 24, 8192, 32, 32, 49_152], true),
    backbone("Llama-3.2-3B", [3072, 28, 8192, 24, 8, 128_256], true),
    backbone("Llama-2-7b", [4096, 32, 11_008, 32, 32, 32_000], false),
    backbone("Llama-3.1-8B", [4096, 32, 14_336, 32, 8, 128_256], false),
    backbone("Llama-2-13b", [5120, 40, 13_824, 40, 40, 32_000], false),
];

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

    fn bits(self) -> u64 {
        match self {
            Self::F32 => 32,
            Self::Bf16 => 16,
            Self::Int8 => 8,
            Self::Int4 => 4,
        }
    }

    /// Bytes of one activation: quantised weights are multiplied in bf16.
    fn activation_bytes(self) -> u64 {
        if self == Self::F32 { 4 } else { 2 }
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

impl KnownBackbone {
    /// Count the parameters, as published.
    pub fn parameters(&self) -> u64 {
        let Self { hidden_size: h, intermediate_size: i, .. } = *self;
        let attention = 2 * h * h + 2 * h * self.key_value_size();
        let layer = attention + 3 * h * i + 2 * h;
        let tables = if self.tied { 1 } else { 2 } * self.vocabulary * h;
        tables + self.layers * layer + h
    }

    fn key_value_size(&self) -> u64 {
        self.hidden_size / self.heads * self.key_value_heads
    }

    /// Estimate the memory of training with cells of `tokens` tokens (genes, instruction and cls).
    ///
    /// A layer keeps, for each token, its input, queries, keys, values, attention output, the stream
    /// between attention and MLP, and the gate and up projections: `4 h + 2 kv + 2 i` numbers. With
    /// only inputs kept that is `h` a layer, and one layer in full at a time. Attention is counted as
    /// never holding all scores of a cell at once.
    pub fn plan(&self, format: Format, tokens: u64) -> Plan {
        let Self { hidden_size: h, intermediate_size: i, layers, .. } = *self;
        let bytes = format.activation_bytes();
        let layer = tokens * bytes * (4 * h + 2 * self.key_value_size() + 2 * i);
        let projection = EMBEDDING * h + 4 * h * h + 5 * h;
        let head = 4 * (h * h + h) + h * CLASSES + CLASSES;
        Plan {
            weights: self.parameters() * format.bits() / 8,
            trainables: 16 * (projection + head),
            cell_keeping_all: layers * layer,
            cell_keeping_inputs: layers * tokens * bytes * h + layer,
        }
    }
}

impl Plan {
    /// The least memory that trains at all: one cell at a time, only inputs of layers kept.
    pub fn least(&self) -> u64 {
        self.weights + self.trainables + self.cell_keeping_inputs
    }

    /// Count the cells that fit at once into `memory` bytes, keeping all activations if `all`. A
    /// tenth of the memory is left to the driver, the allocator's gaps and everything else.
    pub fn cells(&self, memory: u64, all: bool) -> u64 {
        let usable = memory / 10 * 9;
        let cell = if all { self.cell_keeping_all } else { self.cell_keeping_inputs };
        usable.saturating_sub(self.weights + self.trainables) / cell.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> KnownBackbone {
        *KNOWN_BACKBONES.iter().find(|known| known.name == name).unwrap()
    }

    #[test]
    fn parameters_are_as_published() {
        // The counts of the safetensors files on Hugging Face.
        let published = [
            ("SmolLM2-135M", 134_515_008),
            ("SmolLM2-360M", 361_821_120),
            ("TinyLlama-1.1B", 1_100_048_384),
            ("Llama-3.2-1B", 1_235_814_400),
            ("SmolLM2-1.7B", 1_711_376_384),
            ("Llama-3.2-3B", 3_212_749_824),
            ("Llama-2-7b", 6_738_415_616),
            ("Llama-3.1-8B", 8_030_261_248),
            ("Llama-2-13b", 13_015_864_320),
        ];
        assert_eq!(published.len(), KNOWN_BACKBONES.len());
        for (name, count) in published {
            assert_eq!(named(name).parameters(), count, "{name}");
        }
    }

    #[test]
    fn trainables_count_as_the_paper_s_projection_and_head() {
        // 217,937,981 at d = 5120 and K = 61; 140,795,965 at d = 4096.
        let bytes = |name: &str| named(name).plan(Format::F32, 1).trainables;
        assert_eq!(bytes("Llama-2-13b"), 16 * 217_937_981);
        assert_eq!(bytes("Llama-2-7b"), 16 * 140_795_965);
    }

    #[test]
    fn activations_of_the_paper_s_setting() {
        // 2,048 genes, an instruction and cls on Llama-2-13b in bf16: 9.64 GB a cell with everything
        // kept, 0.85 GB of layer inputs besides the one layer in work.
        let plan = named("Llama-2-13b").plan(Format::Bf16, 2064);
        assert_eq!(plan.cell_keeping_all, 40 * 2064 * 2 * (6 * 5120 + 2 * 13_824));
        let inputs = plan.cell_keeping_inputs - plan.cell_keeping_all / 40;
        assert_eq!(inputs, 845_414_400);
    }

    #[test]
    fn what_fits_grows_with_memory_and_shrinks_with_exactness() {
        let known = named("Llama-2-7b");
        let gigabytes = |n: u64| n * 1_000_000_000;
        assert_eq!(known.plan(Format::F32, 2064).cells(gigabytes(24), false), 0);
        assert!(known.plan(Format::Bf16, 2064).cells(gigabytes(24), false) >= 1);
        assert!(known.plan(Format::Bf16, 2064).cells(gigabytes(80), true) >= 1);
        assert_eq!(known.plan(Format::Bf16, 2064).cells(0, false), 0);
        let least: Vec<u64> =
            Format::ALL.iter().map(|format| known.plan(*format, 2064).least()).collect();
        assert!(least.windows(2).all(|pair| pair[0] > pair[1]), "{least:?}");
    }
}
