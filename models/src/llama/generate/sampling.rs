//! Which token follows: the likeliest, or one drawn from the likely ones.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Error, Result};

/// How a token is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// What logits are divided by; 0 takes the likeliest token, the first of equals.
    pub temperature: f64,
    /// Draw from the so many likeliest tokens alone.
    pub top_k: Option<usize>,
    /// Draw from the fewest tokens whose probabilities reach this share, in (0, 1] (nucleus sampling,
    /// Holtzman et al., 2020).
    pub top_p: f64,
    /// Seed of the draws: the same one gives the same text.
    pub seed: u64,
}

impl Default for Sampling {
    /// The likeliest token.
    fn default() -> Self {
        Self { temperature: 0.0, top_k: None, top_p: 1.0, seed: 0 }
    }
}

impl Sampling {
    /// Refuse what is no way to choose.
    ///
    /// # Errors
    /// Names the setting.
    pub(super) fn check(&self) -> Result<()> {
        let refuse = |key: &str, expected: &str, found: &dyn std::fmt::Display| {
            Err(Error::checkpoint("sampling", key, expected, found))
        };
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return refuse("temperature", "0 or a positive number", &self.temperature);
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return refuse("top_p", "a number above 0 and at most 1", &self.top_p);
        }
        match self.top_k {
            Some(0) => refuse("top_k", "at least 1", &0),
            _ => Ok(()),
        }
    }

    /// Give the tokens that may be drawn, likeliest first, with probabilities that add up to 1.
    ///
    /// In the order of transformers: temperature, `top_k`, `top_p`. Tokens whose logit is minus infinity or
    /// not a number are never drawn; without any other the list is empty.
    pub fn candidates(&self, logits: &[f32]) -> Vec<(u32, f64)> {
        let likely = |&(_, logit): &(usize, &f32)| !logit.is_nan() && *logit > f32::NEG_INFINITY;
        let mut kept: Vec<(u32, f64)> = (logits.iter().enumerate().filter(likely))
            .map(|(id, logit)| (id as u32, f64::from(*logit)))
            .collect();
        if kept.is_empty() {
            return kept;
        }
        let order = |a: &(u32, f64), b: &(u32, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        let most = if self.temperature == 0.0 { Some(1) } else { self.top_k };
        if let Some(most) = most.filter(|most| *most < kept.len()) {
            kept.select_nth_unstable_by(most - 1, order);
            kept.truncate(most);
        }
        kept.sort_unstable_by(order);
        let peak = kept[0].1;
        if self.temperature == 0.0 || peak == f64::INFINITY {
            return vec![(kept[0].0, 1.0)];
        }
        kept.iter_mut().for_each(|(_, x)| *x = ((*x - peak) / self.temperature).exp());
        let sum: f64 = kept.iter().map(|(_, weight)| weight).sum();
        let mut before = 0.0;
        let nucleus = kept.iter().take_while(|(_, weight)| {
            let wanted = before < self.top_p * sum;
            before += weight;
            wanted
        });
        let nucleus = nucleus.count();
        kept.truncate(nucleus.max(1));
        let sum: f64 = kept.iter().map(|(_, weight)| weight).sum();
        kept.iter_mut().for_each(|(_, weight)| *weight /= sum);
        kept
    }
}

/// A stream of choices.
pub(super) struct Sampler {
    sampling: Sampling,
    random: ChaCha8Rng,
}

impl Sampler {
    pub(super) fn new(sampling: Sampling) -> Self {
        Self { sampling, random: ChaCha8Rng::seed_from_u64(sampling.seed) }
    }

