//! The guess that knows only how common each type is.

use std::time::Instant;

use crate::Result;
use crate::baselines;
use crate::bench::material::Material;
use crate::bench::method::{About, Context, Method};
use crate::bench::outcome::{Outcome, Reply};
use crate::bench::summary::Role;
use crate::bench::trial::Trial;

/// Always the commonest type.
pub struct Majority;

impl Method for Majority {
    fn about(&self) -> About {
        About { name: "majority", label: "majority guess", role: Role::Baseline }
    }

    fn depends_on(&self, _: &Material) -> String {
        String::new()
    }

    fn answer(&self, trial: &Trial<'_>, _: &Context<'_>) -> Result<Reply> {
        let began = Instant::now();
        let known = trial.labels(&trial.learnable());
        let fit_seconds = began.elapsed().as_secs_f64();
        let began = Instant::now();
        let said = baselines::majority(&known, trial.classes.len(), trial.test.len())?;
        Ok(Reply::Answered(Outcome {
            read_seconds: began.elapsed().as_secs_f64(),
            fit_seconds,
            ..Outcome::of(said)
        }))
    }
}
