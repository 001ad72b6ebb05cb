//! What becomes of a step whose numbers are not finite, and the scale that keeps small gradients above the
//! least number of half precision (Micikevicius et al., Mixed Precision Training, 2018).

use screader_models::llama::Precision;
use serde::{Deserialize, Serialize};

/// The greatest scale, which a run in f16 begins with.
const GREATEST: f32 = 65_536.0;

/// Steps without a fault after which the scale is doubled again.
const PATIENCE: usize = 2000;

/// The scale of a run, which multiplies gradients on their way into the backbone and divides them on their way
/// out. Bfloat16 and f32 reach as far down as any gradient does, so there it is 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// The scale, a power of two, so that it changes no digit.
    pub factor: f32,
    greatest: f32,
    /// Steps since the scale last changed.
    good: usize,
    /// Steps left out in a row that no smaller scale could have saved.
    faults: usize,
    /// Steps left out in all.
    pub skipped: usize,
}

impl Default for LossScale {
    fn default() -> Self {
        Self { factor: 1.0, greatest: 1.0, good: 0, faults: 0, skipped: 0 }
    }
}

/// What to do with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Take it.
    Take,
    /// Leave it out: this is not finite.
    Skip(&'static str),
    /// End the run: this is not finite, and was not in the step before.
    Stop(&'static str),
}

impl LossScale {
    /// Begin with what a backbone in `precision` needs.
    pub fn of(precision: Precision) -> Self {
        match precision {
            Precision::F16 => Self { factor: GREATEST, greatest: GREATEST, ..Self::default() },
            Precision::Auto | Precision::F32 | Precision::Bf16 => Self::default(),
        }
    }

    /// Judge a step by its loss and the norm of its gradient. A gradient that is too large for the scale halves
    /// it; anything else that is not finite may happen once.
    pub fn judge(&mut self, loss: f64, norm: f64) -> Verdict {
        let what = match (loss.is_finite(), norm.is_finite()) {
            (true, true) => {
                self.faults = 0;
                self.good += 1;
                if self.good >= PATIENCE && self.factor < self.greatest {
                    self.factor *= 2.0;
                    self.good = 0;
                }
                return Verdict::Take;
            }
            (false, _) => "loss",
            (true, false) => "gradient",
        };
        self.good = 0;
        if what == "gradient" && self.factor > 1.0 {
            self.factor /= 2.0;
        } else if self.faults > 0 {
            return Verdict::Stop(what);
        } else {
            self.faults += 1;
        }
        self.skipped += 1;
        Verdict::Skip(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: f64 = f64::NAN;

    #[test]
    fn one_fault_is_left_out_and_a_second_in_a_row_stops_the_run() {
        let mut scale = LossScale::of(Precision::Bf16);
        assert_eq!(scale.judge(1.0, 2.0), Verdict::Take);
        assert_eq!(scale.judge(1.0, f64::INFINITY), Verdict::Skip("gradient"));
        assert_eq!(scale.judge(1.0, 2.0), Verdict::Take);
        assert_eq!(scale.judge(NAN, NAN), Verdict::Skip("loss"));
        assert_eq!(scale.judge(1.0, NAN), Verdict::Stop("gradient"));
        assert_eq!((scale.factor, scale.skipped), (1.0, 2));
    }

    #[test]
    fn half_precision_finds_its_scale_and_a_loss_that_is_no_number_is_not_for_it_to_mend() {
        let mut scale = LossScale::of(Precision::F16);
        for left in (0..16).rev() {
            assert_eq!(scale.judge(1.0, f64::INFINITY), Verdict::Skip("gradient"));
            assert_eq!(scale.factor, (1 << left) as f32);
        }
        assert_eq!(scale.judge(1.0, f64::INFINITY), Verdict::Skip("gradient"));
        assert_eq!(scale.judge(1.0, f64::INFINITY), Verdict::Stop("gradient"));

        let mut scale = LossScale::of(Precision::F16);
        assert_eq!(scale.judge(NAN, 1.0), Verdict::Skip("loss"));
        assert_eq!(scale.judge(NAN, 1.0), Verdict::Stop("loss"));
    }

    #[test]
    fn the_scale_grows_again_after_many_good_steps_and_never_past_its_start() {
        let mut scale = LossScale::of(Precision::F16);
        scale.judge(1.0, f64::INFINITY);
        for _ in 0..PATIENCE {
            assert_eq!(scale.factor, GREATEST / 2.0);
            scale.judge(1.0, 1.0);
        }
        assert_eq!(scale.factor, GREATEST);
        (0..2 * PATIENCE).for_each(|_| assert_eq!(scale.judge(1.0, 1.0), Verdict::Take));
        assert_eq!(scale.factor, GREATEST);
    }
}
