//! Figures of quality control: where each filter cuts the barcode curve, and how many genes cells have.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::axis::Axis;
use super::svg::{Anchor, Ink, Look, Svg, Type, words};
use crate::prep::BarcodeCurve;
use crate::{Error, Result, whole_file};

const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 12.0;
/// Points of the curve that are drawn; more are no clearer.
const POINTS: usize = 400;
/// Bars of the histogram.
const BARS: usize = 50;

/// What quality control saw and where its filters cut, small enough to travel with the cells.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Rank and total counts of some cells, greatest first; empty where the matrix holds no counts.
    pub curve: Vec<[f64; 2]>,
    /// Where filters cut the curve.
    pub thresholds: Vec<Threshold>,
    /// Genes that the standard filter asks for.
    pub min_genes: u32,
    /// Most genes of a cell.
    pub most_genes: u32,
    /// Number of cells by their genes, in bars of equal width from 0 to `most_genes`.
    pub cells_by_genes: Vec<usize>,
}

/// Where a filter cuts the barcode curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// The filter.
    pub name: String,
    /// Total counts that a cell has at least.
    pub total_counts: f64,
    /// The part of all cells that has them.
    pub kept: f64,
}

impl Quality {
    /// Sum up the barcode curve, filters with the total counts at which they cut it, and the genes of each cell.
    pub fn new(
        curve: Option<&BarcodeCurve>,
        thresholds: &[(&str, f64)],
        n_genes_by_counts: &[u32],
        min_genes: u32,
    ) -> Self {
        let totals = curve.map_or(&[][..], |curve| &curve.totals);
        let threshold = |&(name, total_counts): &(&str, f64)| {
            let kept = totals.partition_point(|&other| other >= total_counts);
            let kept = kept as f64 / totals.len().max(1) as f64;
            Threshold { name: name.to_owned(), total_counts, kept }
        };
        let most_genes = n_genes_by_counts.iter().copied().max().unwrap_or(0).max(min_genes).max(1);
        let width = f64::from(most_genes) / BARS as f64;
        let mut cells_by_genes = vec![0usize; BARS];
        for &genes in n_genes_by_counts {
            cells_by_genes[((f64::from(genes) / width) as usize).min(BARS - 1)] += 1;
        }
        Self {
            curve: curve.map_or_else(Vec::new, thinned),
            thresholds: thresholds.iter().map(threshold).collect(),
            min_genes,
            most_genes,
            cells_by_genes,
        }
    }
}

/// Points in even steps of the logarithm of the rank: the top of the curve has few, its tail thousands.
fn thinned(curve: &BarcodeCurve) -> Vec<[f64; 2]> {
    let step = log(curve.barcodes as f64).max(0.1) / POINTS as f64;
    let mut points: Vec<[f64; 2]> = Vec::new();
    let mut next = 0f64;
    for (&rank, &total) in curve.ranks.iter().zip(&curve.totals) {
        if log(rank) >= next || rank as usize == curve.barcodes {
            points.push([rank, total]);
            next = log(rank) + step;
        }
    }
    points
}

fn log(value: f64) -> f64 {
    value.max(1.0).log10()
}

/// Leave `barcode_curve.svg`, where there is a curve, and `genes_per_cell.svg` in a folder, which is made if it
/// is not there.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be written to.
pub fn write_quality(quality: &Quality, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
    if let Some(drawing) = barcode_curve(quality, Look::File) {
        whole_file::write(&folder.join("barcode_curve.svg"), drawing.as_bytes())?;
    }
    let drawing = genes_per_cell(quality, Look::File);
    whole_file::write(&folder.join("genes_per_cell.svg"), drawing.as_bytes())
}

fn begin(title: &str, look: Look) -> Svg {
    Svg::new(LEFT + WIDTH + 20.0, TOP + HEIGHT + 44.0, title, look)
}

fn faint(anchor: Anchor) -> Type {
    Type { ink: Ink::Faint, anchor, ..words(11.0) }
}

/// Name both axes.
fn name_axes(svg: &mut Svg, across: &str, up: &str) {
    svg.text([LEFT + WIDTH / 2.0, TOP + HEIGHT + 36.0], across, faint(Anchor::Middle));
    let turned = Type { turn: -90.0, ..faint(Anchor::Middle) };
    svg.text([13.0, TOP + HEIGHT / 2.0], up, turned);
}

