//! The training loop: batches in, gradients, one optimiser step, a look at the validation cells, a
//! checkpoint. Everything it draws follows from the seed and the step.

use std::path::Path;
use std::time::Instant;

use burn::module::Module;
use burn::optim::GradientsAccumulator;
use burn::tensor::backend::AutodiffBackend;
use screader_models::adamw::{AdamWConfig, global_norm};
use screader_models::annotator::{Annotator, MicroStep, for_reading};
use screader_models::trainable::{NamedParameter, Trainable, on_own_tape, read_parameters};

use super::batches::{Batches, MicroBatch, Sight, micro_batches, pack_in_sight};
use super::checkpoint::{Card, Checkpoint, Progress};
use super::evaluate::{Evaluation, evaluate};
use super::journal::Journal;
use super::loss_scale::{LossScale, Verdict};
use super::schedule::{learning_rate, total_steps};
use super::task::Task;
use crate::config::{ClassWeights, Config};
use crate::{Error, Result};

/// A training run: what is learned from what, and where it is kept.
pub struct Run<'a, A: AutodiffBackend> {
    /// Settings.
    pub config: &'a Config,
    /// Labelled, ranked and split cells.
    pub task: &'a Task,
    /// The frozen network on each device that takes a share of the micro-batches; what trains, and the
    /// optimiser, are on the first.
    pub annotators: &'a [Annotator<A::InnerBackend>],
    /// What the checkpoints say of themselves.
    pub card: Card,
    /// Folder of the run: `best/`, `last/`, `metrics.jsonl`.
    pub folder: &'a Path,
    /// Whether to say nothing on the terminal, where somebody else tells how far it is.
    pub quiet: bool,
    /// Micro-batches that may run side by side on a device: [`super::room::make_room`].
    pub side_by_side: usize,
}

