//! The learning rate of each step.

use crate::config::{Schedule, TrainConfig};

/// Number of optimiser steps that `config` asks for over `cells` training cells.
pub fn total_steps(config: &TrainConfig, cells: usize) -> usize {
    match config.steps {
        0 => (cells * config.epochs).div_ceil(config.batch_size).max(1),
        steps => steps,
    }
}

/// Steps of warm-up: a share of `total` below 1, else a number of steps.
pub fn warmup_steps(config: &TrainConfig, total: usize) -> usize {
    match config.warmup {
        share if share < 1.0 => (share * total as f64).round() as usize,
        steps => steps as usize,
    }
}

/// Learning rate of `step`, counted from 1: linear from 0 to the peak over the warm-up, then constant or
/// half a cosine that reaches 0 just after the last step.
pub fn learning_rate(config: &TrainConfig, step: usize, total: usize) -> f64 {
    let warmup = warmup_steps(config, total);
    let peak = config.learning_rate;
    if step <= warmup {
        return peak * step as f64 / warmup as f64;
    }
    match config.schedule {
        Schedule::Constant => peak,
        Schedule::Cosine => {
            let done = (step - warmup - 1) as f64 / (total.saturating_sub(warmup)).max(1) as f64;
            peak * 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Preset};

    #[test]
    fn the_rate_rises_to_its_peak_and_falls_to_nothing() {
        let config = Config::default().train;
        let rate = |step| learning_rate(&config, step, 1500);
        assert_eq!(rate(75), config.learning_rate / 2.0);
        assert_eq!(rate(150), config.learning_rate);
        assert_eq!(rate(151), config.learning_rate);
        assert!((rate(826) - config.learning_rate / 2.0).abs() < 1e-9);
        assert!(rate(1500) < config.learning_rate * 1e-5);
    }

    #[test]
    fn the_paper_on_700_cells_hardly_leaves_its_warm_up() {
        let config = Config::load(Some(Preset::Paper), None, &[]).unwrap().train;
        let total = total_steps(&config, 576);
        assert_eq!((total, warmup_steps(&config, total)), (90, 1000));
        assert!(learning_rate(&config, total, total) < 0.1 * config.learning_rate);
    }
}
