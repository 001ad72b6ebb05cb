//! `screader bench`: every method on the same cells, and a report that can be mailed.

use std::path::{Path, PathBuf};

use clap::Args;

use super::settings::{CellsArgs, SettingArgs, no_backbone, no_gene_table};
use crate::backbone::Backbone;
use crate::bench::material::{Material, Target};
use crate::bench::method;
use crate::bench::run::Bench;
use crate::bench::setting::{Plan, Setting};
use crate::bench::{overview, table};
use crate::config::Config;
use crate::demo;
use crate::embed::EmbeddingTable;
use crate::genes::{GeneMatch, GeneMatcher, Orthologs, Species};
use crate::io::{self, ReadOptions};
use crate::train::labelled::Labelled;
use crate::{Error, Result, report};

/// Compare screader with its controls and with what else there is, on the same splits.
///
/// Does the language model help? Every method learns from the same cells and names the same held-out
/// ones; a report, figures and every number are written. A comparison that was stopped goes on where it
/// was, since each result is kept. Without --data the bundled demo of simulated cells is compared.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  screader bench
  screader bench --data cells.h5ad --label cell_type --genes mouse.safetensors --backbone checkpoints/smollm2-135m
  screader bench --data cells.h5ad --label cell_type --group-by donor --genes mouse.safetensors \\
      --backbone checkpoints/smollm2-135m --setting standard,disjoint-genes --methods screader,logistic-regression
  screader bench --data mouse.h5ad --genes mouse.safetensors --backbone checkpoints/smollm2-135m \\
      --setting cross-species --test-data human.h5ad --orthologs homologs.tsv --test-genes human.safetensors

Settings: standard, disjoint-genes, cross-species, cross-batch, few-shot, unseen-type, panel.
Controls: random-llama, shuffled-genes, no-llama, text-alone. Baselines: mean-pool-mlp, genept-w-knn,
genept-w-linear, genept-w-centred-knn, genept-w-centred-linear, genept-s-knn, genept-s-linear,
logistic-regression, knn-pca, mlp, majority.")]
pub(super) struct BenchArgs {
    #[command(flatten)]
    cells: CellsArgs,
    /// Folder of the frozen LLaMA to judge, or "random" or "none".
    #[arg(long, value_name = "DIR")]
    backbone: Option<PathBuf>,
    /// What is held back from the methods; several are separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "standard")]
    setting: Vec<Setting>,
    /// Methods, separated by commas; unless said all but screader's other rank encodings and text-alone.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    methods: Vec<String>,
    /// Folds of the cells.
    #[arg(long, value_name = "N", default_value_t = 5)]
    folds: usize,
    /// Seed of folds, halves, picks and networks.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Cells a type, in few-shot.
    #[arg(long, value_name = "NS", value_delimiter = ',', default_value = "1,2,5,10,20")]
    shots: Vec<usize>,
    /// Genes of the panel, in panel.
    #[arg(long, value_name = "N", default_value_t = 300)]
    panel_genes: usize,
    /// Labelled cells of another species or batch, to be named in cross-species and cross-batch.
    #[arg(long, value_name = "FILE")]
    test_data: Option<PathBuf>,
    /// Their column of cell types, if it has another name.
    #[arg(long, value_name = "COLUMN", requires = "test_data")]
    test_label: Option<String>,
    /// Gene embedding table of their species, made by the same model: find their genes by their own text.
    #[arg(long, value_name = "FILE", requires = "test_data")]
    test_genes: Option<PathBuf>,
    /// Table of human and mouse orthologs: find their genes through it.
    #[arg(long, value_name = "FILE", requires = "test_data")]
    orthologs: Option<PathBuf>,
    /// Folder of results and report.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the whole summary as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingArgs,
}