    /// Choose a token; `None` where no logit is a number.
    pub(super) fn choose(&mut self, logits: &[f32]) -> Option<u32> {
        let candidates = self.sampling.candidates(logits);
        let mut left: f64 = match candidates.len() {
            0 | 1 => 0.0,
            _ => self.random.random(),
        };
        for (id, probability) in &candidates {
            left -= probability;
            if left < 0.0 {
                return Some(*id);
            }
        }
        // Rounding may leave a crumb beyond the last.
        candidates.last().map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of probabilities 0.5, 0.2, 0.15, 0.1, 0.05 in another order; what all logits have in common is 1.
    const LOGITS: [f32; 5] = [-1.302_585, 0.306_852_8, -1.995_732_3, -0.609_438, -0.897_12];

    fn ids(sampling: Sampling) -> Vec<u32> {
        sampling.candidates(&LOGITS).into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn the_nucleus_is_the_fewest_tokens_that_reach_the_share() {
        let with = |top_p| Sampling { temperature: 1.0, top_p, ..Sampling::default() };
        for (top_p, expected) in [
            (0.01, &[1][..]),
            (0.49, &[1]),
            (0.51, &[1, 3]),
            (0.69, &[1, 3]),
            (0.71, &[1, 3, 4]),
            (0.96, &[1, 3, 4, 0, 2]),
            (1.0, &[1, 3, 4, 0, 2]),
        ] {
            assert_eq!(ids(with(top_p)), expected, "{top_p}");
        }
        let candidates = with(0.71).candidates(&LOGITS);
        for ((_, found), expected) in candidates.iter().zip([0.5, 0.2, 0.15]) {
            assert!((found - expected / 0.85).abs() < 1e-6, "{candidates:?}");
        }
    }

    #[test]
    fn temperature_comes_before_the_cuts_and_greedy_takes_the_first_of_equals() {
        // At temperature 1/2 the probabilities are as their squares: 0.25, 0.04, 0.0225, 0.01, 0.0025.
        let cold = Sampling { temperature: 0.5, top_p: 0.8, ..Sampling::default() };
        assert_eq!(ids(cold), [1, 3]);
        assert_eq!(ids(Sampling { top_k: Some(2), top_p: 1.0, ..cold }), [1, 3]);
        assert_eq!(ids(Sampling::default()), [1]);
        assert_eq!(Sampler::new(Sampling::default()).choose(&[0.0, 3.0, 3.0]), Some(1));
    }

    #[test]
    fn draws_follow_the_probabilities_and_the_seed() {
        let sampling = Sampling { temperature: 1.0, top_p: 0.9, seed: 3, ..Sampling::default() };
        let draw = |seed| {
            let mut sampler = Sampler::new(Sampling { seed, ..sampling });
            (0..20_000).map(|_| sampler.choose(&LOGITS).unwrap()).collect::<Vec<_>>()
        };
        let drawn = draw(3);
        for (id, probability) in sampling.candidates(&LOGITS) {
            let share = drawn.iter().filter(|one| **one == id).count() as f64 / 20_000.0;
            // Four deviations of a share of 20,000 draws are at most 0.0142.
            assert!((share - probability).abs() < 0.0142, "{id}: {share} for {probability}");
        }
        assert!(!drawn.contains(&2), "beyond the nucleus");
        assert_eq!(drawn, draw(3));
        assert_ne!(drawn, draw(4));
    }

    #[test]
    fn what_is_no_number_is_never_chosen() {
        let sampling = Sampling { temperature: 1.0, ..Sampling::default() };
        let mut sampler = Sampler::new(sampling);
        for _ in 0..50 {
            assert_eq!(sampler.choose(&[f32::NAN, f32::NEG_INFINITY, 1.0]), Some(2));
        }
        assert_eq!(sampler.choose(&[f32::NAN, f32::NEG_INFINITY]), None);
        assert_eq!(sampler.choose(&[0.0, f32::INFINITY]), Some(1));
    }

    #[test]
    fn settings_that_mean_nothing_are_named() {
        let refused = |sampling: Sampling, key: &str| {
            assert!(sampling.check().unwrap_err().to_string().contains(key));
        };
        let sound = Sampling::default();
        sound.check().unwrap();
        refused(Sampling { temperature: -1.0, ..sound }, "temperature");
        refused(Sampling { temperature: f64::NAN, ..sound }, "temperature");
        refused(Sampling { top_p: 0.0, ..sound }, "top_p");
        refused(Sampling { top_p: 1.1, ..sound }, "top_p");
        refused(Sampling { top_k: Some(0), ..sound }, "top_k");
    }
}
