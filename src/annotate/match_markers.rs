//! Names without a language model: the known type whose markers a cluster shows.

use std::collections::{HashMap, HashSet};

use statrs::function::gamma::ln_gamma;

use super::ClusterMarkers;
use super::catalogue::{Catalogue, CellTypeMarkers};
use super::record::{ClusterAnnotation, UNKNOWN};

/// Genes that markers are taken to be found among where no cells say how many there are: those of a genome.
pub const GENES_OF_A_GENOME: usize = 20_000;
/// A type that shares so few markers is no answer.
const LEAST_SHARED: usize = 2;
/// A match this likely by chance, after correction for the number of types, is none.
const LARGEST_P: f64 = 0.01;
/// Types beside the best one that are named.
const ALTERNATIVES: usize = 3;
/// Added to the squared length of a type's list, so that lists of two or three genes do not win by shortness.
const SHORT_LIST: f64 = 60.0;

/// How well a type fits.
#[derive(Clone)]
struct Fit<'a> {
    known: &'a CellTypeMarkers,
    score: f64,
    shared: Vec<&'a str>,
    p: f64,
}

/// Name every cluster by the type of `catalogue` that its markers fit best.
///
/// A marker at rank `r` (from 0) weighs `1 / log2(r + 2)`, times `ln(1 + T / t)` where `t` of the `T` types have it:
/// what many types share tells little. A type's score is the sum over shared markers, divided by the root of the sum
/// of squares of its own genes' second factors, so that long lists gain nothing by length. Whether the number
/// shared could be chance is told by the hypergeometric distribution over `background` genes, times the number of
/// types; where it could, the cluster stays [`UNKNOWN`]. Confidence is the best score over the sum of the best and
/// the next.
pub fn match_markers(
    clusters: &[ClusterMarkers],
    catalogue: &Catalogue,
    background: usize,
) -> Vec<ClusterAnnotation> {
    let n_types = catalogue.types.len() as f64;
    let mut types_of: HashMap<&str, f64> = HashMap::new();
    for gene in catalogue.types.iter().flat_map(|one| &one.genes) {
        *types_of.entry(gene).or_default() += 1.0;
    }
    let telling = |gene: &str| types_of.get(gene).map_or(0.0, |t| (1.0 + n_types / t).ln());
    let lengths: Vec<f64> = catalogue
        .types
        .iter()
        .map(|one| one.genes.iter().map(|gene| telling(gene).powi(2)).sum::<f64>())
        .map(|squares| (squares + SHORT_LIST).sqrt())
        .collect();
    let background = background.max(types_of.len());
    let name = |cluster: &ClusterMarkers| {
        let shown = in_capitals(&cluster.genes);
        let known: HashSet<&str> = types_of.keys().copied().collect();
        let mut fits: Vec<Fit> = catalogue
            .types
            .iter()
            .zip(&lengths)
            .map(|(one, length)| {
                let own: HashSet<&str> = one.genes.iter().map(String::as_str).collect();
                let shared =
                    shown.iter().enumerate().filter(|(_, gene)| own.contains(gene.as_str()));
                let weight = |rank: usize, gene: &str| telling(gene) / (rank as f64 + 2.0).log2();
                let score =
                    shared.clone().map(|(rank, gene)| weight(rank, gene)).sum::<f64>() / length;
                let shared: Vec<&str> =
                    shared.filter_map(|(_, gene)| known.get(gene.as_str()).copied()).collect();
                let p = at_least(shared.len(), shown.len(), one.genes.len(), background) * n_types;
                Fit { known: one, score, shared, p: p.min(1.0) }
            })
            .filter(|fit| !fit.shared.is_empty())
            .collect();
        // At equal score the name decides, so that the order of the table does not.
        fits.sort_by(|a, b| {
            b.score.total_cmp(&a.score).then_with(|| a.known.name.cmp(&b.known.name))
        });
        annotation(cluster, &fits)
    };
    clusters.iter().map(name).collect()
}

/// Genes as tables of markers write them, each once.
pub(super) fn in_capitals(genes: &[String]) -> Vec<String> {
    let mut distinct: Vec<String> = Vec::new();
    for gene in genes.iter().map(|gene| gene.to_uppercase()) {
        if !distinct.contains(&gene) {
            distinct.push(gene);
        }
    }
    distinct
}

