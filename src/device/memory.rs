//! How much memory a frozen backbone and its trainable parts need, from its published shape.

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

    /// Whether this version runs backbones in the format; the others are sizes for planning.
    pub fn runs(self) -> bool {
        matches!(self, Self::F32 | Self::Bf16)
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

impl Plan {
    /// Estimate the memory of training on a backbone with cells of `tokens` tokens (genes,
    /// instruction and cls).
    ///
    /// Of the weights, the decoder layers and the last norm are on the device; the token table is
    /// mapped from the file and the output layer is not read. A layer keeps, for each token, its
    /// input, queries, keys, values, attention output, the stream between attention and MLP, and the
    /// gate and up projections: `2 h + 2 q + 2 kv + 2 i` numbers. With only inputs kept that is `h` a
    /// layer, and one layer in full at a time. Attention is counted as never holding all scores of a
    /// cell at once.
    pub fn of(backbone: &Backbone, format: Format, tokens: u64) -> Self {
        let Backbone { hidden_size: h, intermediate_size: i, layers, head_dim, .. } = *backbone;
        let (query, key_value) = (backbone.heads * head_dim, backbone.kv_heads * head_dim);
        let bytes = format.activation_bytes();
        let layer = tokens * bytes * (2 * h + 2 * query + 2 * key_value + 2 * i);
        let tables = backbone.vocabulary * h * if backbone.tied { 1 } else { 2 };
        let projection = EMBEDDING * h + 4 * h * h + 5 * h;
        let head = 4 * (h * h + h) + h * CLASSES + CLASSES;
        Self {
            weights: (backbone.parameters - tables) * format.bits() / 8,
            trainables: 16 * (projection + head),
            cell_keeping_all: layers * layer,
            cell_keeping_inputs: layers * tokens * bytes * h + layer,
        }
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
    use crate::fetch::known_backbones;

    fn plan(name: &str, format: Format, tokens: u64) -> Plan {
        let known = known_backbones().unwrap();
        Plan::of(known.iter().find(|known| known.name == name).unwrap(), format, tokens)
    }

    #[test]
    fn weights_leave_out_the_token_tables() {
        // 6,738,415,616 parameters less two tables of 32,000 by 4,096; then less one of 128,256 by
        // 2,048, which is the output layer too.
        assert_eq!(plan("llama-2-7b", Format::F32, 1).weights, 4 * 6_476_271_616);
        assert_eq!(plan("llama-3.2-1b", Format::Bf16, 1).weights, 2 * 973_146_112);
        assert_eq!(plan("llama-2-7b", Format::Int4, 1).weights, 6_476_271_616 / 2);
    }

    #[test]
    fn trainables_count_as_the_papers_projection_and_head() {
        // 217,937,981 at d = 5120 and K = 61; 140,795,965 at d = 4096.
        assert_eq!(plan("llama-2-13b", Format::F32, 1).trainables, 16 * 217_937_981);
        assert_eq!(plan("llama-2-7b", Format::F32, 1).trainables, 16 * 140_795_965);
    }

    #[test]
    fn activations_of_the_papers_setting() {
        // 2,048 genes, an instruction and cls on llama-2-13b in bf16: 9.64 GB a cell with everything
        // kept, 0.85 GB of layer inputs besides the one layer in work.
        let plan = plan("llama-2-13b", Format::Bf16, 2064);
        assert_eq!(plan.cell_keeping_all, 9_637_724_160);
        assert_eq!(plan.cell_keeping_inputs - plan.cell_keeping_all / 40, 845_414_400);
    }

    #[test]
    fn what_fits_grows_with_memory_and_shrinks_with_exactness() {
        let seven = |format| plan("llama-2-7b", format, 2064);
        let gigabytes = |n: u64| n * 1_000_000_000;
        assert_eq!(seven(Format::F32).cells(gigabytes(24), false), 0);
        assert!(seven(Format::Bf16).cells(gigabytes(24), false) >= 1);
        assert!(seven(Format::Bf16).cells(gigabytes(80), true) >= 1);
        assert_eq!(seven(Format::Bf16).cells(0, false), 0);
        let weights: Vec<u64> = Format::ALL.iter().map(|format| seven(*format).weights).collect();
        assert!(weights.windows(2).all(|pair| pair[0] > pair[1]), "{weights:?}");
    }
}