impl BenchArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        let methods = method::named(&self.methods)?;
        let plan = Plan {
            folds: self.folds,
            seed: self.seed,
            shots: self.shots.clone(),
            panel_genes: self.panel_genes,
        };
        plan.validate()?;
        self.refuse_unknown_genes()?;
        let device = self.settings.device()?;
        let material = self.material()?;
        let folder = self.folder();
        std::fs::create_dir_all(&folder).map_err(Error::io(&folder, "create"))?;
        let settings = self.setting.clone();
        let bench = Bench { material: &material, settings, plan, methods, device, folder };
        overview::announce(&bench, &self.place());
        let findings = bench.run()?;
        let summary = overview::summary(&bench, findings, &self.place())?;
        report::write(&summary, &bench.folder)?;
        match self.json {
            true => println!("{}", overview::json(&summary)?),
            false => print!("{}", table::Table(&summary)),
        }
        eprintln!("report    {}", bench.folder.join("report.html").display());
        Ok(())
    }

    /// Genes of another species have other names.
    fn refuse_unknown_genes(&self) -> Result<()> {
        let is_asked = self.setting.contains(&Setting::CrossSpecies) && self.test_data.is_some();
        if !is_asked || self.orthologs.is_some() || self.test_genes.is_some() {
            return Ok(());
        }
        Err(Error::input(
            "--setting cross-species",
            "a way to find the other species' genes",
            "neither --orthologs nor --test-genes",
            "name a table of orthologs, the other species' gene table, or both",
        ))
    }

    fn folder(&self) -> PathBuf {
        self.cells.folder(self.out.as_deref(), "screader-bench", "demo")
    }

    /// Name the cells in errors and in the report.
    fn place(&self) -> String {
        let demo = || "the demo's simulated mouse cells".to_owned();
        self.cells.data.as_ref().map_or_else(demo, |path| path.display().to_string())
    }

    fn material(&self) -> Result<Material> {
        let config = self.cells.config(&self.settings)?;
        let Some(data) = &self.cells.data else {
            let cells = demo::simulate(Species::Mouse, self.seed)?;
            let table = demo::embeddings(Species::Mouse)?;
            let source = Labelled::read(&cells, &self.place(), &table, &config)?;
            let backbone = Backbone::random(self.seed);
            return Ok(Material { source, target: None, table, config, backbone });
        };
        let backbone = self.backbone.as_deref().ok_or_else(no_backbone)?;
        let backbone = Backbone::named(backbone, self.seed)?;
        let table = EmbeddingTable::read(self.cells.genes.as_deref().ok_or_else(no_gene_table)?)?;
        let cells = io::read(data, &ReadOptions::default())?;
        let source = Labelled::read(&cells, &self.place(), &table, &config)?;
        drop(cells);
        let (target, table) = match &self.test_data {
            None => (None, table),
            Some(path) => {
                let (target, table) = self.target(path, table, &config)?;
                (Some(target), table)
            }
        };
        Ok(Material { source, target, table, config, backbone })
    }

    /// The cells of the other file, and the gene table with what is appended for them.
    fn target(
        &self,
        path: &Path,
        table: EmbeddingTable,
        config: &Config,
    ) -> Result<(Target, EmbeddingTable)> {
        let cells = io::read(path, &ReadOptions::default())?;
        let mut config = config.clone();
        config.split.group = None;
        config.data.label = self.test_label.clone().unwrap_or(config.data.label);
        let (place, minimum) = (path.display().to_string(), config.data.minimum_coverage);
        let mut ways: Vec<(String, Box<Find<'_>>)> = Vec::new();
        if let Some(path) = &self.orthologs {
            let orthologs = Orthologs::read(path)?;
            let species: Species = table.metadata.species.parse()?;
            let matcher = GeneMatcher::new(&table.genes);
            let find = move |var: &_| {
                Ok(matcher.match_frame_through(var, &orthologs, species.other(), None).genes)
            };
            ways.push(("through orthologs".to_owned(), Box::new(find)));
        } else if self.test_genes.is_none() {
            let find = |var: &_| table.find(var, minimum, &place);
            ways.push((String::new(), Box::new(find)));
        }
        let mut joined = table.clone();
        if let Some(path) = &self.test_genes {
            let own = EmbeddingTable::read(path)?;
            joined = table.joined(&own)?;
            let first = table.genes.len();
            let place = &place;
            let find = move |var: &_| {
                let mut found = own.find(var, minimum, place)?;
                found.rows.iter_mut().flatten().for_each(|row| *row += first);
                Ok(found)
            };
            ways.push(("by their own genes' text".to_owned(), Box::new(find)));
        }
        let mut read = Vec::with_capacity(ways.len());
        for (name, find) in ways {
            read.push((name, Labelled::read_through(&cells, &place, &config, find)?));
        }
        let ways = read.iter().map(|(name, one)| (name.clone(), one.gene_rows.clone())).collect();
        // There is always one way: orthologs, a table, or neither and the same species.
        let cells = read.swap_remove(0).1;
        Ok((Target { cells, ways }, joined))
    }
}

/// Find the genes of a file in the gene table.
type Find<'a> = dyn Fn(&crate::cells::Frame) -> Result<GeneMatch> + 'a;
