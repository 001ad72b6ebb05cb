//! The page: the words and numbers that its templates in `html/` lay out.

use std::path::Path;

use askama::Template;

use super::figures::Figures;
use super::numbers::{count, counted, percent};
use super::palette::{Palette, Rgb};
use super::section::{FigureView, Section};
use super::svg::Look;
use super::{scatter, verdict};
use crate::bench::summary::Summary;
use crate::{Error, Result};

/// A type in a list: its number and colour in the figures.
pub(super) struct TypeView {
    /// Number in figures.
    pub(super) number: usize,
    /// Colour as CSS.
    pub(super) colour: String,
    /// Name.
    pub(super) name: String,
    /// Cells and their part of all, in words; may be empty.
    pub(super) cells: String,
}

/// A colour as CSS.
pub(super) fn css([red, green, blue]: Rgb) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// The embeddings side by side with one legend.
struct Embeddings {
    panels: Vec<FigureView>,
    legend: Vec<TypeView>,
    file: String,
}

/// Everything that the template asks for.
#[derive(Template)]
#[template(path = "page.html")]
struct Page {
    title: String,
    answer: Vec<String>,
    facts: Vec<(&'static str, String)>,
    command: Vec<String>,
    numbered: bool,
    types: Vec<TypeView>,
    sections: Vec<Section>,
    embeddings: Option<Embeddings>,
    notes: Vec<String>,
    version: String,
}

/// Lay out the page; `path` names it in errors.
///
/// # Errors
/// [`Error::Io`] if the template fails.
pub(super) fn html(
    summary: &Summary,
    figures: &Figures<'_>,
    palette: &Palette,
    path: &Path,
) -> Result<String> {
    let page = Page {
        title: summary.title.clone(),
        answer: verdict::answer(summary),
        facts: facts(summary),
        command: summary.command.split_whitespace().map(str::to_owned).collect(),
        numbered: palette.is_numbered(),
        types: types(summary, palette),
        sections: figures.settings.iter().map(|one| Section::of(one, palette)).collect(),
        embeddings: embeddings(summary, figures, palette),
        notes: summary.notes.clone(),
        version: summary.version.clone(),
    };
    page.render().map_err(|error| Error::io(path, "write")(std::io::Error::other(error)))
}

/// What was compared, as terms and words; what is not known is left out.
fn facts(summary: &Summary) -> Vec<(&'static str, String)> {
    let data = &summary.data;
    let size = format!(
        "{} labelled, {} genes, {}",
        counted(data.cells, "cell"),
        count(data.genes),
        counted(data.types.len(), "type")
    );
    let facts = [
        ("Data", data.path.clone()),
        ("Size", size),
        ("Matrix", data.matrix.clone()),
        ("Genes found", data.coverage.clone()),
        ("Gene embeddings", data.gene_table.clone()),
        ("Backbone", data.backbone.clone()),
        ("Machine", summary.machine.clone()),
        ("Date", summary.date.clone()),
        ("Version", format!("screader {}", summary.version)),
    ];
    facts.into_iter().filter(|(_, words)| !words.trim().is_empty()).collect()
}

fn types(summary: &Summary, palette: &Palette) -> Vec<TypeView> {
    let all: usize = summary.data.types.iter().map(|(_, cells)| cells).sum();
    let view = |(name, cells): &(String, usize)| TypeView {
        number: palette.number(name),
        colour: css(palette.colour(name)),
        name: name.clone(),
        cells: format!("{} ({})", count(*cells), percent(*cells as f64 / all.max(1) as f64)),
    };
    summary.data.types.iter().map(view).collect()
}

fn embeddings(summary: &Summary, figures: &Figures<'_>, palette: &Palette) -> Option<Embeddings> {
    let file = figures.embeddings.as_ref()?.stem.clone();
    let panels = summary.embeddings.iter().filter_map(|embedding| {
        let (drawn, all) = (scatter::drawn(embedding).len(), embedding.points.len());
        let thinned = match drawn < all {
            true => format!("; {} of {} cells drawn", count(drawn), count(all)),
            false => String::new(),
        };
        Some(FigureView {
            svg: scatter::draw(embedding, palette, Look::Page)?,
            narrow: None,
            title: embedding.label.clone(),
            caption: format!("{}{thinned}", scatter::caption(embedding)),
            file: String::new(),
        })
    });
    let names = scatter::names(&summary.embeddings, palette);
    let legend = names.iter().map(|name| TypeView {
        number: palette.number(name),
        colour: css(palette.colour(name)),
        name: (*name).to_owned(),
        cells: String::new(),
    });
    Some(Embeddings { panels: panels.collect(), legend: legend.collect(), file })
}
