//! Axes: where a value lies, and at which round numbers a mark stands.

/// A range of values laid along a range of pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    /// Least and greatest value.
    pub(super) values: [f64; 2],
    /// Where they lie.
    pub(super) pixels: [f64; 2],
}

impl Axis {
    /// Span scores from 0 to 1 with a little room around, never beyond 0 and 1.
    pub(super) fn of_scores(scores: impl IntoIterator<Item = f64>, pixels: [f64; 2]) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for score in scores.into_iter().filter(|score| score.is_finite()) {
            (low, high) = (low.min(score), high.max(score));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        // Some width even where all are equal, so that 0.91 and 0.92 do not look worlds apart.
        let room = (0.08 * (high - low)).max((0.1 - (high - low)) / 2.0).max(0.005);
        let (low, high) = ((low - room).max(0.0), (high + room).min(1.0));
        Self { values: [low, high.max(low + 0.01)], pixels }
    }

    /// Where a value lies.
    pub(super) fn at(&self, value: f64) -> f64 {
        let [low, high] = self.values;
        let [from, to] = self.pixels;
        from + (value - low) / (high - low) * (to - from)
    }

    /// Round numbers in the range, about so many, with the decimals they need.
    pub(super) fn ticks(&self, about: usize) -> Vec<(f64, String)> {
        let [low, high] = self.values;
        let rough = (high - low) / about.max(1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0].map(|one| one * power).into_iter().find(|&one| one >= rough);
        let step = step.unwrap_or(10.0 * power);
        let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
        let (first, last) =
            ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
        (first..=last)
            .map(|tick| tick as f64 * step)
            .map(|value| (value, format!("{value:.decimals$}")))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stand_at_round_numbers_within_the_range() {
        let axis = Axis { values: [0.0, 1.0], pixels: [0.0, 100.0] };
        let words: Vec<String> = axis.ticks(5).into_iter().map(|tick| tick.1).collect();
        assert_eq!(words, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        let axis = Axis::of_scores([0.912, 0.915, f64::NAN], [0.0, 100.0]);
        assert!(axis.values[0] > 0.8 && axis.values[1] <= 1.0, "{axis:?}");
        assert!(axis.ticks(4).iter().all(|(value, _)| (0.0..=100.0).contains(&axis.at(*value))));
    }
}
