//! A cell as the backbone reads it: gene tokens, an instruction and the class token, in one sequence.

use std::collections::HashMap;

use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::mlp::{Mlp, normal};
use crate::trainable::Trainable;

/// What a gene token is made of, before the projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// Embedding followed by the positional encoding of the rank, `[dim + pe_dim]` (the paper's ⊕).
    ConcatPe,
    /// Embedding times the expression value, `[dim]` (what the authors' code does).
    Multiply,
    /// Embedding plus the positional encoding of the rank, `[dim]`.
    AddPe,
    /// The embedding alone, `[dim]`.
    None,
}

/// Where the instruction stands in the sequence; the class token is always last, since a causal
/// backbone lets only the last token see the whole cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Genes, instruction, class token (the paper's workflow and code).
    CellsInstructionCls,
    /// Instruction, genes, class token (the paper's equation 3).
    InstructionCellsCls,
}

/// Cells of one micro-batch, packed: the genes of all cells one after the other, best rank first.
#[derive(Debug, Clone, Default)]
pub struct PackedCells {
    /// Row of the embedding table, one entry a gene token.
    pub genes: Vec<u32>,
    /// Expression value, one entry a gene token.
    pub values: Vec<f32>,
    /// Gene tokens of each cell that the backbone reads. Cells after these, which only `measured` has, go to
    /// the head by the path around the backbone alone.
    pub lengths: Vec<usize>,
    /// What the path around the backbone reads of them; needed where there is one.
    pub measured: MeasuredGenes,
    /// What is added to the genes' embeddings, in training.
    pub noise: Option<EmbeddingNoise>,
}

/// Gaussian noise on gene embeddings: what is learned of a gene then holds of all genes whose text is alike,
/// those too that training never showed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EmbeddingNoise {
    /// Standard deviation, in the unit of the embeddings.
    pub deviation: f32,
    /// Seed; of one seed a gene gets the same noise wherever it stands.
    pub seed: u64,
}

/// The same genes of several cells, each against its mean.
#[derive(Debug, Clone, Default)]
pub struct MeasuredGenes {
    /// Rows of the embedding table.
    pub genes: Vec<u32>,
    /// Expression less its mean, row by row, `[cells, genes]`.
    pub values: Vec<f32>,
}

impl EmbeddingNoise {
    /// The noise of `genes`, row by row, `[genes, dim]`.
    fn of(&self, genes: &[u32], dim: usize) -> Vec<f32> {
        let mut drawn: HashMap<u32, Vec<f32>> = HashMap::new();
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut noise = Vec::with_capacity(genes.len() * dim);
        for &gene in genes {
            let row = drawn.entry(gene).or_insert_with(|| {
                rng.set_stream(gene.into());
                rng.set_word_pos(0);
                normal(dim, self.deviation, &mut rng)
            });
            noise.extend_from_slice(row);
        }
        noise
    }
}

/// The frozen inputs around the trained part: gene embeddings, rank encodings, instruction tokens.
#[derive(Debug, Clone)]
pub struct TokenSource<B: Backend> {
    embeddings: Tensor<B, 2>,
    encoding: Tensor<B, 2>,
    instruction: Option<Tensor<B, 2>>,
    combine: Combine,
    order: Order,
}

impl<B: Backend> TokenSource<B> {
    /// Join the gene table `[genes, dim]`, the rank encodings `[ranks, pe_dim]` and the instruction's
    /// token embeddings `[instruction tokens, hidden_size]`, if it has one: no tensor here is ever empty,
    /// since a graphics card refuses work on none.
    pub fn new(
        embeddings: Tensor<B, 2>,
        encoding: Tensor<B, 2>,
        instruction: Option<Tensor<B, 2>>,
        combine: Combine,
        order: Order,
    ) -> Self {
        Self { embeddings, encoding, instruction, combine, order }
    }

    /// The device that holds the tables.
    pub fn device(&self) -> B::Device {
        self.embeddings.device()
    }

    /// Width of a gene embedding.
    pub fn dim(&self) -> usize {
        self.embeddings.dims()[1]
    }

    /// Embeddings of `genes`, rows of the table, with `noise` on them, `[genes, dim]`.
    pub fn embeddings(&self, genes: &[u32], noise: Option<EmbeddingNoise>) -> Tensor<B, 2> {
        let device = self.device();
        let rows = self.embeddings.clone().select(0, integers(genes, &device));
        match noise {
            None => rows,
            Some(noise) => {
                let shape = [genes.len(), self.dim()];
                rows + Tensor::from_data(
                    TensorData::new(noise.of(genes, self.dim()), shape),
                    &device,
                )
            }
        }
    }

    /// Width of a gene token, the projection's input.
    pub fn token_size(&self) -> usize {
        let [_, dim] = self.embeddings.dims();
        match self.combine {
            Combine::ConcatPe => dim + self.encoding.dims()[1],
            Combine::Multiply | Combine::AddPe | Combine::None => dim,
        }
    }

    /// Tokens of a sequence that has `genes` gene tokens.
    pub fn sequence_length(&self, genes: usize) -> usize {
        genes + self.words() + 1
    }

    /// Tokens of the instruction.
    fn words(&self) -> usize {
        self.instruction.as_ref().map_or(0, |instruction| instruction.dims()[0])
    }

