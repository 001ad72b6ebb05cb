//! `screader annotate`: clusters in, named clusters out, without training.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use crate::annotate::{
    Asked, Catalogue, ClusterAnnotation, ClusterAnnotations, ClusterMarkers, ClusteredCells,
    Prompt, Questions, UNKNOWN, ask, match_markers, read_marker_table,
};
use crate::cells::Column;
use crate::embed::OPENAI_BASE_URL;
use crate::genes::Species;
use crate::io::{self, Annotations, ReadOptions};
use crate::llm::web::{NcbiSearch, SearchEngines, Searching, SearxngSearch};
use crate::llm::{
    ChatModel, ChatPrice, Cost, OLLAMA_BASE_URL, Ollama, OllamaSettings, OpenAiChat, Paid, Purse,
    Recording, estimate,
};
use crate::ontology::CellOntology;
use crate::prep::GroupTest;
use crate::service::{ApiKey, Patience, is_this_machine};
use crate::{Error, Result};

/// Markers that are matched with tables: more of them tell more, and none leaves the machine.
const MATCHED_MARKERS: usize = 25;
/// Addresses of NCBI's search.
const NCBI: &str = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils";

/// Name clusters by their markers: by tables of known markers, or by a language model.
///
/// The data are cells with clusters (h5ad, from `screader cluster` or scanpy) or a table of markers (scanpy's
/// rank_genes_groups_df, Seurat's FindAllMarkers, csv). With --provider markers nothing leaves this machine. A
/// language model is shown names of genes and clusters and the tissue, never counts, barcodes or labels.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  screader annotate clustered.h5ad --tissue PBMC --marker-table PanglaoDB_markers.tsv --out named
  screader annotate markers.csv --tissue PBMC --provider ollama --model llama3.1 --out named
  screader annotate clustered.h5ad --tissue PBMC --provider openai --model gpt-4o --dry-run --out named
  screader annotate clustered.h5ad --tissue PBMC --provider openai --model gpt-4o --model gpt-4.1 \\
      --repeats 3 --max-cost 0.50 --record run.jsonl --out named")]
