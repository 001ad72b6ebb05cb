//! `screader cluster`: raw counts in, clusters and their markers out.

mod cells;
mod expression;
mod markers;
mod output;
mod results;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;

use crate::device::{available_memory, peak_memory};
use crate::io::require_another;
use crate::prep::{
    BarcodeCurve, CellFilter, ClusterConfig, Clustered, FilterConfig, GroupTest, HvgFlavor,
    InflectionPoint, KneePoint, N_COMPS, N_NEIGHBORS, cluster, inflection, knee,
};
use crate::report::{Quality, write_quality};
use crate::{Result, whole_file};
use cells::{Measured, Prepared};

/// Cluster cells from raw counts, as scanpy does with its defaults.
///
/// Filter, normalise to 10,000 counts a cell, take log1p, choose variable genes, then principal components,
/// neighbours, Leiden, UMAP and markers. Values that are log-normalised already are not logged again. The input
/// is never changed. What 16 bytes for each value above 0 do not hold within --max-memory waits on disk, with the same
/// result; in memory are then the variable genes, 8 bytes for each of their values above 0, about 2 kB a cell, and 1 GB
/// for markers.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  screader cluster raw.h5ad --out clustered.h5ad --markers markers.csv
  screader cluster raw.h5ad --out clustered.h5ad --max-mt 5 --resolution 0.8 --figures figures
  screader cluster raw_feature_bc_matrix.h5 --out clustered.h5ad --filter inflection")]
pub(super) struct ClusterArgs {
    /// Cells: h5ad, 10x HDF5 or folder, loom, csv.
    #[arg(value_name = "FILE")]
    data: PathBuf,
    /// Clustered cells, as h5ad: X log-normalised, counts in a layer; graph, components and markers where scanpy's
    /// verbs and plots look for them.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Genes of every cluster, best first, as csv in the layout of scanpy's rank_genes_groups_df.
    #[arg(long, value_name = "FILE")]
    markers: Option<PathBuf>,
    /// Folder for figures of the filters: the barcode curve and genes per cell, as SVG.
    #[arg(long, value_name = "DIR")]
    figures: Option<PathBuf>,
    /// Matrix to read: X, raw/X or the name of a layer; without it screader chooses and says.
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    /// Which cells stay: by genes, or by total counts above a point of the barcode curve.
    #[arg(long, value_enum, default_value = "standard")]
    filter: FilterName,
    /// Genes that a cell has at least; 200 with the standard filter, else 0.
    #[arg(long, value_name = "N")]
    min_genes: Option<u32>,
    /// Cells that a gene is found in at least.
    #[arg(long, value_name = "N", default_value_t = 3)]
    min_cells: u32,
    /// Mitochondrial counts that a cell has at most, in percent.
    #[arg(long, value_name = "PERCENT")]
    max_mt: Option<f64>,
    /// Which knee of the barcode curve.
    #[arg(long, value_enum, default_value = "last")]
    knee: KneePoint,
    /// Which inflection of the barcode curve.
    #[arg(long, value_enum, default_value = "steepest")]
    inflection: InflectionPoint,
    /// Go on where the filters leave under 10 % of the cells.
    #[arg(long)]
    force: bool,
    /// Genes that vary most, of which components are made.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    n_top_genes: usize,
    /// How these genes are found.
    #[arg(long, value_enum, default_value = "seurat")]
    flavor: HvgFlavor,
    /// Scale these genes to unit variance and cut them at this value; scanpy's users take 10.
    #[arg(long, value_name = "MAX")]
    scale: Option<f64>,
    /// Principal components.
    #[arg(long, value_name = "N", default_value_t = N_COMPS)]
    n_comps: usize,
    /// Neighbours of each cell, itself among them.
    #[arg(long, value_name = "N", default_value_t = N_NEIGHBORS)]
    n_neighbors: usize,
    /// The higher, the more clusters.
    #[arg(long, default_value_t = 1.0)]
    resolution: f64,
    /// How the genes of a cluster are compared with those of all other cells.
    #[arg(long, value_enum, default_value_t = GroupTest::Wilcoxon)]
    test: GroupTest,
    /// Memory for the values, in gigabytes [default: half of what is free]; more wait in files beside the output.
    #[arg(long, value_name = "GB", value_parser = gigabytes)]
    max_memory: Option<f64>,
    /// Seed of clusters and UMAP.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FilterName {
    Standard,
    Knee,
    Inflection,
}

