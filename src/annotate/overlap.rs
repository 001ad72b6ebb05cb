//! Whether the markers of a cluster are those of the type that it is named.

use std::collections::HashSet;

use super::catalogue::{Catalogue, CellTypeMarkers};
use super::match_markers::{at_least, in_capitals};
use super::normal_form;
use super::record::ClusterAnnotation;
use crate::ontology::CellOntology;
use crate::prep::benjamini_hochberg;

/// The markers of a cluster beside the known ones of its label.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct MarkerOverlap {
    /// The cluster.
    pub cluster: String,
    /// Its label.
    pub label: String,
    /// The type of the table that the label means; `None` where the table has none.
    pub known_type: Option<String>,
    /// Markers of the cluster.
    pub markers: usize,
    /// Markers that the table has of the type.
    pub known_markers: usize,
    /// Markers that both have, in the cluster's order.
    pub shared: Vec<String>,
    /// What both have as a part of what either has (Jaccard).
    pub jaccard: f64,
    /// The chance that as many markers drawn from all genes would be known ones (hypergeometric); 1 without a type.
    pub p: f64,
    /// The same, adjusted for the clusters whose label has a type (Benjamini and Hochberg 1995).
    pub p_adjusted: f64,
}

/// Compare the first `n_markers` markers of each cluster with the known ones of its label, among `genes` genes, or as
/// many as the table has if these are more.
///
/// A label means the type of the table with its words, but for case, plural and punctuation; else the one that the
/// ontology knows as the same type.
pub fn marker_overlap(
    clusters: &[ClusterAnnotation],
    catalogue: &Catalogue,
    ontology: Option<&CellOntology>,
    n_markers: usize,
    genes: usize,
) -> Vec<MarkerOverlap> {
    let known: HashSet<&String> = catalogue.types.iter().flat_map(|one| &one.genes).collect();
    let genes = genes.max(known.len());
    let mut overlaps: Vec<MarkerOverlap> = clusters
        .iter()
        .map(|one| overlap(one, find(&one.label, catalogue, ontology), n_markers, genes))
        .collect();
    let compared = |one: &&mut MarkerOverlap| one.known_type.is_some();
    let pvals: Vec<f64> = overlaps.iter_mut().filter(compared).map(|one| one.p).collect();
    let adjusted = benjamini_hochberg(&pvals);
    for (one, p) in overlaps.iter_mut().filter(compared).zip(adjusted) {
        one.p_adjusted = p;
    }
    overlaps
}

fn find<'a>(
    label: &str,
    catalogue: &'a Catalogue,
    ontology: Option<&CellOntology>,
) -> Option<&'a CellTypeMarkers> {
    let form = normal_form(label);
    let by_words = catalogue.types.iter().find(|one| normal_form(&one.name) == form);
    by_words.or_else(|| {
        let id = ontology?.find(label)?.id;
        let same = |one: &&CellTypeMarkers| {
            ontology.and_then(|all| all.find(&one.name)).is_some_and(|found| found.id == id)
        };
        catalogue.types.iter().find(same)
    })
}

fn overlap(
    cluster: &ClusterAnnotation,
    known: Option<&CellTypeMarkers>,
    n_markers: usize,
    genes: usize,
) -> MarkerOverlap {
    let markers = in_capitals(&cluster.markers[..n_markers.min(cluster.markers.len())]);
    let of_type = known.map_or(&[][..], |one| &one.genes);
    let is_shared = |gene: &&String| of_type.binary_search(gene).is_ok();
    let shared: Vec<String> = markers.iter().filter(is_shared).cloned().collect();
    let either = markers.len() + of_type.len() - shared.len();
    let p = known.map_or(1.0, |_| at_least(shared.len(), markers.len(), of_type.len(), genes));
    MarkerOverlap {
        cluster: cluster.cluster.clone(),
        label: cluster.label.clone(),
        known_type: known.map(|one| one.name.clone()),
        markers: markers.len(),
        known_markers: of_type.len(),
        jaccard: shared.len() as f64 / either.max(1) as f64,
        shared,
        p,
        p_adjusted: p,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_of_the_label_are_counted_and_chance_is_told() {
        let one = |name: &str, genes: &[&str]| CellTypeMarkers {
            name: name.to_owned(),
            genes: genes.iter().map(|gene| (*gene).to_owned()).collect(),
        };
        let types = vec![one("B cells", &["CD79A", "CD79B", "MS4A1"]), one("Monocyte", &["LYZ"])];
        let catalogue = Catalogue { types, notes: Vec::new() };
        let cluster = |label: &str, genes: &[&str]| ClusterAnnotation {
            label: label.to_owned(),
            markers: genes.iter().map(|gene| (*gene).to_owned()).collect(),
            ..ClusterAnnotation::default()
        };
        let clusters = [
            cluster("b cell", &["Cd79a", "MS4A1", "XIST", "CD79A", "LYZ"]),
            cluster("monocyte", &["XIST"]),
            cluster("unknown", &["LYZ"]),
        ];
        let found = marker_overlap(&clusters, &catalogue, None, 4, 20_000);
        assert_eq!(found[0].known_type.as_deref(), Some("B cells"));
        assert_eq!((found[0].shared.join(" ").as_str(), found[0].markers), ("CD79A MS4A1", 3));
        assert_eq!(found[0].jaccard, 0.5);
        // scipy.stats.hypergeom.sf(1, 20000, 3, 3)
        assert!((found[0].p / 4.500074988747938e-8 - 1.0).abs() < 1e-9, "{:e}", found[0].p);
        assert_eq!(found[0].p_adjusted, 2.0 * found[0].p);
        assert_eq!((found[1].shared.len(), found[1].p), (0, 1.0));
        assert_eq!((found[2].known_type.as_deref(), found[2].p), (None, 1.0));
    }
}