pub(super) struct AnnotateArgs {
    /// Cells with clusters, or a table of markers.
    #[arg(value_name = "FILE")]
    data: PathBuf,
    /// Folder of the results: annotations.json, annotations.csv, and annotated.h5ad where there are cells.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Who names the clusters.
    #[arg(long, value_enum, default_value_t = Provider::Markers)]
    provider: Provider,
    /// Tissue of the cells, as a word: PBMC, pancreas, kidney.
    #[arg(long, value_name = "NAME", default_value = "")]
    tissue: String,
    /// Species of the cells: which rows of a marker table count.
    #[arg(long, value_enum)]
    species: Option<Species>,
    /// Column of obs with the clusters [default: leiden, louvain, seurat_clusters, cluster].
    #[arg(long, value_name = "COLUMN")]
    cluster: Option<String>,
    /// Matrix to read: X, raw/X or the name of a layer; without it screader chooses and says.
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    /// Test that ranks the markers of cells.
    #[arg(long, value_enum, default_value_t = GroupTest::Wilcoxon)]
    test: GroupTest,
    /// Markers of each cluster that a language model is shown.
    #[arg(long, value_name = "N", default_value_t = 10)]
    n_markers: usize,
    /// Table of known markers: PanglaoDB, CellMarker, Marker Accordion, Azimuth, or cell_type,gene; may be repeated.
    #[arg(long, value_name = "FILE")]
    marker_table: Vec<PathBuf>,
    /// The Cell Ontology (cl-basic.obo): labels get its ids.
    #[arg(long, value_name = "OBO")]
    ontology: Option<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Provider {
    /// Tables of known markers: no language model, no network.
    Markers,
    /// OpenAI, or any service or local server that speaks its interface.
    Openai,
    /// A server of Ollama, on this machine unless --base-url says otherwise.
    Ollama,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Language models")]
struct ModelArgs {
    /// The model, as the provider names it; several vote.
    #[arg(long, value_name = "NAME")]
    model: Vec<String>,
    /// Address of the service [default: OpenAI's, or Ollama's on this machine].
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Environment variable that holds the key.
    #[arg(long, value_name = "VARIABLE", default_value = "OPENAI_API_KEY")]
    key_variable: String,
    /// How to ask: hou_ji, structured (JSON with confidence and evidence), deepseq, deepseq_named, gpt_oss_note, or a
    /// template file.
    #[arg(long, value_name = "NAME", default_value = "hou_ji")]
    prompt: String,
    /// Ask so many times and take the vote; its agreement is the confidence.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    repeats: u16,
    /// Randomness of the answers [default: 0, or 0.7 with --repeats].
    #[arg(long, value_name = "T")]
    temperature: Option<f64>,
    /// Seed of the first answer.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Questions at once.
    #[arg(long, value_name = "N", default_value_t = 4)]
    concurrency: usize,
    /// Let the model search the web: OpenAI's own search, or --search-url and NCBI.
    #[arg(long)]
    web: bool,
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
    dry_run: bool,
}

/// What is named: clusters with markers, and their cells where there are any.
struct Input {
    cells: Option<ClusteredCells>,
    from: String,
    clusters: Vec<ClusterMarkers>,
}

impl AnnotateArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        let prompt: Prompt = self.model.prompt.parse()?;
        self.check()?;
        let ontology = self.ontology.as_deref().map(CellOntology::read).transpose()?;
        let input = self.input()?;
        eprintln!("clusters  {} ({})", input.clusters.len(), input.from);
        let mut record = self.blank(&input);
        match self.provider {
            Provider::Markers => self.by_tables(&input, &mut record)?,
            Provider::Openai | Provider::Ollama => {
                record.prompt = prompt.name();
                let questions = self.questions(&input, prompt);
                if self.model.dry_run {
                    return self.show(&questions);
                }
                self.by_models(&questions, &mut record)?;
            }
        }
        for one in &mut record.clusters {
            if let Some(found) = ontology.as_ref().and_then(|ontology| ontology.find(&one.label)) {
                (one.ontology_id, one.ontology_name) = (Some(found.id), Some(found.name));
            }
        }
        if let Some(cells) = &input.cells {
            let sizes = cells.sizes();
            let of = |name: &str| cells.clusters.iter().position(|one| one == name);
            for one in &mut record.clusters {
                one.cells = of(&one.cluster).map(|place| sizes[place]);
            }
        }
        record.write(&self.out)?;
        if let Some(cells) = &input.cells {
            self.write_cells(cells, &record)?;
        }
        self.report(&record);
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let needs =
            |expected: &str, remedy: &str| Err(Error::input("annotate", expected, "none", remedy));
        match self.provider {
            Provider::Markers if self.marker_table.is_empty() => needs(
                "a table of known markers",
                "pass --marker-table (PanglaoDB, CellMarker or your own cell_type,gene), or --provider ollama or openai",
            ),
            Provider::Openai | Provider::Ollama if self.model.model.is_empty() => {
                needs("the name of a model", "pass --model, as gpt-4o or llama3.1")
            }
            _ => Ok(()),
        }
    }

    fn input(&self) -> Result<Input> {
        let most = MATCHED_MARKERS.max(self.n_markers);
        let name = self.data.to_string_lossy().to_lowercase();
        if [".csv", ".tsv", ".txt"].iter().any(|end| name.ends_with(end)) && self.data.is_file() {
            let clusters = read_marker_table(&self.data, most)?;
            return Ok(Input { cells: None, from: "a table of markers".to_owned(), clusters });
        }
        let cells = io::read(&self.data, &ReadOptions::default())?;
        let (column, layer) = (self.cluster.as_deref(), self.layer.as_deref());
        let clustered = ClusteredCells::of(&cells, &self.data, column, layer)?;
        let unclustered = clustered.cluster_of.iter().filter(|one| one.is_none()).count();
        if unclustered > 0 {
            eprintln!("          {unclustered} cells without a cluster are left out");
        }
        let ranked = clustered.rank(self.test)?;
        let clusters = clustered.markers(&ranked, most);
        let from = format!("obs/{}", clustered.column);
        Ok(Input { cells: Some(clustered), from, clusters })
    }

    fn blank(&self, input: &Input) -> ClusterAnnotations {
        ClusterAnnotations {
            version: ClusterAnnotations::layout(),
            screader: env!("CARGO_PKG_VERSION").to_owned(),
            date: chrono::Local::now().format("%Y-%m-%d").to_string(),
            data: self.data.display().to_string(),
            clusters_from: input.from.clone(),
            provider: self
                .provider
                .to_possible_value()
                .map_or(String::new(), |one| one.get_name().to_owned()),
            models: Vec::new(),
            prompt: String::new(),
            tissue: self.tissue.clone(),
            web: self.model.web,
            repeats: usize::from(self.model.repeats),
            left_for: Vec::new(),
            usage: Default::default(),
            dollars: None,
            notes: Vec::new(),
            clusters: Vec::new(),
        }
    }

