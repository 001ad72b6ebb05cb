//! Which cells each optimiser step sees. Every choice is a function of the seed and the step, so a
//! resumed run needs no memory of the ones before.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use screader_models::reader::PackedCells;

use crate::rank::RankedCells;

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

/// Split a batch into micro-batches of cells of like length, so that few pads are computed.
pub fn micro_batches(batch: &[usize], ranked: &RankedCells, size: usize) -> Vec<Vec<usize>> {
    let mut batch = batch.to_vec();
    batch.sort_by_key(|&cell| (ranked.cell(cell).0.len(), cell));
    batch.chunks(size).map(<[usize]>::to_vec).collect()
}

/// Pack `cells` for the network.
pub fn pack(cells: &[usize], ranked: &RankedCells) -> PackedCells {
    let mut packed = PackedCells::default();
    for &cell in cells {
        let (genes, values) = ranked.cell(cell);
        packed.genes.extend_from_slice(genes);
        packed.values.extend_from_slice(values);
        packed.lengths.push(genes.len());
    }
    packed
}

/// Pack `cells` and leave out each gene with probability `dropout`; what is dropped depends on seed,
/// step and cell alone.
pub fn pack_with_dropout(
    cells: &[usize],
    ranked: &RankedCells,
    dropout: f64,
    seed: u64,
    step: usize,
) -> PackedCells {
    if dropout == 0.0 {
        return pack(cells, ranked);
    }
    let mut packed = PackedCells::default();
    for &cell in cells {
        let mut rng = stream(seed ^ 0x6472_6f70, ((step as u64) << 32) | cell as u64);
        let (genes, values) = ranked.cell(cell);
        let before = packed.genes.len();
        for (&gene, &value) in genes.iter().zip(values) {
            if !rng.random_bool(dropout) {
                packed.genes.push(gene);
                packed.values.push(value);
            }
        }
        packed.lengths.push(packed.genes.len() - before);
    }
    packed
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