    /// Project the gene tokens of `cells`, `[gene tokens of all cells, hidden_size]`; one that no cell has
    /// where none has any. `lift` brings the frozen tables onto the projection's tape.
    ///
    /// A token is made of a gene and a rank, and so is what the first layer makes of it:
    /// `W (e ⊕ p) + b = W_e e + W_p p + b`. Each gene and each rank is multiplied once, however many tokens
    /// have it.
    pub fn project<A: Backend>(
        &self,
        projection: &Mlp<A>,
        cells: &PackedCells,
        lift: impl Fn(Tensor<B, 2>) -> Tensor<A, 2>,
    ) -> Tensor<A, 2> {
        let (weight, bias) = projection.first();
        let device = weight.device();
        let [_, hidden_size] = weight.dims();
        if cells.genes.is_empty() {
            return Tensor::zeros([1, hidden_size], &device);
        }
        let (distinct, of_token) = distinct(&cells.genes);
        let of_embeddings = weight.clone().narrow(0, 0, self.dim());
        let genes = lift(self.embeddings(&distinct, cells.noise)).matmul(of_embeddings);
        let genes = genes.select(0, integers(&of_token, &device));
        let of_ranks = |weight: Tensor<A, 2>| {
            let ranks = cells.lengths.iter().copied().max().unwrap_or(0);
            let of_token: Vec<u32> =
                cells.lengths.iter().flat_map(|&length| 0..length as u32).collect();
            let encoding = lift(self.encoding.clone().narrow(0, 0, ranks));
            encoding.matmul(weight).select(0, integers(&of_token, &device))
        };
        let tokens = match self.combine {
            Combine::None => genes,
            Combine::Multiply => {
                let values = TensorData::new(cells.values.clone(), [cells.values.len(), 1]);
                genes * Tensor::<A, 2>::from_data(values, &device)
            }
            Combine::ConcatPe => {
                genes + of_ranks(weight.narrow(0, self.dim(), self.token_size() - self.dim()))
            }
            Combine::AddPe => genes + of_ranks(weight),
        };
        projection.after_first(match bias {
            Some(bias) => tokens + bias.unsqueeze(),
            None => tokens,
        })
    }

    /// Lay gene tokens, `projected`, instruction and class token out as sequences.
    ///
    /// Returns `[cells, tokens, hidden_size]`, right padded with zeros, and each cell's own number of
    /// tokens. Only gene tokens that exist are ever projected: pads are added here.
    pub fn sequences<A: Backend>(
        &self,
        trainable: &Trainable<A>,
        projected: Tensor<A, 2>,
        instruction: Option<Tensor<A, 2>>,
        cells: &PackedCells,
    ) -> (Tensor<A, 3>, Vec<usize>) {
        let [genes, hidden_size] = projected.dims();
        let words = self.words();
        let device = projected.device();
        let cls = trainable.cls.val().reshape([1, hidden_size]);
        let pad = Tensor::zeros([1, hidden_size], &device);
        let rows = [Some(projected), instruction, Some(cls), Some(pad)];
        let rows = Tensor::cat(rows.into_iter().flatten().collect(), 0);

        let lengths: Vec<usize> =
            cells.lengths.iter().map(|&length| self.sequence_length(length)).collect();
        let width = lengths.iter().copied().max().unwrap_or(0);
        let instruction_rows = genes as u32..(genes + words) as u32;
        let (cls_row, pad_row) = ((genes + words) as u32, (genes + words + 1) as u32);
        let mut layout = Vec::with_capacity(width * lengths.len());
        let mut first = 0u32;
        for (&length, &tokens) in cells.lengths.iter().zip(&lengths) {
            let gene_rows = first..first + length as u32;
            match self.order {
                Order::CellsInstructionCls => {
                    layout.extend(gene_rows.chain(instruction_rows.clone()));
                }
                Order::InstructionCellsCls => {
                    layout.extend(instruction_rows.clone().chain(gene_rows));
                }
            }
            layout.push(cls_row);
            layout.extend(std::iter::repeat_n(pad_row, width - tokens));
            first += length as u32;
        }
        let sequences = rows.select(0, integers(&layout, &device));
        (sequences.reshape([lengths.len(), width, hidden_size]), lengths)
    }

    /// The instruction's token embeddings, `[instruction tokens, hidden_size]`.
    pub fn instruction(&self) -> Option<Tensor<B, 2>> {
        self.instruction.clone()
    }
}

/// The genes of `tokens`, each once, and for each token which of them it has.
fn distinct(tokens: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let (mut genes, mut rows) = (Vec::new(), HashMap::new());
    let of_token = tokens.iter().map(|&gene| {
        *rows.entry(gene).or_insert_with(|| {
            genes.push(gene);
            genes.len() as u32 - 1
        })
    });
    let of_token = of_token.collect();
    (genes, of_token)
}

fn integers<B: Backend>(values: &[u32], device: &B::Device) -> Tensor<B, 1, Int> {
    let values: Vec<i32> = values.iter().map(|&value| value as i32).collect();
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gene_has_one_noise_a_seed_of_the_deviation_asked_for() {
        let noise = EmbeddingNoise { deviation: 0.5, seed: 3 };
        let drawn = noise.of(&[7, 2, 7], 4000);
        let [first, other, again] = [&drawn[..4000], &drawn[4000..8000], &drawn[8000..]];
        assert_eq!(first, again);
        assert_ne!(first, other);
        assert_eq!(noise.of(&[2], 4000), other, "whatever stands beside it");
        assert_ne!(EmbeddingNoise { seed: 4, ..noise }.of(&[2], 4000), other);
        let squares: f32 = drawn.iter().map(|value| value * value).sum();
        assert!(((squares / 12000.0).sqrt() - 0.5).abs() < 0.02);
    }
}