    fn by_tables(&self, input: &Input, record: &mut ClusterAnnotations) -> Result<()> {
        let paths: Vec<&Path> = self.marker_table.iter().map(PathBuf::as_path).collect();
        let tissue = (!self.tissue.is_empty()).then_some(self.tissue.as_str());
        let catalogue = Catalogue::read(&paths, self.species, tissue)?;
        eprintln!("table     {} cell types", catalogue.types.len());
        let genes = input.cells.as_ref().map_or(0, |cells| cells.genes.len());
        record.clusters = match_markers(&input.clusters, &catalogue, genes);
        // Where it lies on this machine is nobody else's business.
        let name = |path: &&Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        record.models = paths.iter().filter_map(name).collect();
        record.repeats = 1;
        record.notes = catalogue.notes;
        Ok(())
    }

    fn questions(&self, input: &Input, prompt: Prompt) -> Questions {
        let repeats = usize::from(self.model.repeats);
        // The same question at no temperature has the same answer.
        let usual = if repeats > 1 { 0.7 } else { 0.0 };
        Questions {
            clusters: input.clusters.clone(),
            prompt,
            tissue: self.tissue.clone(),
            n_markers: self.n_markers,
            models: self.model.model.clone(),
            repeats,
            temperature: self.model.temperature.unwrap_or(usual),
            seed: self.model.seed,
            web: self.model.web,
            concurrency: self.model.concurrency,
        }
    }

    fn base_url(&self) -> &str {
        let usual = match self.provider {
            Provider::Ollama => OLLAMA_BASE_URL,
            Provider::Openai | Provider::Markers => OPENAI_BASE_URL,
        };
        self.model.base_url.as_deref().unwrap_or(usual)
    }

    fn price(&self, model: &str) -> Option<ChatPrice> {
        ChatPrice::of_model(model, Some(self.base_url()))
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

    fn show(&self, questions: &Questions) -> Result<()> {
        let requests = questions.requests();
        let first = requests.iter().filter(|one| Some(&one.model) == questions.models.first());
        for request in first.filter(|one| one.seed == Some(questions.seed)) {
            for message in &request.messages {
                println!("[{:?}]\n{}\n", message.role, message.content);
            }
        }
        eprintln!("{} questions, at most {}", requests.len(), self.estimate(questions));
        eprintln!("would go to {}; nothing was asked", self.base_url());
        Ok(())
    }

    fn by_models(&self, questions: &Questions, record: &mut ClusterAnnotations) -> Result<()> {
        let purse = Purse::new(self.model.max_cost);
        let recording = match (&self.model.record, &self.model.replay) {
            (Some(path), _) => Some(Recording::cache(path)?),
            (None, Some(path)) => Some(Recording::replay(path)?),
            (None, None) => None,
        };
        let engines = self.engines()?;
        let provider = self.provider()?;
        let paid = self.paid(provider, &purse);
        let searching: Box<dyn ChatModel + '_> = match self.model.web && !self.searches_itself() {
            true => Box::new(Searching::new(paid, &engines, false)?),
            false => Box::new(paid),
        };
        let model: Box<dyn ChatModel + '_> = match &recording {
            Some(recording) => Box::new(recording.of(searching)),
            None => searching,
        };
        if self.model.replay.is_none() {
            eprintln!("asking    {}, at most {}", self.base_url(), self.estimate(questions));
        }
        let progress = bar();
        let found = ask(&model, questions, &progress);
        progress.finish_and_clear();
        let Asked { clusters, usage, notes } = found?;
        let elsewhere = |url: &String| !is_this_machine(url);
        if self.model.replay.is_none() {
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
            self.model.model.iter().map(|model| self.price(model)).collect();
        let dearest = prices.and_then(|prices| {
            prices
                .into_iter()
                .max_by(|a, b| (a.prompt + a.completion).total_cmp(&(b.prompt + b.completion)))
        });
        Paid::new(provider, purse, dearest)
    }

