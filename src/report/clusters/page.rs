//! The page of named clusters.

use std::path::Path;

use askama::Template;

use super::{ClusterReport, Drawing, NamedCluster};
use crate::report::numbers::{NONE, count, percent};
use crate::report::page::{TypeView, css};
use crate::report::palette::Palette;
use crate::report::section::FigureView;
use crate::{Error, Result};

/// Where the Cell Ontology's pages of a type are.
const ONTOLOGY: &str = "http://purl.obolibrary.org/obo/";

/// A cluster as the page shows it.
struct ClusterView {
    number: usize,
    cluster: String,
    colour: String,
    label: String,
    cells: String,
    ontology_id: String,
    ontology_link: String,
    confidence: String,
    evidence: String,
    alternatives: String,
    markers: Vec<String>,
    sources: Vec<(String, String)>,
    prompt: String,
    answers: Vec<String>,
}

#[derive(Template)]
#[template(path = "clusters.html")]
struct Page {
    title: String,
    answer: String,
    facts: Vec<(String, String)>,
    maps: Vec<FigureView>,
    legend: Vec<TypeView>,
    numbered: bool,
    markers: Vec<FigureView>,
    quality: Vec<FigureView>,
    clusters: Vec<ClusterView>,
    notes: Vec<String>,
    version: &'static str,
}

/// Lay out the page; `path` names it in errors.
///
/// # Errors
/// [`Error::Io`] if the template fails.
pub(super) fn html(
    report: &ClusterReport,
    drawings: Vec<Drawing>,
    palettes: &[Palette; 2],
    path: &Path,
) -> Result<String> {
    let (mut maps, mut quality, mut markers) = (Vec::new(), Vec::new(), Vec::new());
    for drawing in drawings {
        let place = match drawing.stem.split('-').next() {
            Some("map") => &mut maps,
            Some("quality") => &mut quality,
            _ => &mut markers,
        };
        let [svg, _] = drawing.svg;
        let (caption, file) = (drawing.caption, drawing.stem);
        place.push(FigureView { svg, narrow: None, title: String::new(), caption, file });
    }
    let all: Option<usize> = report.clusters.iter().map(|one| one.cells).sum();
    let view = |(at, one): (usize, &NamedCluster)| cluster(at, one, all, palettes);
    let page = Page {
        title: report.title.clone(),
        answer: answer(report, all),
        facts: report.facts.clone(),
        legend: if maps.is_empty() { Vec::new() } else { legend(report, all, &palettes[0]) },
        numbered: palettes[0].is_numbered(),
        maps,
        markers,
        quality,
        clusters: report.clusters.iter().enumerate().map(view).collect(),
        notes: report.notes.clone(),
        version: env!("CARGO_PKG_VERSION"),
    };
    page.render().map_err(|error| Error::io(path, "write")(std::io::Error::other(error)))
}

/// The page in one sentence.
fn answer(report: &ClusterReport, all: Option<usize>) -> String {
    let unknown = report.clusters.iter().filter(|one| one.label == "unknown").count();
    let types = report.labels().iter().filter(|label| *label != "unknown").count();
    let cells = all.map(|all| format!(" of {} cells", count(all))).unwrap_or_default();
    let clusters = report.clusters.len();
    let plural = |number: usize| if number == 1 { "" } else { "s" };
    let called = clusters - unknown;
    let mut text = format!(
        "{clusters} cluster{}{cells}: {called} called by {types} cell type{}",
        plural(clusters),
        plural(types)
    );
    text.push_str(&match unknown {
        0 => ".".to_owned(),
        unknown => format!(", {unknown} left unknown."),
    });
    text
}

fn legend(report: &ClusterReport, all: Option<usize>, palette: &Palette) -> Vec<TypeView> {
    let view = |name: String| {
        let of_label = report.clusters.iter().filter(|one| one.label == name);
        let cells: Option<usize> = of_label.map(|one| one.cells).sum();
        TypeView {
            number: palette.number(&name),
            colour: css(palette.colour(&name)),
            cells: part(cells, all),
            name,
        }
    };
    report.labels().into_iter().map(view).collect()
}

/// Cells and their part of all, in words.
fn part(cells: Option<usize>, all: Option<usize>) -> String {
    match (cells, all) {
        (Some(cells), Some(all)) => {
            format!("{} ({})", count(cells), percent(cells as f64 / all.max(1) as f64))
        }
        _ => String::new(),
    }
}

fn cluster(
    at: usize,
    one: &NamedCluster,
    all: Option<usize>,
    palettes: &[Palette; 2],
) -> ClusterView {
    let id = one.ontology_id.clone().unwrap_or_default();
    let web = |address: &str| address.starts_with("https://") || address.starts_with("http://");
    ClusterView {
        number: at + 1,
        cluster: one.cluster.clone(),
        colour: css(palettes[0].colour(&one.label)),
        label: one.label.clone(),
        cells: part(one.cells, all),
        // What is no id leads nowhere.
        ontology_link: match is_ontology_id(&id) {
            true => format!("{ONTOLOGY}{}", id.replace(':', "_")),
            false => String::new(),
        },
        ontology_id: id,
        confidence: one.confidence.map_or(NONE.to_owned(), |value| format!("{value:.2}")),
        evidence: one.evidence.clone(),
        alternatives: one.alternatives.join(", "),
        markers: one.markers.clone(),
        // An address that a browser would run is no page.
        sources: one.sources.iter().filter(|(_, address)| web(address)).cloned().collect(),
        prompt: one.prompt.clone(),
        answers: one.answers.clone(),
    }
}

fn is_ontology_id(id: &str) -> bool {
    id.strip_prefix("CL:").is_some_and(|digits| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> ClusterReport {
        let cluster = |cluster: &str, label: &str| NamedCluster {
            cluster: cluster.to_owned(),
            label: label.to_owned(),
            cells: Some(30),
            ontology_id: Some("CL:0000236".to_owned()),
            confidence: Some(0.9),
            markers: vec!["MS4A1".to_owned()],
            ..NamedCluster::default()
        };
        let clusters = vec![cluster("0", "B cell"), cluster("1", "unknown")];
        ClusterReport { title: "cells".to_owned(), clusters, ..ClusterReport::default() }
    }

    fn page(report: &ClusterReport) -> String {
        let palettes = [Palette::of_names(["B cell", "unknown"]), Palette::of_names(["0", "1"])];
        html(report, Vec::new(), &palettes, Path::new("report.html")).unwrap()
    }

    #[test]
    fn the_first_sentence_counts_what_was_called_and_what_was_not() {
        let page = page(&report());
        assert!(page.contains("2 clusters of 60 cells: 1 called by 1 cell type, 1 left unknown."));
        assert!(page.contains("obo/CL_0000236"));
    }

    #[test]
    fn what_others_wrote_is_shown_and_never_run() {
        let mut report = report();
        report.clusters[0].label = "<script>alert(1)</script>".to_owned();
        report.clusters[0].evidence = "<img src=x onerror=alert(1)>".to_owned();
        report.clusters[0].ontology_id = Some("CL:1\" onclick=\"x".to_owned());
        let page_of = |address: &str| ("a page".to_owned(), address.to_owned());
        report.clusters[0].sources =
            vec![page_of("javascript:alert(1)"), page_of("https://example.org/a\"b")];
        let page = page(&report);
        assert!(
            !page.contains("<script") && !page.contains("<img") && !page.contains("javascript:")
        );
        assert!(!page.contains("onclick=\""), "no attribute ends early");
        assert!(page.contains("https://example.org/a"), "a page of the web may be opened");
    }
}
