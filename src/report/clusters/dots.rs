//! The dot plot of markers: how many cells of a cluster express a gene, and how much.

use serde::{Deserialize, Serialize};

use crate::cells::CsrMatrix;
use crate::report::lettering::{shorten, width};
use crate::report::numbers::percent;
use crate::report::svg::{Anchor, Ink, Look, Svg, Type, words};

/// Expression of markers by cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DotPlot {
    /// Genes, in the order of the clusters they mark.
    pub genes: Vec<String>,
    /// Clusters.
    pub clusters: Vec<String>,
    /// Part of the cells that express a gene, `[clusters, genes]`.
    pub fractions: Vec<f32>,
    /// Mean of the log-normalised expression, `[clusters, genes]`.
    pub means: Vec<f32>,
}

impl DotPlot {
    /// Measure the log1p-normalised expression of `genes`, `[cells, genes]`, in cells of the clusters `cluster_of`, by
    /// their place in `clusters`.
    pub fn measure(
        expression: &CsrMatrix,
        genes: Vec<String>,
        cluster_of: &[Option<usize>],
        clusters: &[String],
    ) -> Self {
        let size = clusters.len() * genes.len();
        let (mut expressed, mut sums) = (vec![0u32; size], vec![0f64; size]);
        let mut cells = vec![0u32; clusters.len()];
        for (cell, &cluster) in cluster_of.iter().enumerate() {
            let Some(cluster) = cluster else { continue };
            cells[cluster] += 1;
            let (columns, values) = expression.row(cell);
            for (&gene, &value) in columns.iter().zip(values).filter(|(_, value)| **value > 0.0) {
                expressed[cluster * genes.len() + gene as usize] += 1;
                sums[cluster * genes.len() + gene as usize] += f64::from(value);
            }
        }
        let cells_of = |at: usize| f64::from(cells[at / genes.len().max(1)].max(1));
        let fraction = |(at, &count): (usize, &u32)| (f64::from(count) / cells_of(at)) as f32;
        let mean = |(at, &sum): (usize, &f64)| (sum / cells_of(at)) as f32;
        let fractions = expressed.iter().enumerate().map(fraction).collect();
        let means = sums.iter().enumerate().map(mean).collect();
        Self { genes, clusters: clusters.to_vec(), fractions, means }
    }
}

const SIZE: f64 = 11.0;
const STEP: f64 = 20.0;
const LABELS: f64 = 190.0;

/// Draw it: a row a cluster, named by `names`, a column a gene; nothing where there is neither.
pub(super) fn draw(plot: &DotPlot, names: &[String], look: Look) -> Option<String> {
    let (rows, columns) = (plot.clusters.len(), plot.genes.len());
    if rows == 0 || columns == 0 {
        return None;
    }
    let name = |row: usize| shorten(names.get(row).unwrap_or(&plot.clusters[row]), SIZE, LABELS);
    let left = (0..rows).map(|row| width(&name(row), SIZE)).fold(30.0, f64::max) + 14.0;
    let up =
        plot.genes.iter().map(|gene| width(&shorten(gene, SIZE, 90.0), SIZE)).fold(20.0, f64::max);
    let (top, right) = (up + 14.0, left + STEP * columns as f64);
    let title = "Markers by cluster: the area of a dot is the part of the cells that express the gene, its \
                 shade the mean, relative to the gene's highest";
    let mut svg = Svg::new(right + 12.0, top + STEP * rows as f64 + 8.0, title, look);
    for (column, gene) in plot.genes.iter().enumerate() {
        let x = left + STEP * (column as f64 + 0.5);
        svg.line([x, top], [x, top + STEP * rows as f64], Ink::Rule, 0.5);
        let how = Type { turn: -90.0, ..words(SIZE) };
        svg.text([x + 4.0, top - 6.0], &shorten(gene, SIZE, 90.0), how);
    }
    for row in 0..rows {
        let y = top + STEP * (row as f64 + 0.5);
        let how = Type { anchor: Anchor::End, ..words(SIZE) };
        svg.text([left - 8.0, y + 4.0], &name(row), how);
        svg.line([left, y], [right, y], Ink::Rule, 0.5);
    }
    for column in 0..columns {
        let of = |row: usize| row * columns + column;
        let highest = (0..rows).map(|row| plot.means[of(row)]).fold(0f32, f32::max);
        for row in 0..rows {
            let (fraction, mean) = (f64::from(plot.fractions[of(row)]), plot.means[of(row)]);
            let side = STEP * 0.86 * fraction.sqrt();
            if side < 0.8 {
                continue;
            }
            let middle = [left + STEP * (column as f64 + 0.5), top + STEP * (row as f64 + 0.5)];
            let shade = if highest > 0.0 { f64::from(mean / highest) } else { 0.0 };
            let tip = format!(
                "{} in {}: {} of its cells, mean {mean:.2}",
                plot.genes[column],
                name(row),
                percent(fraction)
            );
            svg.disc(middle, side / 2.0, Ink::Heat, 0.12 + 0.88 * shade, &tip);
        }
    }
    Some(svg.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_and_means_are_those_of_the_clusters() {
        let expression = CsrMatrix {
            n_rows: 4,
            n_cols: 2,
            indptr: vec![0, 1, 2, 3, 5],
            indices: vec![0, 0, 1, 0, 1],
            data: vec![2.0, 4.0, 3.0, 5.0, 9.0],
        };
        let clusters = ["a".to_owned(), "b".to_owned()];
        let genes = vec!["G2".to_owned(), "G1".to_owned()];
        let cluster_of = [Some(0), Some(0), Some(1), None];
        let plot = DotPlot::measure(&expression, genes, &cluster_of, &clusters);
        assert_eq!(plot.fractions, [1.0, 0.0, 0.0, 1.0]);
        assert_eq!(plot.means, [3.0, 0.0, 0.0, 3.0]);
        let svg = draw(&plot, &clusters, Look::Page).unwrap();
        assert_eq!(svg.matches("<circle").count(), 2, "what no cell expresses has no dot");
        assert!(svg.contains("G2 in a: 100"), "{svg}");
    }

    #[test]
    fn nothing_to_show_is_nothing() {
        let none = DotPlot { genes: vec![], clusters: vec![], fractions: vec![], means: vec![] };
        assert!(draw(&none, &[], Look::Page).is_none());
    }
}
