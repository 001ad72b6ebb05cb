//! `screader ablate`: which model, prompt and number of markers names clusters best, in one table.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::annotate::input::{Input, InputArgs};
use super::annotate::models::{ModelArgs, Models, Service, report_destinations};
use super::evaluate::compare::{Compared, as_text, write_table};
use super::evaluate::table;
use super::settings::MachineArgs;
use crate::annotate::{ClusterAnnotations, ClusterMarkers, Prompt, Questions, match_markers};
use crate::llm::{Purse, Usage};
use crate::ontology::CellOntology;
use crate::{Error, Result};

/// Name the same clusters in every way that is asked for, and score each way by the truth.
///
/// Every --model with every --prompt and every --n-markers, with --web each without and with search; and, where
/// --marker-table is given, tables of known markers instead of a model. The truth of a cluster is what most of its
/// cells are. With --record nothing is asked twice, so that an ablation that was stopped goes on.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  screader ablate clustered.h5ad --truth cell_type --tissue PBMC --provider ollama \\
      --model llama3.1 --model qwen2.5 --prompt hou_ji,structured --n-markers 5,10,20 --out ablation
  screader ablate markers.csv --truth truth.csv --tissue PBMC --marker-table PanglaoDB_markers.tsv \\
      --n-markers 10,25,50 --ontology cl-basic.obo --out ablation")]
pub(super) struct AblateArgs {
    #[command(flatten)]
    input: InputArgs,
    /// Column of obs with the true types; for a table of markers a csv of cluster and type.
    #[arg(long, value_name = "COLUMN|CSV")]
    truth: String,
    /// Folder of the results: ablation.csv, and labels.csv with every label of every way.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Whose interface the models speak.
    #[arg(long, value_enum, default_value = "openai")]
    provider: Service,
    /// How to ask, as for `screader annotate`, separated by commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "hou_ji")]
    prompt: Vec<String>,
    /// Markers of each cluster that are shown or matched, separated by commas.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_value = "10")]
    n_markers: Vec<usize>,
    /// The Cell Ontology (cl-basic.obo): synonyms and kinds count.
    #[arg(long, value_name = "OBO")]
    ontology: Option<PathBuf>,
    /// Print the table as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    machine: MachineArgs,
}

/// Clusters with their markers, and their true types.
struct Known {
    input: Input,
    /// True types of every cluster, in the same order.
    truth: Vec<Option<String>>,
}

/// One way to name clusters.
#[derive(Debug, Serialize)]
struct Way {
    /// A language model, or tables of known markers.
    model: String,
    /// Empty for tables.
    prompt: String,
    n_markers: usize,
    web: bool,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    way: Way,
    #[serde(flatten)]
    compared: Compared,
    tokens: u64,
    dollars: Option<f64>,
    #[serde(skip)]
    labels: Vec<String>,
    /// Addresses that markers and names went to.
    #[serde(skip)]
    left_for: Vec<String>,
}

impl Way {
    fn as_text(&self) -> String {
        let parts = [self.model.as_str(), &self.prompt, &format!("{} markers", self.n_markers)];
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        parts.chain(self.web.then_some("web")).collect::<Vec<_>>().join(", ")
    }
}

impl Row {
    fn new(way: Way, labels: Vec<String>, known: &Known, ontology: Option<&CellOntology>) -> Self {
        let given: Vec<Option<String>> = labels.iter().cloned().map(Some).collect();
        let pairs = table::pairs(&known.truth, &given, false);
        let compared = Compared::new(&way.as_text(), "clusters", pairs, ontology, None);
        Self { way, compared, tokens: 0, dollars: None, labels, left_for: Vec::new() }
    }
}

