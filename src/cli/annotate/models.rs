//! Which language model is asked, through what, and what for.

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::annotate::{Asked, ClusterAnnotations, Questions, ask};
use crate::device::Device;
use crate::embed::OPENAI_BASE_URL;
use crate::llm::web::{NcbiSearch, SearchEngines, Searching, SearxngSearch};
use crate::llm::{
    ChatModel, ChatPrice, Cost, LocalModel, OLLAMA_BASE_URL, Ollama, OllamaSettings, OpenAiChat,
    Paid, Purse, Recording, estimate,
};
use crate::service::{ApiKey, Patience, is_this_machine};
use crate::{Error, Result};

/// Address of NCBI's search.
const NCBI: &str = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils";

#[derive(Debug, Args)]
#[command(next_help_heading = "Language models")]
pub(super) struct ModelArgs {
    /// The model, as the provider names it, or the folder of a local one; several vote.
    #[arg(long, value_name = "NAME")]
    pub(super) model: Vec<String>,
    /// Address of the service [default: OpenAI's, or Ollama's on this machine].
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Environment variable that holds the key.
    #[arg(long, value_name = "VARIABLE", default_value = "OPENAI_API_KEY")]
    key_variable: String,
    /// How to ask: hou_ji, structured (JSON with confidence and evidence), deepseq, deepseq_named, gpt_oss_note, or a
    /// template file.
    #[arg(long, value_name = "NAME", default_value = "hou_ji")]
    pub(super) prompt: String,
    /// Ask so many times and take the vote; its agreement is the confidence.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(super) repeats: u16,
    /// Randomness of the answers [default: 0, or 0.7 with --repeats].
    #[arg(long, value_name = "T")]
    pub(super) temperature: Option<f64>,
    /// Seed of the first answer.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seed: u64,
    /// Questions at once.
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(super) concurrency: usize,
    /// Let the model search the web: OpenAI's own search, or --search-url and NCBI.
    #[arg(long)]
    pub(super) web: bool,
    /// A SearXNG server to search with.
    #[arg(long, value_name = "URL", requires = "web")]
    search_url: Option<String>,
    /// Write every question and answer to this file.
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    record: Option<PathBuf>,
    /// Answer from a recording; nothing is asked.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Stop before more US dollars than this are spent.
    #[arg(long, value_name = "DOLLARS")]
    max_cost: Option<f64>,
    /// Show the questions, where they would go, and what they would cost; ask nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// Whose interface is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Openai,
    Ollama,
    /// None: the model runs in this process.
    Local,
}

/// A service and how it is asked.
pub(super) struct Models<'a> {
    pub(super) args: &'a ModelArgs,
    pub(super) service: Service,
    /// Where a local model runs.
    pub(super) device: Device,
}