/// A number of gigabytes from 0.
fn gigabytes(text: &str) -> std::result::Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| *number >= 0.0 && number.is_finite());
    number.ok_or_else(|| "a number of gigabytes from 0, as 8 or 0.5".to_owned())
}

/// How long each step takes.
struct Clock {
    done: serde_json::Map<String, serde_json::Value>,
    step: &'static str,
    began: Instant,
}

impl Clock {
    fn start(step: &'static str) -> Self {
        Self { done: serde_json::Map::new(), step, began: Instant::now() }
    }

    fn begin(&mut self, step: &'static str) {
        let milliseconds = self.began.elapsed().as_millis() as f64;
        self.done.insert(self.step.to_owned(), (milliseconds / 1000.0).into());
        (self.step, self.began) = (step, Instant::now());
    }

    fn stop(mut self) -> serde_json::Value {
        self.begin("");
        self.done.into()
    }
}

impl ClusterArgs {
    /// Run the verb.
    pub(super) fn run(self) -> Result<()> {
        self.refuse_outputs()?;
        let mut clock = Clock::start("measuring");
        let measured = Measured::read(&self.data, self.layer.as_deref())?;
        eprintln!("matrix    {} ({})", measured.name, measured.state);
        let quality = self.quality(&measured)?;
        if let Some(folder) = &self.figures {
            write_quality(&quality, folder)?;
        }
        clock.begin("reading");
        let max_memory = match self.max_memory {
            Some(gigabytes) => (gigabytes * 1e9) as u64,
            None => available_memory() / 2,
        };
        let filter = self.filter_config();
        let prepared = measured.prepare(&filter, self.min_cells, max_memory, &self.out)?;
        eprintln!("kept      {}", prepared.summary());
        if let Some(whereabouts) = prepared.whereabouts(&self.out) {
            eprintln!("on disk   {whereabouts}");
        }
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(200));
        let config = self.cluster_config();
        let counts = prepared.expression.counts();
        let expression = prepared.expression.normalised();
        let found = cluster(expression, counts.as_deref(), &config, |step| {
            bar.set_message(step);
            clock.begin(step);
        });
        drop(counts);
        bar.finish_and_clear();
        let found = found?;
        clock.begin("writing");
        let mut summary = self.summary(&prepared, &found);
        let table = self.markers.as_ref().map(|path| markers::table(&prepared, &found, path));
        let table = table.transpose()?;
        if !results::can_rank(&prepared.var) {
            eprintln!(
                "ranked    not in the h5ad, since names of genes are not in ASCII; --markers has them"
            );
        }
        output::write(prepared, &found, &config, &quality, &self.data, &self.out)?;
        if let (Some(path), Some(table)) = (&self.markers, table) {
            whole_file::write(path, &table)?;
        }
        summary["seconds"] = clock.stop();
        summary["peak_memory"] = peak_memory::read().into();
        self.report(&summary);
        Ok(())
    }

    /// Refuse outputs that cannot be, before the work and not after it.
    fn refuse_outputs(&self) -> Result<()> {
        for path in [Some(&self.out), self.markers.as_ref()].into_iter().flatten() {
            require_another(&self.data, path)?;
            whole_file::require_folder(path)?;
        }
        Ok(())
    }

    fn filter_config(&self) -> FilterConfig {
        let cells = match self.filter {
            FilterName::Standard => CellFilter::Standard,
            FilterName::Knee => CellFilter::Knee(self.knee),
            FilterName::Inflection => CellFilter::Inflection(self.inflection),
        };
        let usual = match self.filter {
            FilterName::Standard => FilterConfig::default().min_genes,
            FilterName::Knee | FilterName::Inflection => 0,
        };
        FilterConfig {
            cells,
            min_genes: self.min_genes.unwrap_or(usual),
            max_pct_mt: self.max_mt,
            force: self.force,
        }
    }

    fn cluster_config(&self) -> ClusterConfig {
        ClusterConfig {
            n_top_genes: self.n_top_genes,
            flavor: self.flavor,
            scale: self.scale,
            n_comps: self.n_comps,
            n_neighbors: self.n_neighbors,
            resolution: self.resolution,
            test: self.test,
            seed: self.seed,
        }
    }

    /// Sum up what each filter would do; a curve without knee or inflection has no line for it.
    fn quality(&self, measured: &Measured) -> Result<Quality> {
        let curve = match measured.has_counts() {
            true => Some(BarcodeCurve::new(&measured.metrics.total_counts)?),
            false => None,
        };
        let min_genes = self.min_genes.unwrap_or(FilterConfig::default().min_genes);
        let mut thresholds = Vec::new();
        if let Some(curve) = &curve {
            thresholds.extend(measured.least_counts(min_genes).map(|least| ("standard", least)));
            thresholds.extend(knee(curve, self.knee).map(|least| ("knee", least)));
            let inflection = inflection(curve, self.inflection).ok();
            thresholds.extend(inflection.map(|least| ("inflection", least)));
        }
        let genes = &measured.metrics.n_genes_by_counts;
        Ok(Quality::new(curve.as_ref(), &thresholds, genes, min_genes))
    }

    fn summary(&self, prepared: &Prepared, found: &Clustered) -> serde_json::Value {
        let mut sizes = vec![0usize; found.n_clusters()];
        found.clusters.iter().for_each(|&one| sizes[one] += 1);
        let gene = |&gene: &u32| prepared.var.index[gene as usize].clone();
        let clusters: Vec<serde_json::Value> = (sizes.iter().enumerate())
            .map(|(cluster, cells)| {
                let ranked = found.markers.get(cluster).map_or(&[][..], |one| &one.genes);
                let markers: Vec<String> = ranked.iter().take(5).map(gene).collect();
                serde_json::json!({ "cluster": cluster.to_string(), "cells": cells, "markers": markers })
            })
            .collect();
        let variable = found.variable.highly_variable.iter().filter(|chosen| **chosen).count();
        serde_json::json!({
            "matrix": format!("{} ({})", prepared.name, prepared.state),
            "cells": [prepared.all[0], prepared.obs.len()],
            "genes": [prepared.all[1], prepared.var.len()],
            "min_counts": prepared.min_counts,
            "highly_variable": variable,
            "clusters": clusters,
        })
    }

    fn report(&self, summary: &serde_json::Value) {
        match self.json {
            true => println!("{summary}"),
            false => {
                for one in summary["clusters"].as_array().into_iter().flatten() {
                    let markers: Vec<&str> = one["markers"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(|m| m.as_str())
                        .collect();
                    let name = one["cluster"].as_str().unwrap_or_default();
                    println!("{name:>4}  {:>8}  {}", one["cells"], markers.join(" "));
                }
            }
        }
        eprintln!("variable  {} genes", summary["highly_variable"]);
        let seconds = summary["seconds"].as_object().into_iter().flatten();
        let took: f64 = seconds.filter_map(|(_, seconds)| seconds.as_f64()).sum();
        let memory = summary["peak_memory"].as_f64();
        let memory = memory.map(|bytes| format!(", {:.1} GB of memory at most", bytes / 1e9));
        eprintln!("took      {took:.1} s{}", memory.unwrap_or_default());
        let folder = self.figures.iter();
        for path in [&self.out].into_iter().chain(&self.markers).chain(folder) {
            eprintln!("wrote     {}", path.display());
        }
    }
}
