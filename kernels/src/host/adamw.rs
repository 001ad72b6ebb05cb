//! The update rule of AdamW over plain slices.

use super::vector::vectorised;

/// One step of AdamW (Loshchilov and Hutter 2019), with PyTorch's meaning of its numbers.
#[derive(Debug, Clone, Copy)]
pub struct AdamW {
    /// Learning rate.
    pub learning_rate: f32,
    /// Decays of the first and the second moment.
    pub betas: [f32; 2],
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Number of this step, from 1.
    pub time: i32,
}

impl AdamW {
    /// Update `parameters` and both `moments` with `gradients`, all of one length.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn step(&self, parameters: &mut [f32], moments: [&mut [f32]; 2], gradients: &[f32]) {
        let [first, second] = moments;
        let lengths = [parameters.len(), first.len(), second.len()];
        assert_eq!(lengths, [gradients.len(); 3]);
        // Both corrections of the start are put into the two scales.
        let [beta_1, beta_2] = self.betas;
        let root = (1.0 - beta_2.powi(self.time)).sqrt();
        let rate = self.learning_rate / (1.0 - beta_1.powi(self.time)) * root;
        let kept = 1.0 - self.learning_rate * self.weight_decay;
        update(
            parameters,
            first,
            second,
            gradients,
            beta_1,
            beta_2,
            rate,
            self.epsilon * root,
            kept,
        );
    }
}

vectorised! {
    fn update(
        parameters: &mut [f32],
        first: &mut [f32],
        second: &mut [f32],
        gradients: &[f32],
        beta_1: f32,
        beta_2: f32,
        rate: f32,
        epsilon: f32,
        kept: f32,
    ) {
        let moments = first.iter_mut().zip(second);
        for ((parameter, (first, second)), g) in parameters.iter_mut().zip(moments).zip(gradients) {
            *first = beta_1 * *first + (1.0 - beta_1) * g;
            *second = beta_2 * *second + (1.0 - beta_2) * g * g;
            *parameter = kept * *parameter - rate * *first / (second.sqrt() + epsilon);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_steps_by_the_book() {
        let rule = AdamW {
            learning_rate: 0.1,
            betas: [0.9, 0.99],
            epsilon: 1e-8,
            weight_decay: 0.5,
            time: 0,
        };
        let (mut parameters, mut m, mut v) = (vec![1.0f32, -2.0], vec![0.0f32; 2], vec![0.0f32; 2]);
        let mut wanted = [(1.0f64, 0.0f64, 0.0f64), (-2.0, 0.0, 0.0)];
        for time in 1..=3 {
            let gradients = [0.5 * time as f32, -3.0];
            AdamW { time, ..rule }.step(&mut parameters, [&mut m, &mut v], &gradients);
            for ((parameter, m, v), g) in wanted.iter_mut().zip(gradients.map(f64::from)) {
                (*m, *v) = (0.9 * *m + 0.1 * g, 0.99 * *v + 0.01 * g * g);
                let (m, v) = (*m / (1.0 - 0.9f64.powi(time)), *v / (1.0 - 0.99f64.powi(time)));
                *parameter -= 0.1 * 0.5 * *parameter + 0.1 * m / (v.sqrt() + 1e-8);
            }
        }
        for (found, wanted) in parameters.iter().zip(wanted) {
            assert!((f64::from(*found) - wanted.0).abs() < 1e-6, "{found} is not {}", wanted.0);
        }
    }
}
