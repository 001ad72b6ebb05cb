//! The comparison as it runs: trial by trial, method by method, each record kept as soon as it is there.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::material::Material;
use super::method::{Context, Method};
use super::methods::genept::SentenceCache;
use super::outcome::{Outcome, Record, Reply, file_name, fingerprint};
use super::setting::{Plan, Setting};
use super::summarise::{MethodRecords, summarise};
use super::summary::SettingSummary;
use super::trial::Trial;
use crate::device::Device;
use crate::device::peak_memory;
use crate::{Error, Result};

/// A comparison: what is asked of whom.
pub struct Bench<'a> {
    /// Cells, genes and network.
    pub material: &'a Material,
    /// The settings, in order.
    pub settings: Vec<Setting>,
    /// Folds, seed, shots.
    pub plan: Plan,
    /// The methods, in order.
    pub methods: Vec<Box<dyn Method>>,
    /// Where networks run.
    pub device: Device,
    /// Where records go; those that are there already and up to date are kept.
    pub folder: PathBuf,
}

/// What a comparison gave.
pub struct Findings {
    /// A summary for each variant of each setting.
    pub settings: Vec<SettingSummary>,
    /// Records of the first trial, whose embeddings the report shows.
    pub first: Vec<Record>,
}

impl Bench<'_> {
    /// Fill in what is missing, and sum up.
    ///
    /// # Errors
    /// A setting that cannot be made of this material; what goes wrong in a method, after which the same
    /// call goes on where it stopped.
    pub fn run(&self) -> Result<Findings> {
        let mut trials = Vec::new();
        for setting in &self.settings {
            trials.extend(setting.trials(self.material, &self.plan)?);
        }
        let data = self.material.fingerprint();
        let sentences = SentenceCache::default();
        let progress = Progress::new(trials.len() * self.methods.len());
        let mut records = Vec::with_capacity(trials.len());
        for (number, trial) in trials.iter().enumerate() {
            let mut of_trial = Vec::with_capacity(self.methods.len());
            let question = format!("{data} {} {}", number == 0, trial.fingerprint());
            for method in &self.methods {
                let key = self.key(&question, method.as_ref());
                let path = Record::path(&self.folder, trial, method.about().name);
                progress.begin(trial, method.as_ref());
                let record = match Record::current(&path, &key) {
                    Some(record) => record,
                    None => {
                        let record =
                            self.ask(trial, method.as_ref(), key, number == 0, &sentences)?;
                        record.write(&path)?;
                        record
                    }
                };
                progress.done(&record);
                of_trial.push(record);
            }
            records.push(of_trial);
        }
        progress.finish();
        Ok(Findings {
            settings: self.summaries(&trials, &records)?,
            first: records.into_iter().next().unwrap_or_default(),
        })
    }

    /// Everything that a record depends on.
    fn key(&self, question: &str, method: &dyn Method) -> String {
        let version = env!("CARGO_PKG_VERSION");
        fingerprint(&format!("{version} {question} {}", method.depends_on(self.material)))
    }

    fn ask(
        &self,
        trial: &Trial<'_>,
        method: &dyn Method,
        key: String,
        embeds: bool,
        sentences: &SentenceCache,
    ) -> Result<Record> {
        let about = method.about();
        let name = [trial.setting.name(), &trial.variant, &trial.name, about.name].join(" ");
        let folder = self.folder.join("unfinished").join(file_name(&name));
        let context =
            Context { material: self.material, device: self.device, folder: &folder, sentences };
        peak_memory::reset();
        let reply = method.answer(trial, &context)?;
        let peak = peak_memory::read();
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(Error::io(&folder, "remove"))?;
        }
        let (outcome, cannot_answer) = match reply {
            Reply::Answered(outcome) => (outcome, None),
            Reply::CannotAnswer(reason) => (Outcome::default(), Some(reason)),
        };
        // A type that the source lacks has no number; such cells were left out of the trial.
        let truth = trial.truth.iter().map(|class| class.unwrap_or(usize::MAX)).collect();
        Ok(Record {
            key,
            setting: trial.setting.name().to_owned(),
            variant: trial.variant.clone(),
            trial: trial.name.clone(),
            method: about.name.to_owned(),
            label: about.label.to_owned(),
            role: about.role,
            classes: trial.source.classes.clone(),
            learned: trial.classes.clone(),
            cells: trial.test.clone(),
            truth,
            predicted: outcome.predicted.iter().map(|&class| trial.classes[class]).collect(),
            confidence: outcome.confidence,
            novelty: outcome.novelty,
            unknown: outcome.unknown,
            embedding: outcome.embedding.filter(|_| embeds).map(|cells| {
                cells.values.chunks(cells.n_cols.max(1)).map(<[f32]>::to_vec).collect()
            }),
            fit_seconds: outcome.fit_seconds,
            read_seconds: outcome.read_seconds,
            peak_memory: peak.filter(|_| cannot_answer.is_none()),
            cannot_answer,
        })
    }

    /// Sum up each variant, in the order in which they come.
    fn summaries(
        &self,
        trials: &[Trial<'_>],
        records: &[Vec<Record>],
    ) -> Result<Vec<SettingSummary>> {
        let mut summaries = Vec::new();
        let mut first = 0;
        while first < trials.len() {
            let (setting, variant) = (trials[first].setting, &trials[first].variant);
            let same = |trial: &&Trial<'_>| trial.setting == setting && trial.variant == *variant;
            let count = trials[first..].iter().take_while(same).count();
            let methods: Vec<MethodRecords> = (0..self.methods.len())
                .map(|method| MethodRecords {
                    records: records[first..first + count]
                        .iter()
                        .map(|of_trial| of_trial[method].clone())
                        .collect(),
                })
                .collect();
            let (name, question) = (setting.name(), setting.question());
            summaries.push(summarise(name, variant, question, &methods, self.plan.seed)?);
            first += count;
        }
        Ok(summaries)
    }
}

/// One line on the terminal: what runs, how far it is, how long it may take.
struct Progress {
    bar: ProgressBar,
    began: Instant,
}

impl Progress {
    fn new(jobs: usize) -> Self {
        let bar = ProgressBar::new(jobs as u64);
        bar.set_style(
            ProgressStyle::with_template("{bar:24} {pos}/{len} · {elapsed} · {eta} left · {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { bar, began: Instant::now() }
    }

    fn begin(&self, trial: &Trial<'_>, method: &dyn Method) {
        let variant = match trial.variant.as_str() {
            "" => String::new(),
            variant => format!(" · {variant}"),
        };
        let (setting, trial) = (trial.setting.name(), &trial.name);
        self.bar.set_message(format!("{setting}{variant} · {trial} · {}", method.about().label));
    }

    fn done(&self, record: &Record) {
        self.bar.inc(1);
        if self.bar.is_hidden() {
            let minutes = self.began.elapsed().as_secs_f64() / 60.0;
            let said = match &record.cannot_answer {
                Some(_) => "cannot answer".to_owned(),
                None => {
                    let right = record.truth.iter().zip(&record.predicted);
                    let right = right.filter(|(truth, said)| truth == said).count();
                    format!("{:.3} right", right as f64 / record.truth.len().max(1) as f64)
                }
            };
            eprintln!(
                "{}/{} after {minutes:.1} min: {} {} {} {}: {said}",
                self.bar.position(),
                self.bar.length().unwrap_or(0),
                record.setting,
                record.variant,
                record.trial,
                record.method,
            );
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
