//! Random weights that are the same bytes on every machine.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A seeded stream of nearly normal numbers.
///
/// Each is the sum of twelve uniform 16-bit integers (Irwin-Hall), centred and scaled to unit variance:
/// whole-number arithmetic, so that no machine's logarithm or cosine enters.
pub(crate) struct RandomWeights(ChaCha8Rng);

impl RandomWeights {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Draw `count` numbers of mean 0 and standard deviation `deviation`, within ±6 deviations.
    pub(crate) fn draw(&mut self, count: usize, deviation: f32) -> Vec<f32> {
        (0..count).map(|_| self.unit() * deviation).collect()
    }

    fn unit(&mut self) -> f32 {
        let sum: i64 = (0..3)
            .map(|_| {
                let word = self.0.next_u64();
                (0..4).map(|part| ((word >> (16 * part)) & 0xffff) as i64).sum::<i64>()
            })
            .sum();
        // Twelve uniforms on 0..=65535 have mean 6·65535 and variance 65536² − 1, nearly 65536².
        (sum - 6 * 65_535) as f32 / 65_536.0
    }
}
