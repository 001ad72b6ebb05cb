//! What the clusters of a data set were called, as a page to read: the map, the markers, and for every cluster
//! the answer with all that it rests on.
//!
//! | file | what |
//! |---|---|
//! | `report.html` | one page that needs nothing else: no network, no script |
//! | `figures/*.svg`, `figures/*.png` | its figures |

mod dots;
mod map;
mod page;

use std::path::Path;

use rayon::prelude::*;

pub use dots::DotPlot;

use super::palette::Palette;
use super::quality::{self, Quality};
use super::raster::Rasteriser;
use super::svg::Look;
use crate::{Error, Result, whole_file};

/// Everything that the page shows.
#[derive(Debug, Clone, Default)]
pub struct ClusterReport {
    /// Name of the data.
    pub title: String,
    /// What was done, as terms and words.
    pub facts: Vec<(String, String)>,
    /// The clusters, in their order.
    pub clusters: Vec<NamedCluster>,
    /// The cells, where there are any beside the markers.
    pub cells: Option<MappedCells>,
    /// What quality control saw before the cells were clustered.
    pub quality: Option<Quality>,
    /// Markers by cluster.
    pub markers: Option<DotPlot>,
    /// What is to be known before this is believed.
    pub notes: Vec<String>,
}

/// A cluster and what it was called.
#[derive(Debug, Clone, Default)]
pub struct NamedCluster {
    /// Name of the cluster.
    pub cluster: String,
    /// Its cells.
    pub cells: Option<usize>,
    /// The cell type, or `unknown`.
    pub label: String,
    /// Its id in the Cell Ontology, as `CL:0000084`.
    pub ontology_id: Option<String>,
    /// From 0 to 1.
    pub confidence: Option<f64>,
    /// Why, in the words of who answered.
    pub evidence: String,
    /// What else it may be.
    pub alternatives: Vec<String>,
    /// Genes that were shown, best first.
    pub markers: Vec<String>,
    /// Pages that were read: title and address.
    pub sources: Vec<(String, String)>,
    /// What was asked.
    pub prompt: String,
    /// What was answered, word by word.
    pub answers: Vec<String>,
}

/// Cells on their map.
#[derive(Debug, Clone, Default)]
pub struct MappedCells {
    /// Coordinates, one pair a cell.
    pub points: Vec<[f32; 2]>,
    /// Place of each cell's cluster among the clusters.
    pub clusters: Vec<usize>,
    /// Measures of the cells by name: counts, genes, mitochondrial part.
    pub measures: Vec<(String, Vec<f32>)>,
}

/// A drawing with its names.
struct Drawing {
    stem: String,
    caption: String,
    /// For the page, and for a file of its own.
    svg: [String; 2],
}

impl ClusterReport {
    /// The labels in the order in which the clusters name them first.
    fn labels(&self) -> Vec<String> {
        let mut labels: Vec<String> = Vec::new();
        for cluster in &self.clusters {
            if !labels.contains(&cluster.label) {
                labels.push(cluster.label.clone());
            }
        }
        labels
    }

    /// All drawings, in the order of the page: the map by label, by cluster and by measures, the markers.
    fn drawings(&self, palettes: &[Palette; 2]) -> Vec<Drawing> {
        let mut drawings = Vec::new();
        let mut draw = |stem: &str, caption: &str, svg: &dyn Fn(Look) -> Option<String>| {
            if let (Some(page), Some(file)) = (svg(Look::Page), svg(Look::File)) {
                let (stem, caption) = (stem.to_owned(), caption.to_owned());
                drawings.push(Drawing { stem, caption, svg: [page, file] });
            }
        };
        if let Some(cells) = &self.cells {
            let labels = self.labels();
            let names: Vec<String> = self.clusters.iter().map(|one| one.cluster.clone()).collect();
            let label_of: Vec<usize> = cells
                .clusters
                .iter()
                .map(|&cluster| {
                    let label = &self.clusters[cluster].label;
                    labels.iter().position(|one| one == label).unwrap_or(0)
                })
                .collect();
            draw("map-labels", "Cells by label", &|look| {
                map::by_group(
                    "Cells by label",
                    &cells.points,
                    &label_of,
                    &labels,
                    &palettes[0],
                    look,
                )
            });
            let clusters = &cells.clusters;
            draw("map-clusters", "Cells by cluster", &|look| {
                map::by_group(
                    "Cells by cluster",
                    &cells.points,
                    clusters,
                    &names,
                    &palettes[1],
                    look,
                )
            });
            for (number, (name, values)) in cells.measures.iter().enumerate() {
                let title = format!("Cells by {name}");
                draw(&format!("map-measure-{}", number + 1), &title, &|look| {
                    map::by_measure(&title, &cells.points, values, look)
                });
            }
        }
        if let Some(quality) = &self.quality {
            let caption = "Total counts of each cell, greatest first, and where filters would cut.";
            draw("quality-counts", caption, &|look| quality::barcode_curve(quality, look));
            let caption = "Genes of each cell, and how many the standard filter asks for.";
            draw("quality-genes", caption, &|look| Some(quality::genes_per_cell(quality, look)));
        }
        if let Some(markers) = &self.markers {
            let name = |cluster: &String| {
                let named = self.clusters.iter().find(|one| one.cluster == *cluster);
                named.map_or(cluster.clone(), |one| format!("{cluster}: {}", one.label))
            };
            let names: Vec<String> = markers.clusters.iter().map(name).collect();
            let caption = "A dot’s area is the part of a cluster’s cells that express the gene, its shade \
                           the mean, relative to the gene’s highest.";
            draw("markers", caption, &|look| dots::draw(markers, &names, look));
        }
        drawings
    }
}

/// Leave the page and its figures in a folder, which is made if it is not there. The page is written last:
/// where it is new, everything is.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be written to.
pub fn write(report: &ClusterReport, folder: &Path) -> Result<()> {
    let figures = folder.join("figures");
    std::fs::create_dir_all(&figures).map_err(Error::io(&figures, "create"))?;
    let labels = report.labels();
    let palettes = [
        Palette::of_names(labels.iter().map(String::as_str)),
        Palette::of_names(report.clusters.iter().map(|one| one.cluster.as_str()))
            .with_short_names(),
    ];
    let drawings = report.drawings(&palettes);
    let rasteriser = Rasteriser::new();
    drawings.par_iter().try_for_each(|drawing| {
        let path = figures.join(format!("{}.svg", drawing.stem));
        whole_file::write(&path, drawing.svg[1].as_bytes())?;
        let png = rasteriser.png(&drawing.svg[1], &path.display().to_string())?;
        whole_file::write(&path.with_extension("png"), &png)
    })?;
    let path = folder.join("report.html");
    whole_file::write(&path, page::html(report, drawings, &palettes, &path)?.as_bytes())
}