impl Models<'_> {
    /// The names of the models, as the record and the questions have them.
    pub(super) fn names(&self) -> Vec<String> {
        // Where a folder lies on this machine is nobody else's business.
        let name = |model: &String| match (self.service, Path::new(model).file_name()) {
            (Service::Local, Some(name)) => name.to_string_lossy().into_owned(),
            _ => model.clone(),
        };
        self.args.model.iter().map(name).collect()
    }

    /// The address of the service; a local model has none.
    fn base_url(&self) -> Option<&str> {
        let usual = match self.service {
            Service::Ollama => OLLAMA_BASE_URL,
            Service::Openai => OPENAI_BASE_URL,
            Service::Local => return None,
        };
        Some(self.args.base_url.as_deref().unwrap_or(usual))
    }

    fn place(&self) -> String {
        self.base_url().map_or_else(|| format!("{}, on this machine", self.device), str::to_owned)
    }

    fn price(&self, model: &str) -> Option<ChatPrice> {
        ChatPrice::of_model(model, self.base_url())
    }

    /// What all questions cost at most.
    fn estimate(&self, questions: &Questions) -> Cost {
        let requests = questions.requests();
        let of_model = |model: &String| {
            estimate(requests.iter().filter(|one| one.model == *model), self.price(model))
        };
        let each: Vec<Cost> = questions.models.iter().map(of_model).collect();
        let dollars: Option<f64> = each.iter().map(|cost| cost.dollars).sum();
        Cost { usage: each.iter().map(|cost| cost.usage).sum(), dollars }
    }

    /// Show the questions, where they would go, and what they would cost.
    pub(super) fn show(&self, questions: &Questions) -> Result<()> {
        let requests = questions.requests();
        let first = requests.iter().filter(|one| Some(&one.model) == questions.models.first());
        for request in first.filter(|one| one.seed == Some(questions.seed)) {
            for message in &request.messages {
                println!("[{:?}]\n{}\n", message.role, message.content);
            }
        }
        eprintln!("{} questions, at most {}", requests.len(), self.estimate(questions));
        eprintln!("would go to {}; nothing was asked", self.place());
        Ok(())
    }

    /// Ask everything, and note what came of it.
    ///
    /// # Errors
    /// Those of the provider, of the recording, and money that would not do.
    pub(super) fn ask(&self, questions: &Questions, record: &mut ClusterAnnotations) -> Result<()> {
        let purse = Purse::new(self.args.max_cost);
        let recording = match (&self.args.record, &self.args.replay) {
            (Some(path), _) => Some(Recording::cache(path)?),
            (None, Some(path)) => Some(Recording::replay(path)?),
            (None, None) => None,
        };
        let engines = self.engines()?;
        let provider = self.model()?;
        let paid = self.paid(provider, &purse);
        let searching: Box<dyn ChatModel + '_> = match self.args.web && !self.searches_itself() {
            true => Box::new(Searching::new(paid, &engines, false)?),
            false => Box::new(paid),
        };
        let model: Box<dyn ChatModel + '_> = match &recording {
            Some(recording) => Box::new(recording.of(searching)),
            None => searching,
        };
        if self.args.replay.is_none() {
            eprintln!("asking    {}, at most {}", self.place(), self.estimate(questions));
        }
        let progress = bar("questions");
        let found = ask(&model, questions, &progress);
        progress.finish_and_clear();
        let Asked { clusters, usage, notes } = found?;
        let elsewhere = |url: &String| !is_this_machine(url);
        if self.args.replay.is_none() {
            record.left_for = model.destinations().into_iter().filter(elsewhere).collect();
        }
        record.models.clone_from(&questions.models);
        record.clusters = clusters;
        record.usage = usage;
        record.dollars = purse.spent().dollars;
        record.notes = notes;
        Ok(())
    }

    fn paid<'a>(
        &self,
        provider: Box<dyn ChatModel>,
        purse: &'a Purse,
    ) -> Paid<'a, Box<dyn ChatModel>> {
        // Several models share a provider and a purse; the dearest price bounds them all.
        let prices: Option<Vec<ChatPrice>> =
            self.args.model.iter().map(|model| self.price(model)).collect();
        let dearest = prices.and_then(|prices| {
            prices
                .into_iter()
                .max_by(|a, b| (a.prompt + a.completion).total_cmp(&(b.prompt + b.completion)))
        });
        Paid::new(provider, purse, dearest)
    }

    fn model(&self) -> Result<Box<dyn ChatModel>> {
        let key = ApiKey::from_environment(&self.args.key_variable);
        Ok(match (self.service, self.base_url()) {
            (Service::Ollama, Some(url)) => {
                // A key of another service is none of Ollama's business.
                let key = self
                    .args
                    .base_url
                    .as_ref()
                    .and(key)
                    .filter(|_| self.args.key_variable != "OPENAI_API_KEY");
                Box::new(Ollama::new(url, key, OllamaSettings::default(), Patience::default())?)
            }
            (Service::Openai, Some(url)) => {
                let replayed = self.args.replay.is_some();
                if key.is_none() && url == OPENAI_BASE_URL && !replayed {
                    return Err(Error::input(
                        format!("environment variable {}", self.args.key_variable),
                        "a key of OpenAI",
                        "none",
                        "export it, or name another service with --base-url",
                    ));
                }
                Box::new(OpenAiChat::new(url, key, Patience::default())?)
            }
            (Service::Local, _) | (_, None) => Box::new(self.local()?),
        })
    }

    fn local(&self) -> Result<LocalModel> {
        let [folder] = self.args.model.as_slice() else {
            let found = self.args.model.len();
            let remedy = "ask the others in runs of their own";
            return Err(Error::input("--model", "one folder of a local model", found, remedy));
        };
        let progress = bar("layers");
        let model = LocalModel::open_with(Path::new(folder), self.device, &|done, total| {
            progress.set_length(total as u64);
            progress.set_position(done as u64);
        });
        progress.finish_and_clear();
        model
    }

    fn searches_itself(&self) -> bool {
        self.service == Service::Openai && self.base_url() == Some(OPENAI_BASE_URL)
    }

    fn engines(&self) -> Result<SearchEngines> {
        if !self.args.web || self.searches_itself() {
            return Ok(SearchEngines::default());
        }
        let patience = Patience::default();
        let web = self.args.search_url.as_deref();
        Ok(SearchEngines {
            web: web.map(|url| SearxngSearch::new(url, patience)).transpose()?,
            ncbi: Some(NcbiSearch::new(NCBI, patience)?),
        })
    }
}

fn bar(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len}, {eta} left");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_prefix(what).with_style(style)
}
