//! A cell as the backbone reads it: gene tokens, an instruction and the class token, in one sequence.

use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use serde::{Deserialize, Serialize};

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
}

/// The same genes of several cells, each against its mean.
#[derive(Debug, Clone, Default)]
pub struct MeasuredGenes {
    /// Rows of the embedding table.
    pub genes: Vec<u32>,
    /// Expression less its mean, row by row, `[cells, genes]`.
    pub values: Vec<f32>,
}

/// The frozen inputs around the trained part: gene embeddings, rank encodings, instruction tokens.
#[derive(Debug, Clone)]
pub struct TokenSource<B: Backend> {
    embeddings: Tensor<B, 2>,
    encoding: Tensor<B, 2>,
    instruction: Tensor<B, 2>,
    combine: Combine,
    order: Order,
}

impl<B: Backend> TokenSource<B> {
    /// Join the gene table `[genes, dim]`, the rank encodings `[ranks, pe_dim]` and the instruction's
    /// token embeddings `[instruction tokens, hidden_size]`.
    pub fn new(
        embeddings: Tensor<B, 2>,
        encoding: Tensor<B, 2>,
        instruction: Tensor<B, 2>,
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

    /// Embeddings of `genes`, rows of the table, `[genes, dim]`.
    pub fn embeddings(&self, genes: &[u32]) -> Tensor<B, 2> {
        self.embeddings.clone().select(0, integers(genes, &self.device()))
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
        genes + self.instruction.dims()[0] + 1
    }

    /// The gene tokens of `cells` before projection, `[gene tokens of all cells, token_size]`.
    pub fn gene_tokens(&self, cells: &PackedCells) -> Tensor<B, 2> {
        let device = self.device();
        let genes = self.embeddings(&cells.genes);
        match self.combine {
            Combine::None => genes,
            Combine::Multiply => {
                let values = TensorData::new(cells.values.clone(), [cells.values.len(), 1]);
                genes * Tensor::<B, 2>::from_data(values, &device)
            }
            Combine::ConcatPe => Tensor::cat(vec![genes, self.ranks(cells, &device)], 1),
            Combine::AddPe => genes + self.ranks(cells, &device),
        }
    }

    fn ranks(&self, cells: &PackedCells, device: &B::Device) -> Tensor<B, 2> {
        let ranks: Vec<u32> = cells.lengths.iter().flat_map(|&length| 0..length as u32).collect();
        self.encoding.clone().select(0, integers(&ranks, device))
    }

    /// Lay projected gene tokens, instruction and class token out as sequences.
    ///
    /// Returns `[cells, tokens, hidden_size]`, right padded with zeros, and each cell's own number of
    /// tokens. Only gene tokens that exist are ever projected: pads are added here.
    pub fn sequences<A: Backend>(
        &self,
        trainable: &Trainable<A>,
        gene_tokens: Tensor<A, 2>,
        instruction: Tensor<A, 2>,
        cells: &PackedCells,
    ) -> (Tensor<A, 3>, Vec<usize>) {
        let projected = trainable.projection.forward(gene_tokens);
        let [genes, hidden_size] = projected.dims();
        let words = self.instruction.dims()[0];
        let device = projected.device();
        let cls = trainable.cls.val().reshape([1, hidden_size]);
        let pad = Tensor::zeros([1, hidden_size], &device);
        let rows = Tensor::cat(vec![projected, instruction, cls, pad], 0);

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
    pub fn instruction(&self) -> Tensor<B, 2> {
        self.instruction.clone()
    }
}

fn integers<B: Backend>(values: &[u32], device: &B::Device) -> Tensor<B, 1, Int> {
    let values: Vec<i32> = values.iter().map(|&value| value as i32).collect();
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}