impl AblateArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        if self.model.model.is_empty() && self.input.marker_table.is_empty() {
            let expected = "models or tables of known markers to compare";
            let remedy = "pass --model, --marker-table, or both";
            return Err(Error::input("ablate", expected, "none", remedy));
        }
        let prompts: Vec<Prompt> =
            self.prompt.iter().map(|name| name.parse()).collect::<Result<_>>()?;
        let ontology = self.ontology.as_deref().map(CellOntology::read).transpose()?;
        let known = self.known()?;
        let typed = known.truth.iter().flatten().count();
        eprintln!("clusters  {}, {typed} with a true type", known.truth.len());
        std::fs::create_dir_all(&self.out).map_err(Error::io(&self.out, "create"))?;

        let mut rows = self.by_tables(&known, ontology.as_ref())?;
        let purse = Purse::new(self.model.max_cost);
        for model in &self.model.model {
            rows.extend(self.by_model(model, &prompts, &known, ontology.as_ref(), &purse)?);
        }
        write_table(&self.out.join("ablation.csv"), &summary(&rows))?;
        write_table(&self.out.join("labels.csv"), &labels(&rows, &known))?;
        match self.json {
            true => println!("{:#}", serde_json::json!(rows)),
            false => print!("{}", as_text(rows.iter().map(|row| &row.compared))),
        }
        if purse.spent().usage != Usage::default() {
            eprintln!("cost      {}", purse.spent());
        }
        report_destinations(rows.iter().flat_map(|row| row.left_for.clone()).collect());
        eprintln!("wrote     {}", self.out.display());
        Ok(())
    }

    fn known(&self) -> Result<Known> {
        let most = self.n_markers.iter().copied().max().unwrap_or(0);
        let input = self.input.read(most)?;
        input.notes().iter().for_each(|note| eprintln!("note: {note}"));
        let truth = match &input.cells {
            None => self.truth_of(&input.clusters)?,
            Some(cells) => {
                let types = table::column(&self.input.data, &cells.obs, &self.truth)?;
                let name = |cluster: &Option<usize>| cluster.map(|at| cells.clusters[at].clone());
                let clusters: Vec<Option<String>> = cells.cluster_of.iter().map(name).collect();
                let known = table::by_cluster(&clusters, &types);
                let of = |one: &ClusterMarkers| known.get(one.cluster.as_str()).cloned().flatten();
                input.clusters.iter().map(of).collect()
            }
        };
        Ok(Known { input, truth })
    }

    /// The true types from a csv whose first two columns are cluster and type.
    fn truth_of(&self, clusters: &[ClusterMarkers]) -> Result<Vec<Option<String>>> {
        let path = Path::new(&self.truth);
        let wrong = |found: String| {
            let expected = "a csv with a column of clusters and one of their types";
            Error::input(format!("--truth {}", self.truth), expected, found, "name such a file")
        };
        if !path.is_file() {
            return Err(wrong("no such file".to_owned()));
        }
        let frame = table::read(path)?;
        let [(names, _), (types, _), ..] = frame.columns.as_slice() else {
            return Err(wrong(format!("{} columns", frame.columns.len())));
        };
        let [names, types] = [names, types].map(|name| table::column(path, &frame, name));
        let (names, types) = (names?, types?);
        let of = |one: &ClusterMarkers| {
            let row = names.iter().position(|name| name.as_ref() == Some(&one.cluster));
            row.and_then(|row| types[row].clone())
        };
        let found: Vec<Option<String>> = clusters.iter().map(of).collect();
        if found.iter().all(Option::is_none) {
            return Err(wrong("no type of any cluster".to_owned()));
        }
        Ok(found)
    }

    fn by_tables(&self, known: &Known, ontology: Option<&CellOntology>) -> Result<Vec<Row>> {
        if self.input.marker_table.is_empty() {
            return Ok(Vec::new());
        }
        let catalogue = self.input.catalogue()?;
        catalogue.notes.iter().for_each(|note| eprintln!("note: {note}"));
        let row = |&n_markers: &usize| {
            let first = |one: &ClusterMarkers| ClusterMarkers {
                cluster: one.cluster.clone(),
                genes: one.genes.iter().take(n_markers).cloned().collect(),
            };
            let clusters: Vec<ClusterMarkers> = known.input.clusters.iter().map(first).collect();
            let named = match_markers(&clusters, &catalogue, known.input.n_genes());
            let labels = named.into_iter().map(|one| one.label).collect();
            let model = "tables".to_owned();
            let way = Way { model, prompt: String::new(), n_markers, web: false };
            Row::new(way, labels, known, ontology)
        };
        Ok(self.n_markers.iter().map(row).collect())
    }

    fn by_model(
        &self,
        model: &str,
        prompts: &[Prompt],
        known: &Known,
        ontology: Option<&CellOntology>,
        purse: &Purse,
    ) -> Result<Vec<Row>> {
        let mut args = self.model.clone();
        args.model = vec![model.to_owned()];
        let device = self.machine.device()?;
        let models = Models { args: &args, service: self.provider, device };
        let opened = models.open()?;
        let names = models.names();
        let web: &[bool] = if args.web { &[false, true] } else { &[false] };
        let mut rows = Vec::new();
        for prompt in prompts {
            for &n_markers in &self.n_markers {
                for &web in web {
                    let clusters = known.input.clusters.clone();
                    let asked = args.questions(
                        clusters,
                        prompt.clone(),
                        &self.input.tissue,
                        n_markers,
                        names.clone(),
                    );
                    let way = Way { model: names.concat(), prompt: prompt.name(), n_markers, web };
                    let mut record = ClusterAnnotations::default();
                    models.ask(&opened, purse, &Questions { web, ..asked }, &mut record)?;
                    record
                        .notes
                        .iter()
                        .for_each(|note| eprintln!("note: {}: {note}", way.as_text()));
                    let labels = record.clusters.iter().map(|one| one.label.clone()).collect();
                    let tokens = record.usage.prompt_tokens + record.usage.completion_tokens;
                    let row = Row::new(way, labels, known, ontology);
                    let (dollars, left_for) = (record.dollars, record.left_for);
                    rows.push(Row { tokens, dollars, left_for, ..row });
                }
            }
        }
        Ok(rows)
    }
}

/// A line for each way.
fn summary(rows: &[Row]) -> Vec<Vec<String>> {
    let header = ["model", "prompt", "n_markers", "web"].map(str::to_owned);
    let header = [&header[..], &Compared::columns(), &["tokens".to_owned(), "dollars".to_owned()]];
    let row = |row: &Row| {
        let Way { model, prompt, n_markers, web } = &row.way;
        let way = [model.clone(), prompt.clone(), n_markers.to_string(), web.to_string()];
        let cost =
            [row.tokens.to_string(), row.dollars.map_or(String::new(), |one| one.to_string())];
        [&way[..], &row.compared.values(), &cost[..]].concat()
    };
    [vec![header.concat()], rows.iter().map(row).collect()].concat()
}

/// A line for each cluster, a column for each way.
fn labels(rows: &[Row], known: &Known) -> Vec<Vec<String>> {
    let ways = rows.iter().map(|row| row.way.as_text());
    let header = ["cluster".to_owned(), "truth".to_owned()].into_iter().chain(ways).collect();
    let line = |(at, cluster): (usize, &ClusterMarkers)| {
        let truth = known.truth[at].clone().unwrap_or_default();
        let given = rows.iter().map(|row| row.labels[at].clone());
        [cluster.cluster.clone(), truth].into_iter().chain(given).collect()
    };
    [vec![header], known.input.clusters.iter().enumerate().map(line).collect()].concat()
}