impl<A: AutodiffBackend> Run<'_, A> {
    /// Train `trainable` from the start, or from `resume`; returns the best checkpoint.
    ///
    /// # Errors
    /// [`Error::NotFinite`] where one step after the other has a loss or a gradient that is not a number; the
    /// last good checkpoint stays.
    pub fn fit(
        &self,
        trainable: Trainable<A>,
        device: &A::Device,
        resume: Option<Checkpoint>,
    ) -> Result<Checkpoint> {
        let (train, split) = (&self.config.train, &self.task.split);
        let total = total_steps(train, split.train.len());
        let mut optimizer = self.optimizer().init::<A::InnerBackend>();
        let (mut trainable, mut progress) = match resume {
            None => {
                (trainable, Progress::start(total, LossScale::of(self.annotators[0].precision())))
            }
            Some(checkpoint) => {
                let trainable = checkpoint.trainable(device)?;
                let moments = checkpoint.optimizer.unwrap_or_default();
                optimizer.restore(checkpoint.progress.taken(), moments, device);
                (trainable, checkpoint.progress)
            }
        };
        let mut batches = Batches::new(split.train.clone(), train.batch_size, train.seed);
        let mut journal = Journal::open(self.folder, progress.step, total, self.quiet)?;
        let best = self.folder.join("best");

        while progress.step < total && !progress.finished {
            let step = progress.step + 1;
            let started = Instant::now();
            let batch = batches.of_step(step);
            let (gradients, loss) = self.gradients(&trainable, &batch, step, &progress.scale);
            let norm = global_norm(&trainable, &gradients);
            progress.step = step;
            match progress.scale.judge(loss, norm) {
                Verdict::Take => {
                    let rate = learning_rate(train, step, total);
                    trainable = optimizer.step(rate, trainable, gradients, norm);
                    journal.step(step, loss, rate, norm, batch.len(), started.elapsed())?;
                }
                Verdict::Skip(what) => journal.skipped(step, what, &progress.scale)?,
                Verdict::Stop(what) => return Err(self.not_finite(step, what, &batch)),
            }

            let last_step = step == total;
            if last_step || step.is_multiple_of(train.evaluate_every) {
                if let Some(evaluation) = self.validate(&trainable)? {
                    let improved = progress.look(&evaluation, train.patience);
                    journal.look(step, &evaluation, improved)?;
                    if improved {
                        self.checkpoint(&trainable, None, &progress).save(&best)?;
                    }
                } else if last_step {
                    self.checkpoint(&trainable, None, &progress).save(&best)?;
                }
            }
            progress.finished |= last_step;
            if progress.finished || step.is_multiple_of(train.checkpoint_every) {
                let state = Some(optimizer.state());
                self.checkpoint(&trainable, state, &progress).save(&self.folder.join("last"))?;
            }
        }
        journal.close(&progress);
        Checkpoint::load(&best)
    }

    fn optimizer(&self) -> AdamWConfig {
        let train = &self.config.train;
        AdamWConfig {
            beta_1: train.beta_1,
            beta_2: train.beta_2,
            weight_decay: train.weight_decay,
            clip_norm: train.clip_norm,
        }
    }

    fn gradients(
        &self,
        trainable: &Trainable<A>,
        batch: &[usize],
        step: usize,
        scale: &LossScale,
    ) -> (burn::optim::GradientsParams, f64) {
        let train = &self.config.train;
        let weight = |cell: usize| match train.class_weights {
            ClassWeights::None => 1.0,
            ClassWeights::Balanced => self.task.balanced_weights[self.task.labels[cell]],
        };
        let whole: f32 = batch.iter().map(|&cell| weight(cell)).sum();
        let sight = Sight {
            gene_dropout: train.gene_dropout,
            pool_share: train.pool_share,
            embedding_noise: train.embedding_noise,
            seed: train.seed,
            step,
        };
        let micro_step = |annotator: &Annotator<_>,
                          trainable: &Trainable<A>,
                          batch: &MicroBatch| {
            let MicroBatch { cells, read } = batch;
            let packed = pack_in_sight(cells, *read, &self.task.readable, sight);
            let targets: Vec<usize> = cells.iter().map(|&cell| self.task.labels[cell]).collect();
            let weights: Vec<f32> = cells.iter().map(|&cell| weight(cell) / whole).collect();
            annotator.gradients(trainable, &packed, &targets, &weights, scale.factor)
        };
        // Batches come in a random order, so the first cells are any.
        let read = (train.backbone_share * batch.len() as f64).ceil() as usize;
        let micro_batches =
            micro_batches(batch, read, &self.task.readable.ranked, train.micro_batch_size);
        // Summed in the order of the micro-batches, wherever and however many ran side by side.
        let mut gradients = GradientsAccumulator::new();
        let mut loss = 0.0;
        let device = self.annotators[0].device();
        for micro in self.side_by_side(trainable, &micro_batches, micro_step) {
            gradients.accumulate(trainable, micro.gradients.to_device(&device, trainable));
            loss += micro.loss;
        }
        (gradients.grads(), loss)
    }

    /// Take the micro-steps of one batch, on every device some: on the processor several side by side, since
    /// much of each runs on one core; on a GPU one after the other, since each fills its memory. The answers
    /// come in the order of `batches`.
    ///
    /// The threads are no workers of rayon's pool. A worker that waits for its share of a product takes up other
    /// work meanwhile; were that another micro-step, it would wait for autodiff's lock, which it holds itself.
    fn side_by_side(
        &self,
        trainable: &Trainable<A>,
        batches: &[MicroBatch],
        micro_step: impl Fn(&Annotator<A::InnerBackend>, &Trainable<A>, &MicroBatch) -> MicroStep + Sync,
    ) -> Vec<MicroStep> {
        let threads = (self.side_by_side * self.annotators.len()).min(batches.len());
        if threads < 2 {
            let first = &self.annotators[0];
            return batches.iter().map(|batch| micro_step(first, trainable, batch)).collect();
        }
        let share = |thread: usize| {
            let annotator = &self.annotators[thread % self.annotators.len()];
            // A tape of its own: tapes that share a parameter share a lock.
            let own = on_own_tape(&trainable.clone().fork(&annotator.device()));
            let micro_step = &micro_step;
            move || -> Vec<MicroStep> {
                let own_batches = batches.iter().skip(thread).step_by(threads);
                own_batches.map(|batch| micro_step(annotator, &own, batch)).collect()
            }
        };
        let shares: Vec<Vec<MicroStep>> = std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|thread| scope.spawn(share(thread))).collect();
            let finished = running.into_iter().map(|thread| thread.join());
            finished
                .map(|ended| ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        let mut shares: Vec<_> = shares.into_iter().map(Vec::into_iter).collect();
        (0..batches.len()).filter_map(|batch| shares[batch % threads].next()).collect()
    }

    fn not_finite(&self, step: usize, what: &'static str, batch: &[usize]) -> Error {
        let names = batch.iter().take(5).map(|&cell| self.task.names[cell].as_str());
        let mut cells = names.collect::<Vec<_>>().join(", ");
        if batch.len() > 5 {
            cells.push_str(&format!(" and {} more", batch.len() - 5));
        }
        Error::NotFinite { step, what, cells }
    }

    fn validate(&self, trainable: &Trainable<A>) -> Result<Option<Evaluation>> {
        let cells = &self.task.split.validation;
        if cells.is_empty() {
            return Ok(None);
        }
        let (reader, size) = (for_reading(trainable), self.config.train.micro_batch_size);
        evaluate(&self.annotators[0], &reader, self.task, cells, size, 1.0).map(Some)
    }

    fn checkpoint(
        &self,
        trainable: &Trainable<A>,
        optimizer: Option<Vec<NamedParameter>>,
        progress: &Progress,
    ) -> Checkpoint {
        Checkpoint {
            config: self.config.clone(),
            card: self.card.clone(),
            classes: self.task.classes.clone(),
            statistics: self.task.statistics.clone(),
            parameters: read_parameters(trainable),
            optimizer,
            progress: progress.clone(),
        }
    }
}

impl Progress {
    fn start(total_steps: usize, scale: LossScale) -> Self {
        Self {
            step: 0,
            total_steps,
            best_macro_f1: None,
            best_loss: None,
            best_step: 0,
            looks_without_gain: 0,
            finished: false,
            scale,
        }
    }

    /// Steps that the optimiser took.
    fn taken(&self) -> usize {
        self.step - self.scale.skipped
    }

    /// Take note of an evaluation: a higher macro-F1 is better, at equal macro-F1 a lower loss.
    fn look(&mut self, evaluation: &Evaluation, patience: usize) -> bool {
        let (f1, loss) = (evaluation.macro_f1, evaluation.loss);
        let improved = match (self.best_macro_f1, self.best_loss) {
            (Some(best), Some(best_loss)) => f1 > best || (f1 == best && loss < best_loss),
            _ => true,
        };
        if improved {
            self.best_macro_f1 = Some(f1);
            self.best_loss = Some(loss);
            self.best_step = self.step;
            self.looks_without_gain = 0;
        } else {
            self.looks_without_gain += 1;
            self.finished |= patience > 0 && self.looks_without_gain >= patience;
        }
        improved
    }
}