/// Total counts over rank, both logarithmic, with a line for each threshold; nothing without a curve.
pub(super) fn barcode_curve(quality: &Quality, look: Look) -> Option<String> {
    let ([_, greatest], [last, _]) = (quality.curve.first()?, quality.curve.last()?);
    let (top, end) = (log(*greatest).ceil().max(1.0), log(*last).max(0.1));
    let x = Axis { values: [0.0, end], pixels: [LEFT, LEFT + WIDTH] };
    let y = Axis { values: [0.0, top], pixels: [TOP + HEIGHT, TOP] };
    let mut svg = begin("Barcode curve: total counts of each cell, greatest first", look);
    for (axis, is_across) in [(x, true), (y, false)] {
        for power in 0..=axis.values[1].floor() as i32 {
            let at = axis.at(f64::from(power));
            let label = 10f64.powi(power).to_string();
            if is_across {
                svg.line([at, TOP], [at, TOP + HEIGHT], Ink::Rule, 1.0);
                svg.text([at, TOP + HEIGHT + 16.0], &label, faint(Anchor::Middle));
            } else {
                svg.line([LEFT, at], [LEFT + WIDTH, at], Ink::Rule, 1.0);
                svg.text([LEFT - 6.0, at + 4.0], &label, faint(Anchor::End));
            }
        }
    }
    name_axes(&mut svg, "rank of the cell", "total counts");
    let drawn: Vec<[f64; 2]> =
        quality.curve.iter().map(|[rank, total]| [x.at(log(*rank)), y.at(log(*total))]).collect();
    svg.path(&drawn, Ink::Accent, 2.0, "");
    let mut taken: Vec<f64> = Vec::new();
    for Threshold { name, total_counts, kept } in &quality.thresholds {
        let at = y.at(log(*total_counts));
        svg.path(&[[LEFT, at], [LEFT + WIDTH, at]], Ink::Text, 1.0, "4 3");
        // A name that would stand on another goes below its line, or further down.
        let mut label_at = at - 4.0;
        while taken.iter().any(|other| (other - label_at).abs() < 13.0) {
            label_at += 13.0;
        }
        taken.push(label_at);
        let label = format!("{name}: {total_counts} counts, {:.1} % of cells", 100.0 * kept);
        svg.text([LEFT + 8.0, label_at], &label, Type { rim: true, ..words(11.0) });
    }
    Some(svg.finish())
}

/// Cells over the number of their genes, with the least number that the standard filter asks for.
pub(super) fn genes_per_cell(quality: &Quality, look: Look) -> String {
    let (cells, min_genes) = (&quality.cells_by_genes, quality.min_genes);
    let width = f64::from(quality.most_genes) / cells.len().max(1) as f64;
    let highest = cells.iter().copied().max().unwrap_or(0).max(1) as f64;
    let x = Axis { values: [0.0, f64::from(quality.most_genes)], pixels: [LEFT, LEFT + WIDTH] };
    let y = Axis { values: [0.0, highest * 1.05], pixels: [TOP + HEIGHT, TOP] };
    let mut svg = begin("Genes per cell", look);
    for (value, label) in y.ticks(4) {
        svg.line([LEFT, y.at(value)], [LEFT + WIDTH, y.at(value)], Ink::Rule, 1.0);
        svg.text([LEFT - 6.0, y.at(value) + 4.0], &label, faint(Anchor::End));
    }
    for (value, label) in x.ticks(5) {
        svg.text([x.at(value), TOP + HEIGHT + 16.0], &label, faint(Anchor::Middle));
    }
    name_axes(&mut svg, "genes with counts", "cells");
    for (bar, &count) in cells.iter().enumerate().filter(|bar| *bar.1 > 0) {
        let (from, to) = (bar as f64 * width, (bar + 1) as f64 * width);
        let (left, above) = (x.at(from), y.at(count as f64));
        let tip = format!("{count} cells with {from:.0} to {to:.0} genes");
        let size = [x.at(to) - left - 0.5, TOP + HEIGHT - above];
        svg.rect([left, above], size, Ink::Accent, 0.8, &tip);
    }
    let at = x.at(f64::from(min_genes));
    svg.path(&[[at, TOP], [at, TOP + HEIGHT]], Ink::Text, 1.0, "4 3");
    let label = format!("standard: {min_genes} genes");
    svg.text([at + 5.0, TOP + 12.0], &label, Type { rim: true, ..words(11.0) });
    svg.finish()
}
