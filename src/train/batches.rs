//! Which cells each optimiser step sees. Every choice is a function of the seed and the step, so a
//! resumed run needs no memory of the ones before.

use rand::seq::{SliceRandom, index};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use screader_models::reader::{EmbeddingNoise, MeasuredGenes, PackedCells};

use crate::rank::{RankedCells, ReadableCells};

/// Endless batches over `cells`: pass after pass, each in an order of its own.
#[derive(Debug, Clone)]
pub struct Batches {
    cells: Vec<usize>,
    batch_size: usize,
    seed: u64,
    order: Option<(usize, Vec<usize>)>,
}

impl Batches {
    /// Draw batches of `batch_size` from `cells`, which must not be empty.
    pub fn new(cells: Vec<usize>, batch_size: usize, seed: u64) -> Self {
        Self { cells, batch_size, seed, order: None }
    }

    /// The cells of `step`, counted from 1. A batch that reaches the end of a pass goes on in the next.
    pub fn of_step(&mut self, step: usize) -> Vec<usize> {
        let first = (step - 1) * self.batch_size;
        (first..first + self.batch_size)
            .map(|draw| {
                let (pass, place) = (draw / self.cells.len(), draw % self.cells.len());
                self.pass(pass)[place]
            })
            .collect()
    }

    fn pass(&mut self, pass: usize) -> &[usize] {
        if self.order.as_ref().is_none_or(|(of, _)| *of != pass) {
            let mut cells = self.cells.clone();
            cells.shuffle(&mut stream(self.seed, pass as u64));
            self.order = Some((pass, cells));
        }
        self.order.as_ref().map_or(&[], |(_, cells)| cells)
    }
}

/// Cells of a batch that go through the network at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MicroBatch {
    /// The cells.
    pub cells: Vec<usize>,
    /// How many of them, from the first, the backbone reads.
    pub read: usize,
}

/// Split a batch, of which the backbone reads the first `read` cells, into micro-batches of cells of like
/// length, so that few pads are computed; each with its part of what is read.
pub fn micro_batches(
    batch: &[usize],
    read: usize,
    ranked: &RankedCells,
    size: usize,
) -> Vec<MicroBatch> {
    let count = batch.len().div_ceil(size).max(1);
    let (first, mut rest) = batch.split_at(read.min(batch.len()));
    let mut first = first.to_vec();
    first.sort_by_key(|&cell| (ranked.cell(cell).0.len(), cell));
    let mut parts = Vec::with_capacity(count);
    let mut taken = 0;
    for number in 0..count {
        let until = |cells: usize| cells * (number + 1) / count;
        let size = until(batch.len()) - batch.len() * number / count;
        // Of what is read each takes its part, and what it has no place for the next takes.
        let read = size.min(until(first.len()) - taken);
        let (own, others) = rest.split_at(size - read);
        parts.push(MicroBatch { cells: [&first[taken..taken + read], own].concat(), read });
        (taken, rest) = (taken + read, others);
    }
    parts
}

/// Pack `cells` for the network, all measured genes with them.
pub fn pack(cells: &[usize], readable: &ReadableCells) -> PackedCells {
    let columns: Vec<usize> = (0..readable.measured.genes.len()).collect();
    let mut packed = PackedCells::default();
    for &cell in cells {
        let (genes, values) = readable.ranked.cell(cell);
        packed.genes.extend_from_slice(genes);
        packed.values.extend_from_slice(values);
        packed.lengths.push(genes.len());
    }
    packed.measured = measured(cells, &columns, readable);
    packed
}

/// What a step of training sees of its cells.
#[derive(Debug, Clone, Copy)]
pub struct Sight {
    /// Share of each cell's ranked genes that is dropped.
    pub gene_dropout: f64,
    /// Share of the measured genes that is seen.
    pub pool_share: f64,
    /// Deviation of the noise on the genes' embeddings.
    pub embedding_noise: f32,
    /// Seed of all three.
    pub seed: u64,
    /// The step.
    pub step: usize,
}

/// Pack `cells` as a step sees them; the backbone reads the first `read` of them. What it does not see depends
/// on seed and step alone, and for ranked genes on the cell: micro-batches of a step see the same measured
/// genes, under the same noise.
pub fn pack_in_sight(
    cells: &[usize],
    read: usize,
    readable: &ReadableCells,
    sight: Sight,
) -> PackedCells {
    let Sight { gene_dropout, seed, step, .. } = sight;
    let mut packed = PackedCells::default();
    for &cell in &cells[..read] {
        let mut rng = stream(seed ^ 0x6472_6f70, ((step as u64) << 32) | cell as u64);
        let (genes, values) = readable.ranked.cell(cell);
        let before = packed.genes.len();
        for (&gene, &value) in genes.iter().zip(values) {
            if gene_dropout == 0.0 || !rng.random_bool(gene_dropout) {
                packed.genes.push(gene);
                packed.values.push(value);
            }
        }
        packed.lengths.push(packed.genes.len() - before);
    }
    let count = readable.measured.genes.len();
    let mut rng = stream(seed ^ 0x6765_6e65, step as u64);
    let shown = (count as f64 * sight.pool_share).ceil() as usize;
    let mut columns = index::sample(&mut rng, count, shown).into_vec();
    columns.sort_unstable();
    packed.noise = (sight.embedding_noise > 0.0)
        .then(|| EmbeddingNoise { deviation: sight.embedding_noise, seed: rng.random() });
    packed.measured = measured(cells, &columns, readable);
    packed
}

fn measured(cells: &[usize], columns: &[usize], readable: &ReadableCells) -> MeasuredGenes {
    let measured = &readable.measured;
    MeasuredGenes {
        genes: columns.iter().map(|&column| measured.genes[column]).collect(),
        values: measured.values(cells, columns),
    }
}

fn stream(seed: u64, number: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    rng
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn micro_batches_part_a_batch_and_what_is_read_of_it() {
        let ranked = RankedCells {
            indptr: (0..=20).map(|cell| cell * (cell + 1) / 2).collect(),
            genes: vec![0; 210],
            values: vec![0.0; 210],
        };
        let batch: Vec<usize> = (0..20).rev().collect();
        for (read, size) in [(20, 6), (5, 6), (5, 64), (1, 1), (0, 8)] {
            let parts = micro_batches(&batch, read, &ranked, size);
            assert!(parts.iter().all(|part| part.cells.len() <= size.max(1)));
            let mut cells: Vec<usize> = parts.iter().flat_map(|part| part.cells.clone()).collect();
            cells.sort_unstable();
            assert_eq!(cells, (0..20).collect::<Vec<_>>());
            let first: Vec<usize> =
                parts.iter().flat_map(|part| part.cells[..part.read].to_vec()).collect();
            assert!(first.is_sorted_by_key(|&cell| ranked.cell(cell).0.len()), "like lengths");
            let mut first = first;
            first.sort_unstable();
            let mut expected = batch[..read].to_vec();
            expected.sort_unstable();
            assert_eq!(first, expected);
        }
    }

    #[test]
    fn a_pass_sees_every_cell_once_and_any_step_can_be_asked_for() {
        let cells: Vec<usize> = (10..31).collect();
        let mut batches = Batches::new(cells.clone(), 4, 7);
        let drawn: Vec<usize> = (1..=21).flat_map(|step| batches.of_step(step)).collect();
        for pass in drawn.chunks(21) {
            let mut pass = pass.to_vec();
            pass.sort_unstable();
            assert_eq!(pass, cells);
        }
        assert_ne!(drawn[..21], drawn[21..42]);
        assert_eq!(Batches::new(cells, 4, 7).of_step(11), drawn[40..44]);
    }
}
