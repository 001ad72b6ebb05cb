//! The first stage: markers of clusters beside the known ones of their labels.

use std::path::Path;

use super::EvaluateArgs;
use super::compare::write_table;
use crate::annotate::{ANNOTATIONS, Catalogue, MarkerOverlap, marker_overlap, read_annotations};
use crate::ontology::CellOntology;
use crate::{Error, Result};

/// A cluster's markers are its label's where chance so seldom does the same.
const SIGNIFICANT: f64 = 0.05;

impl EvaluateArgs {
    /// Compare the clusters of a folder of `screader annotate`, and print or write a line for each.
    pub(super) fn compare_markers(&self, ontology: Option<&CellOntology>) -> Result<()> {
        let annotations = read_annotations(self.folder()?)?;
        let catalogue = Catalogue::read(&self.marker_table, self.species, &annotations.tissue)?;
        catalogue.notes.iter().for_each(|note| eprintln!("note: {note}"));
        let found =
            marker_overlap(&annotations.clusters, &catalogue, ontology, self.n_markers, self.genes);
        if let Some(out) = &self.out {
            write_table(out, &rows(&found))?;
        }
        match self.json {
            true => println!("{:#}", serde_json::json!(found)),
            false => print!("{}", as_text(&found)),
        }
        let known = found.iter().filter(|one| one.known_type.is_some()).count();
        let likely = found.iter().filter(|one| one.p_adjusted < SIGNIFICANT).count();
        eprintln!(
            "{known} of {} labels are in the table; {likely} share more markers with it than chance would (adjusted p < {SIGNIFICANT})",
            found.len()
        );
        Ok(())
    }

    /// The folder that was named, or that its annotations.json is in.
    fn folder(&self) -> Result<&Path> {
        let [path] = self.data.as_slice() else {
            return Err(Error::input(
                "evaluate --marker-table",
                "one folder of `screader annotate`",
                self.data.len(),
                "compare one after the other",
            ));
        };
        match path.parent() {
            Some(folder) if path.ends_with(ANNOTATIONS) => Ok(folder),
            _ => Ok(path),
        }
    }
}

fn rows(found: &[MarkerOverlap]) -> Vec<Vec<String>> {
    let header = [
        "cluster",
        "label",
        "known_type",
        "markers",
        "known_markers",
        "shared",
        "jaccard",
        "p",
        "p_adjusted",
        "genes",
    ];
    let row = |one: &MarkerOverlap| {
        vec![
            one.cluster.clone(),
            one.label.clone(),
            one.known_type.clone().unwrap_or_default(),
            one.markers.to_string(),
            one.known_markers.to_string(),
            one.shared.len().to_string(),
            format!("{:.4}", one.jaccard),
            format!("{:.4e}", one.p),
            format!("{:.4e}", one.p_adjusted),
            one.shared.join(" "),
        ]
    };
    let header = header.map(str::to_owned).to_vec();
    [vec![header], found.iter().map(row).collect()].concat()
}

fn as_text(found: &[MarkerOverlap]) -> String {
    let widest = |of: fn(&MarkerOverlap) -> &str| {
        found.iter().map(|one| of(one).chars().count()).max().unwrap_or(0)
    };
    let (cluster, label) = (widest(|one| &one.cluster), widest(|one| &one.label));
    let line = |one: &MarkerOverlap| {
        let start = format!("{:cluster$}  {:label$}", one.cluster, one.label);
        match &one.known_type {
            None => format!("{start}  not in the table\n"),
            Some(_) => format!(
                "{start}  {:>3} of {:<3}  jaccard {:.3}  p {:<8}  {}\n",
                one.shared.len(),
                one.markers,
                one.jaccard,
                format!("{:.1e}", one.p_adjusted),
                one.shared.join(" ")
            ),
        }
    };
    found.iter().map(line).collect()
}
