//! `screader annotate`: clusters in, named clusters out, without training.

pub(super) mod input;
pub(super) mod models;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::settings::MachineArgs;
use crate::annotate::{
    ClusterAnnotation, ClusterAnnotations, ClusteredCells, Prompt, UNKNOWN, match_markers,
};
use crate::cells::Column;
use crate::io::{self, Annotations};
use crate::llm::{Cost, Purse};
use crate::ontology::CellOntology;
use crate::{Error, Result};
use input::{Input, InputArgs};
use models::{ModelArgs, Models, Service, report_destinations};

/// Markers that are matched with tables: more of them tell more, and none leaves the machine.
const MATCHED_MARKERS: usize = 25;

/// Name clusters by their markers: by tables of known markers, or by a language model.
///
/// The data are cells with clusters (h5ad, from `screader cluster` or scanpy) or a table of markers (scanpy's
/// rank_genes_groups_df, Seurat's FindAllMarkers, csv). With --provider markers nothing leaves this machine. A
/// language model is shown names of genes and clusters and the tissue, never counts, barcodes or labels.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  screader annotate clustered.h5ad --tissue PBMC --marker-table PanglaoDB_markers.tsv --out named
  screader annotate markers.csv --tissue PBMC --provider ollama --model llama3.1 --out named
  screader annotate markers.csv --tissue PBMC --provider local --model checkpoints/smollm2-135m --out named
  screader annotate clustered.h5ad --tissue PBMC --provider openai --model gpt-4o --dry-run --out named
  screader annotate clustered.h5ad --tissue PBMC --provider openai --model gpt-4o --model gpt-4.1 \\
      --repeats 3 --max-cost 0.50 --record run.jsonl --out named")]
pub(super) struct AnnotateArgs {
    #[command(flatten)]
    input: InputArgs,
    /// Folder of the results: annotations.json, annotations.csv, and annotated.h5ad where there are cells.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Who names the clusters.
    #[arg(long, value_enum, default_value_t = Provider::Markers)]
    provider: Provider,
    /// Markers of each cluster that a language model is shown.
    #[arg(long, value_name = "N", default_value_t = 10)]
    n_markers: usize,
    /// The Cell Ontology (cl-basic.obo): labels get its ids.
    #[arg(long, value_name = "OBO")]
    ontology: Option<PathBuf>,
    /// How to ask: hou_ji, structured (JSON with confidence and evidence), deepseq, deepseq_named, gpt_oss_note, or a
    /// template file.
    #[arg(long, value_name = "NAME", default_value = "hou_ji", help_heading = "Language models")]
    prompt: String,
    /// Show the questions, where they would go, and what they would cost; ask nothing.
    #[arg(long, help_heading = "Language models")]
    dry_run: bool,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    machine: MachineArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Provider {
    /// Tables of known markers: no language model, no network.
    Markers,
    /// OpenAI, or any service or local server that speaks its interface.
    Openai,
    /// A server of Ollama, on this machine unless --base-url says otherwise.
    Ollama,
    /// A language model in a folder, run by screader itself: no network.
    Local,
}

impl Provider {
    /// Whose interface is spoken; tables are not asked.
    fn service(self) -> Option<Service> {
        match self {
            Self::Markers => None,
            Self::Openai => Some(Service::Openai),
            Self::Ollama => Some(Service::Ollama),
            Self::Local => Some(Service::Local),
        }
    }
}

impl AnnotateArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        let prompt: Prompt = self.prompt.parse()?;
        self.check()?;
        let device = self.machine.device()?;
        let ontology = self.ontology.as_deref().map(CellOntology::read).transpose()?;
        let input = self.input.read(MATCHED_MARKERS.max(self.n_markers))?;
        eprintln!("clusters  {} ({})", input.clusters.len(), input.from());
        let mut record = self.blank(&input);
        match self.provider.service() {
            None => self.by_tables(&input, &mut record)?,
            Some(service) => {
                let models = Models { args: &self.model, service, device };
                self.by_models(&models, &input, prompt, &mut record)?;
            }
        }
        if self.dry_run {
            return Ok(());
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
            Provider::Markers if self.input.marker_table.is_empty() => needs(
                "a table of known markers",
                "pass --marker-table (PanglaoDB, CellMarker or your own cell_type,gene), or --provider local, ollama or openai",
            ),
            Provider::Openai | Provider::Ollama if self.model.model.is_empty() => {
                needs("the name of a model", "pass --model, as gpt-4o or llama3.1")
            }
            Provider::Local if self.model.model.is_empty() => needs(
                "the folder of a language model",
                "pass --model, as checkpoints/smollm2-135m; `screader fetch backbone` lists some",
            ),
            _ => Ok(()),
        }
    }

    fn blank(&self, input: &Input) -> ClusterAnnotations {
        ClusterAnnotations {
            version: ClusterAnnotations::layout(),
            screader: env!("CARGO_PKG_VERSION").to_owned(),
            date: chrono::Local::now().format("%Y-%m-%d").to_string(),
            data: self.input.data.display().to_string(),
            clusters_from: input.from(),
            provider: self
                .provider
                .to_possible_value()
                .map_or(String::new(), |one| one.get_name().to_owned()),
            models: Vec::new(),
            prompt: String::new(),
            tissue: self.input.tissue.clone(),
            web: self.model.web,
            repeats: usize::from(self.model.repeats),
            left_for: Vec::new(),
            usage: Default::default(),
            dollars: None,
            notes: input.notes(),
            clusters: Vec::new(),
        }
    }

    fn by_tables(&self, input: &Input, record: &mut ClusterAnnotations) -> Result<()> {
        let catalogue = self.input.catalogue()?;
        eprintln!("table     {} cell types", catalogue.types.len());
        record.clusters = match_markers(&input.clusters, &catalogue, input.n_genes());
        // Where it lies on this machine is nobody else's business.
        let name =
            |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        record.models = self.input.marker_table.iter().filter_map(name).collect();
        record.repeats = 1;
        record.notes.extend(catalogue.notes);
        Ok(())
    }

    fn by_models(
        &self,
        models: &Models,
        input: &Input,
        prompt: Prompt,
        record: &mut ClusterAnnotations,
    ) -> Result<()> {
        record.prompt = prompt.name();
        let clusters = input.clusters.clone();
        let args = &self.model;
        let questions =
            args.questions(clusters, prompt, &self.input.tissue, self.n_markers, models.names());
        if self.dry_run {
            return models.show(&questions);
        }
        let purse = Purse::new(self.model.max_cost);
        models.ask(&models.open()?, &purse, &questions, record)
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
        io::write_annotated(&self.input.data, &self.out.join("annotated.h5ad"), &annotations)
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
        report_destinations(record.left_for.clone());
        eprintln!("wrote     {}", self.out.display());
    }
}