    fn provider(&self) -> Result<Box<dyn ChatModel>> {
        let key = ApiKey::from_environment(&self.model.key_variable);
        let url = self.base_url();
        Ok(match self.provider {
            Provider::Ollama => {
                // A key of another service is none of Ollama's business.
                let key = self
                    .model
                    .base_url
                    .as_ref()
                    .and(key)
                    .filter(|_| self.model.key_variable != "OPENAI_API_KEY");
                Box::new(Ollama::new(url, key, OllamaSettings::default(), Patience::default())?)
            }
            Provider::Openai | Provider::Markers => {
                let replayed = self.model.replay.is_some();
                if key.is_none() && url == OPENAI_BASE_URL && !replayed {
                    return Err(Error::input(
                        format!("environment variable {}", self.model.key_variable),
                        "a key of OpenAI",
                        "none",
                        "export it, or name another service with --base-url",
                    ));
                }
                Box::new(OpenAiChat::new(url, key, Patience::default())?)
            }
        })
    }

    fn searches_itself(&self) -> bool {
        self.provider == Provider::Openai && self.base_url() == OPENAI_BASE_URL
    }

    fn engines(&self) -> Result<SearchEngines> {
        if !self.model.web || self.searches_itself() {
            return Ok(SearchEngines::default());
        }
        let patience = Patience::default();
        let web = self.model.search_url.as_deref();
        Ok(SearchEngines {
            web: web.map(|url| SearxngSearch::new(url, patience)).transpose()?,
            ncbi: Some(NcbiSearch::new(NCBI, patience)?),
        })
    }

    /// Write a copy of the cells with their names.
    fn write_cells(&self, cells: &ClusteredCells, record: &ClusterAnnotations) -> Result<()> {
        let find = |cluster: usize| {
            record.clusters.iter().find(|one| one.cluster == cells.clusters[cluster])
        };
        let of_cell = |cluster: &Option<usize>| cluster.and_then(find);
        let labels: Vec<Option<String>> = cells
            .cluster_of
            .iter()
            .map(|cluster| of_cell(cluster).map(|one| one.label.clone()))
            .collect();
        let confidence = |cluster: &Option<usize>| {
            of_cell(cluster).and_then(|one| one.confidence).unwrap_or(f64::NAN)
        };
        let ids: Vec<Option<String>> = cells
            .cluster_of
            .iter()
            .map(|cluster| of_cell(cluster).and_then(|one| one.ontology_id.clone()))
            .collect();
        let mut obs = vec![
            ("screader_cell_type".to_owned(), Column::categorical(&labels)),
            (
                "screader_confidence".to_owned(),
                Column::Float(cells.cluster_of.iter().map(confidence).collect()),
            ),
        ];
        if ids.iter().any(Option::is_some) {
            obs.push(("screader_ontology_id".to_owned(), Column::categorical(&ids)));
        }
        let uns = vec![
            ("version".to_owned(), record.screader.clone()),
            ("provider".to_owned(), record.provider.clone()),
            ("models".to_owned(), record.models.join(", ")),
            ("prompt".to_owned(), record.prompt.clone()),
            ("date".to_owned(), record.date.clone()),
        ];
        let annotations = Annotations { obs, uns, ..Annotations::default() };
        io::write_annotated(&self.data, &self.out.join("annotated.h5ad"), &annotations)
    }

    fn report(&self, record: &ClusterAnnotations) {
        let widest = |of: fn(&ClusterAnnotation) -> &str| {
            record.clusters.iter().map(|one| of(one).chars().count()).max().unwrap_or(0)
        };
        let (cluster, label) = (widest(|one| &one.cluster), widest(|one| &one.label));
        for one in &record.clusters {
            let cells = one.cells.map(|cells| format!("{cells:>8}")).unwrap_or_default();
            let sure = one.confidence.map_or("    ".to_owned(), |value| format!("{value:.2}"));
            let genes = one.markers.iter().take(5).cloned().collect::<Vec<_>>().join(" ");
            println!("{:cluster$}{cells}  {:label$}  {sure}  {genes}", one.cluster, one.label);
        }
        let unknown = record.clusters.iter().filter(|one| one.label == UNKNOWN).count();
        if unknown > 0 {
            eprintln!("{unknown} of {} clusters are unknown", record.clusters.len());
        }
        record.notes.iter().for_each(|note| eprintln!("note: {note}"));
        if record.usage != Default::default() {
            eprintln!("cost      {}", Cost { usage: record.usage, dollars: record.dollars });
        }
        match record.left_for.as_slice() {
            [] => eprintln!("nothing left this machine"),
            places => eprintln!(
                "names of genes and clusters and the tissue went to {}",
                places.join(", ")
            ),
        }
        eprintln!("wrote     {}", self.out.display());
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("questions {bar:30} {pos}/{len}, {eta} left");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