fn annotation(cluster: &ClusterMarkers, fits: &[Fit]) -> ClusterAnnotation {
    let unnamed = ClusterAnnotation {
        cluster: cluster.cluster.clone(),
        label: UNKNOWN.to_owned(),
        markers: cluster.genes.clone(),
        ..ClusterAnnotation::default()
    };
    let Some(best) = fits.first() else {
        return ClusterAnnotation {
            evidence: "no known type shares a marker".to_owned(),
            ..unnamed
        };
    };
    let words = |fit: &Fit| {
        let genes = fit.shared.join(", ");
        let p = if fit.p < 0.01 { format!("{:.1e}", fit.p) } else { format!("{:.2}", fit.p) };
        format!("{} of {} markers: {genes} (p {p})", fit.shared.len(), cluster.genes.len())
    };
    let names =
        |fits: &[Fit]| fits.iter().map(|fit| fit.known.name.clone()).take(ALTERNATIVES).collect();
    let known = fits.iter().position(|fit| fit.shared.len() >= LEAST_SHARED && fit.p <= LARGEST_P);
    match known {
        // What fits best by weight may share one marker alone; then the next that is no chance is meant.
        Some(at) => {
            let chosen = &fits[at];
            let next = fits.get(if at == 0 { 1 } else { 0 }).map_or(0.0, |fit| fit.score);
            let others = [&fits[..at], &fits[at + 1..]].concat();
            ClusterAnnotation {
                label: chosen.known.name.clone(),
                confidence: Some(chosen.score / (chosen.score + next)),
                evidence: words(chosen),
                alternatives: names(&others),
                ..unnamed
            }
        }
        None => ClusterAnnotation {
            evidence: format!("could be chance: {} shares {}", best.known.name, words(best)),
            alternatives: names(fits),
            ..unnamed
        },
    }
}

/// The chance that of `drawn` genes out of `all` at least `shared` are among `special`.
pub(super) fn at_least(shared: usize, drawn: usize, special: usize, all: usize) -> f64 {
    if shared == 0 {
        return 1.0;
    }
    let (drawn, special) = (drawn.min(all), special.min(all));
    let choose = |n: usize, k: usize| {
        ln_gamma(n as f64 + 1.0) - ln_gamma(k as f64 + 1.0) - ln_gamma((n - k) as f64 + 1.0)
    };
    let whole = choose(all, drawn);
    (shared..=drawn.min(special))
        .filter(|&count| drawn - count <= all - special)
        .map(|count| (choose(special, count) + choose(all - special, drawn - count) - whole).exp())
        .sum::<f64>()
        .min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> Catalogue {
        let one = |name: &str, genes: &[&str]| CellTypeMarkers {
            name: name.to_owned(),
            genes: genes.iter().map(|gene| (*gene).to_owned()).collect(),
        };
        let types = vec![
            one("B cell", &["CD74", "CD79A", "CD79B", "MS4A1"]),
            one("dendritic cell", &["CD74", "CST3", "FCER1A", "LYZ"]),
            one("monocyte", &["CD14", "CST3", "LYZ", "S100A8"]),
        ];
        Catalogue { types, notes: Vec::new() }
    }

    fn cluster(genes: &[&str]) -> ClusterMarkers {
        ClusterMarkers {
            cluster: "0".to_owned(),
            genes: genes.iter().map(|gene| (*gene).to_owned()).collect(),
        }
    }

    #[test]
    fn the_type_whose_markers_lead_is_named_whatever_the_case() {
        let clusters = [cluster(&["Cd79a", "Ms4a1", "Cd74"]), cluster(&["S100A8", "LYZ", "CST3"])];
        let named = match_markers(&clusters, &catalogue(), 20_000);
        assert_eq!((named[0].label.as_str(), named[1].label.as_str()), ("B cell", "monocyte"));
        assert!(named[0].evidence.contains("CD79A, MS4A1, CD74"), "{}", named[0].evidence);
        assert_eq!(named[1].alternatives, ["dendritic cell"]);
        assert!(named[1].confidence.unwrap() > 0.5);
    }

    #[test]
    fn what_could_be_chance_is_unknown() {
        for genes in [vec!["XIST", "MALAT1"], vec!["CD74"], vec![]] {
            let named = match_markers(&[cluster(&genes)], &catalogue(), 20_000);
            assert_eq!(
                (named[0].label.as_str(), named[0].confidence),
                (UNKNOWN, None),
                "{genes:?}"
            );
            assert!(!named[0].evidence.is_empty());
        }
    }

    #[test]
    fn chance_is_that_of_the_hypergeometric_distribution() {
        // scipy.stats.hypergeom.sf(shared - 1, all, special, drawn), in whole numbers
        for (shared, drawn, special, all, expected) in [
            (3, 10, 50, 20_000, 1.742614569294619e-06),
            (1, 10, 50, 20_000, 0.02472611824605976),
            (0, 10, 50, 20_000, 1.0),
            (10, 10, 10, 20, 5.412544112234515e-06),
        ] {
            let found = at_least(shared, drawn, special, all);
            assert!((found / expected - 1.0).abs() < 1e-9, "{shared}: {found:e}");
        }
    }
}
