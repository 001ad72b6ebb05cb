//! `screader ablate`: which model, prompt and number of markers names clusters best, in one table.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::annotate::models::{ModelArgs, Models, Service, report_destinations};
use super::evaluate::compare::{Compared, as_text, write_table};
use super::evaluate::table;
use super::settings::MachineArgs;
use crate::annotate::{
    Catalogue, ClusterAnnotations, ClusterMarkers, ClusteredCells, GENES_OF_A_GENOME, Prompt,
    Questions, match_markers, read_marker_table,
};
use crate::genes::Species;
use crate::io::{self, ReadOptions};
use crate::llm::{Purse, Usage};
use crate::ontology::CellOntology;
use crate::prep::GroupTest;
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
    /// Cells with clusters (h5ad), or a table of markers (csv).
    #[arg(value_name = "FILE")]
    data: PathBuf,
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
    /// Table of known markers; may be repeated.
    #[arg(long, value_name = "FILE")]
    marker_table: Vec<PathBuf>,
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
struct Input {
    clusters: Vec<ClusterMarkers>,
    /// True types of every cluster, in the same order.
    truth: Vec<Option<String>>,
    genes: usize,
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
    fn new(way: Way, labels: Vec<String>, input: &Input, ontology: Option<&CellOntology>) -> Self {
        let given: Vec<Option<String>> = labels.iter().cloned().map(Some).collect();
        let pairs = table::pairs(&input.truth, &given, false);
        let compared = Compared::new(&way.as_text(), "clusters", pairs, ontology, None);
        Self { way, compared, tokens: 0, dollars: None, labels, left_for: Vec::new() }
    }
}

impl AblateArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        if self.model.model.is_empty() && self.marker_table.is_empty() {
            let expected = "models or tables of known markers to compare";
            let remedy = "pass --model, --marker-table, or both";
            return Err(Error::input("ablate", expected, "none", remedy));
        }
        let prompts: Vec<Prompt> =
            self.prompt.iter().map(|name| name.parse()).collect::<Result<_>>()?;
        let ontology = self.ontology.as_deref().map(CellOntology::read).transpose()?;
        let input = self.input()?;
        let known = input.truth.iter().flatten().count();
        eprintln!("clusters  {}, {known} with a true type", input.clusters.len());
        std::fs::create_dir_all(&self.out).map_err(Error::io(&self.out, "create"))?;

        let mut rows = self.by_tables(&input, ontology.as_ref())?;
        let purse = Purse::new(self.model.max_cost);
        for model in &self.model.model {
            rows.extend(self.by_model(model, &prompts, &input, ontology.as_ref(), &purse)?);
        }
        write_table(&self.out.join("ablation.csv"), &summary(&rows))?;
        write_table(&self.out.join("labels.csv"), &labels(&rows, &input))?;
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

    fn input(&self) -> Result<Input> {
        let most = self.n_markers.iter().copied().max().unwrap_or(0);
        let name = self.data.to_string_lossy().to_lowercase();
        if [".csv", ".tsv", ".txt"].iter().any(|end| name.ends_with(end)) && self.data.is_file() {
            let clusters = read_marker_table(&self.data, most)?;
            let truth = self.truth_of(&clusters)?;
            return Ok(Input { clusters, truth, genes: GENES_OF_A_GENOME });
        }
        let cells = io::read(&self.data, &ReadOptions::default())?;
        let (column, layer) = (self.cluster.as_deref(), self.layer.as_deref());
        let clustered = ClusteredCells::of(&cells, &self.data, column, layer)?;
        let types = table::column(&self.data, &cells.obs, &self.truth)?;
        let clusters = clustered.markers(&clustered.rank(self.test)?, most);
        let truth = clusters
            .iter()
            .map(|one| {
                let of = clustered.cluster_of.iter().zip(&types);
                let of = of.filter(|(cluster, _)| {
                    cluster.is_some_and(|at| clustered.clusters[at] == one.cluster)
                });
                table::commonest(of.filter_map(|(_, truth)| truth.as_deref()))
            })
            .collect();
        Ok(Input { clusters, truth, genes: clustered.genes.len() })
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

    fn by_tables(&self, input: &Input, ontology: Option<&CellOntology>) -> Result<Vec<Row>> {
        if self.marker_table.is_empty() {
            return Ok(Vec::new());
        }
        let paths: Vec<&Path> = self.marker_table.iter().map(PathBuf::as_path).collect();
        let tissue = (!self.tissue.is_empty()).then_some(self.tissue.as_str());
        let catalogue = Catalogue::read(&paths, self.species, tissue)?;
        catalogue.notes.iter().for_each(|note| eprintln!("note: {note}"));
        let row = |&n_markers: &usize| {
            let first = |one: &ClusterMarkers| ClusterMarkers {
                cluster: one.cluster.clone(),
                genes: one.genes.iter().take(n_markers).cloned().collect(),
            };
            let clusters: Vec<ClusterMarkers> = input.clusters.iter().map(first).collect();
            let named = match_markers(&clusters, &catalogue, input.genes);
            let labels = named.into_iter().map(|one| one.label).collect();
            let model = "tables".to_owned();
            let way = Way { model, prompt: String::new(), n_markers, web: false };
            Row::new(way, labels, input, ontology)
        };
        Ok(self.n_markers.iter().map(row).collect())
    }

    fn by_model(
        &self,
        model: &str,
        prompts: &[Prompt],
        input: &Input,
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
                    let clusters = input.clusters.clone();
                    let asked = args.questions(
                        clusters,
                        prompt.clone(),
                        &self.tissue,
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
                    let row = Row::new(way, labels, input, ontology);
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
fn labels(rows: &[Row], input: &Input) -> Vec<Vec<String>> {
    let ways = rows.iter().map(|row| row.way.as_text());
    let header = ["cluster".to_owned(), "truth".to_owned()].into_iter().chain(ways).collect();
    let line = |(at, cluster): (usize, &ClusterMarkers)| {
        let truth = input.truth[at].clone().unwrap_or_default();
        let given = rows.iter().map(|row| row.labels[at].clone());
        [cluster.cluster.clone(), truth].into_iter().chain(given).collect()
    };
    [vec![header], input.clusters.iter().enumerate().map(line).collect()].concat()
}
