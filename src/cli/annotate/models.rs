//! Which language model is asked, through what, and what for.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use crate::annotate::{Asked, ClusterAnnotations, ClusterMarkers, Prompt, Questions, ask};
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

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Language models")]
pub(in crate::cli) struct ModelArgs {
    /// The model, as the provider names it, or the folder of a local one; several vote.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) model: Vec<String>,
    /// Address of the service [default: OpenAI's, or Ollama's on this machine].
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Environment variable that holds the key.
    #[arg(long, value_name = "VARIABLE", default_value = "OPENAI_API_KEY")]
    key_variable: String,
    /// Ask so many times and take the vote; its agreement is the confidence.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(in crate::cli) repeats: u16,
    /// Randomness of the answers [default: 0, or 0.7 with --repeats].
    #[arg(long, value_name = "T")]
    pub(in crate::cli) temperature: Option<f64>,
    /// Seed of the first answer.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(in crate::cli) seed: u64,
    /// Tokens of an answer at most, those that it reasons in among them [default: as the service has it].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) max_tokens: Option<u32>,
    /// Questions at once.
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(in crate::cli) concurrency: usize,
    /// Let the model search the web: OpenAI's own search, or --search-url and NCBI.
    #[arg(long)]
    pub(in crate::cli) web: bool,
    /// A SearXNG server to search with.
    #[arg(long, value_name = "URL", requires = "web")]
    search_url: Option<String>,
    /// Write every question and answer to this file; what it answers already is not asked again.
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    record: Option<PathBuf>,
    /// Answer from a recording; nothing is asked.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// US dollars for a million tokens asked and a million answered, where it is not OpenAI's or has changed.
    #[arg(long, value_name = "ASKED,ANSWERED")]
    price: Option<ChatPrice>,
    /// Stop before more US dollars than this are spent.
    #[arg(long, value_name = "DOLLARS")]
    pub(in crate::cli) max_cost: Option<f64>,
}

impl ModelArgs {
    /// Say what is asked of `models`.
    pub(in crate::cli) fn questions(
        &self,
        clusters: Vec<ClusterMarkers>,
        prompt: Prompt,
        tissue: &str,
        n_markers: usize,
        models: Vec<String>,
    ) -> Questions {
        let repeats = usize::from(self.repeats);
        // The same question at no temperature has the same answer.
        let usual = if repeats > 1 { 0.7 } else { 0.0 };
        Questions {
            clusters,
            prompt,
            tissue: tissue.to_owned(),
            n_markers,
            models,
            repeats,
            temperature: self.temperature.unwrap_or(usual),
            seed: self.seed,
            max_tokens: self.max_tokens,
            web: self.web,
            concurrency: self.concurrency,
        }
    }
}

/// Whose interface is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Service {
    /// OpenAI's, spoken by many services and local servers too.
    Openai,
    /// Ollama's, on this machine unless --base-url says otherwise.
    Ollama,
    /// None: a model in a folder, run by screader itself, without a network.
    Local,
}

/// A service and how it is asked.
pub(in crate::cli) struct Models<'a> {
    pub(in crate::cli) args: &'a ModelArgs,
    pub(in crate::cli) service: Service,
    /// Where a local model runs.
    pub(in crate::cli) device: Device,
}

/// A service that is ready to be asked.
pub(in crate::cli) struct Opened {
    provider: Box<dyn ChatModel>,
    engines: SearchEngines,
    recording: Option<Recording>,
}

impl Models<'_> {
    /// The names of the models, as the record and the questions have them.
    pub(in crate::cli) fn names(&self) -> Vec<String> {
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
        self.args.price.or_else(|| ChatPrice::of_model(model, self.base_url()))
    }

    /// What all questions cost at most, where no cluster is left out of an answer and asked about again.
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
    pub(in crate::cli) fn show(&self, questions: &Questions) -> Result<()> {
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

    /// Make the service ready: load a local model, find the key, open the recording.
    ///
    /// # Errors
    /// Those of the provider and of the recording.
    pub(in crate::cli) fn open(&self) -> Result<Opened> {
        let recording = match (&self.args.record, &self.args.replay) {
            (Some(path), _) => Some(Recording::cache(path)?),
            (None, Some(path)) => Some(Recording::replay(path)?),
            (None, None) => None,
        };
        Ok(Opened { provider: self.model()?, engines: self.engines()?, recording })
    }

    /// Ask everything, paid for from `purse`, and note what came of it.
    ///
    /// # Errors
    /// Those of the provider, of the recording, and money that would not do.
    pub(in crate::cli) fn ask(
        &self,
        opened: &Opened,
        purse: &Purse,
        questions: &Questions,
        record: &mut ClusterAnnotations,
    ) -> Result<()> {
        let before = purse.spent().dollars.unwrap_or(0.0);
        let paid = self.paid(&opened.provider, purse);
        let searching: Box<dyn ChatModel + '_> = match questions.web && !self.searches_itself() {
            true => Box::new(Searching::new(paid, &opened.engines, false)?),
            false => Box::new(paid),
        };
        let model: Box<dyn ChatModel + '_> = match &opened.recording {
            Some(recording) => Box::new(recording.of(searching)),
            None => searching,
        };
        if self.args.replay.is_none() {
            let estimate = self.estimate(questions);
            eprintln!("asking    {}, at most {estimate} if all is answered at once", self.place());
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
        record.dollars = purse.spent().dollars.map(|spent| spent - before);
        record.notes = notes;
        Ok(())
    }

    fn paid<'a, M: ChatModel>(&self, provider: M, purse: &'a Purse) -> Paid<'a, M> {
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

/// Say what left this machine, and for where.
pub(in crate::cli) fn report_destinations(mut places: Vec<String>) {
    places.sort();
    places.dedup();
    match places.as_slice() {
        [] => eprintln!("nothing left this machine"),
        places => {
            eprintln!("names of genes and clusters and the tissue went to {}", places.join(", "));
        }
    }
}

fn bar(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len}, {eta} left");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_prefix(what).with_style(style)
}
