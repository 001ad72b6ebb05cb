//! UMAP's optimiser: stochastic gradient descent over the edges of a graph, with negative samples.

use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::cells::CsrMatrix;

/// No step along one axis is longer than this times the step length; umap-learn's number.
const LONGEST: f32 = 4.0;
/// Keeps the push between points that nearly coincide finite; umap-learn's number.
const NEARNESS: f32 = 0.001;
/// Side of the box that the first layout is scaled to.
const SIDE: f32 = 10.0;

/// How strongly two points of the layout are held for connected: `1 / (1 + a d^(2b))`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Curve {
    pub(super) a: f32,
    pub(super) b: f32,
}

/// How a layout is improved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) curve: Curve,
    pub(super) n_epochs: usize,
    pub(super) negative_sample_rate: usize,
    pub(super) learning_rate: f32,
    pub(super) repulsion_strength: f32,
    pub(super) seed: u64,
}

/// An edge, and when it is drawn next. Each edge of the symmetric graph is there from both ends.
struct Edge {
    head: u32,
    tail: u32,
    /// Epochs from one draw to the next.
    period: f64,
    next: f64,
    next_negative: f64,
}

impl Layout {
    /// Improve the layout `first` `[cells, D]` of `graph`; returns `[cells, D]`.
    pub(super) fn improve<const D: usize>(&self, graph: &CsrMatrix, first: &[f64]) -> Vec<f32> {
        let mut points = in_box::<D>(first);
        let mut edges = self.edges(graph);
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        // The first stream placed the points.
        random.set_stream(1);
        for epoch in 0..self.n_epochs {
            let step = self.learning_rate * (1.0 - epoch as f32 / self.n_epochs as f32);
            for edge in &mut edges {
                if edge.next <= epoch as f64 {
                    self.draw(edge, epoch as f64, step, &mut points, &mut random);
                }
            }
        }
        points.into_flattened()
    }

    fn edges(&self, graph: &CsrMatrix) -> Vec<Edge> {
        let largest = graph.data.iter().copied().fold(0f32, f32::max);
        let of_row = |row: usize| {
            let (columns, weights) = graph.row(row);
            columns.iter().zip(weights).map(move |(&column, &weight)| {
                let period = f64::from(largest) / f64::from(weight);
                Edge {
                    head: row as u32,
                    tail: column,
                    period,
                    next: period,
                    next_negative: period / self.negative_sample_rate as f64,
                }
            })
        };
        (0..graph.n_rows).flat_map(of_row).collect()
    }

    /// Pull the two ends together and push the first from random points, as umap-learn does but that all pushes of an
    /// edge start from one place: the processor need not wait for one to begin the next.
    fn draw<const D: usize>(
        &self,
        edge: &mut Edge,
        epoch: f64,
        step: f32,
        points: &mut [[f32; D]],
        random: &mut ChaCha8Rng,
    ) {
        let Curve { a, b } = self.curve;
        let (head, tail) = (edge.head as usize, edge.tail as usize);
        let (mut here, mut there) = (points[head], points[tail]);
        let squared = squared_distance(&here, &there);
        if squared > 0.0 {
            let power = squared.powf(b);
            let pull = -2.0 * a * b * power / (squared * (a * power + 1.0));
            for axis in 0..D {
                let along = (pull * (here[axis] - there[axis])).clamp(-LONGEST, LONGEST) * step;
                here[axis] += along;
                there[axis] -= along;
            }
            points[tail] = there;
        }
        edge.next += edge.period;
        let negative_period = edge.period / self.negative_sample_rate as f64;
        let negatives = ((epoch - edge.next_negative) / negative_period) as usize;
        let mut moved = here;
        for _ in 0..negatives {
            let other = (u64::from(random.next_u32()) * points.len() as u64) >> 32;
            let other = other as usize;
            // The point itself is where it was before this edge was drawn.
            let there = if other == head { here } else { points[other] };
            let squared = squared_distance(&here, &there);
            if squared > 0.0 {
                let power = squared.powf(b);
                let push = 2.0 * self.repulsion_strength * b;
                let push = push / ((NEARNESS + squared) * (a * power + 1.0));
                for axis in 0..D {
                    let along = (push * (here[axis] - there[axis])).clamp(-LONGEST, LONGEST);
                    moved[axis] += along * step;
                }
            }
        }
        edge.next_negative += negatives as f64 * negative_period;
        points[head] = moved;
    }
}

/// The layout with each axis stretched from 0 to [`SIDE`]; an axis without extent becomes 0.
fn in_box<const D: usize>(layout: &[f64]) -> Vec<[f32; D]> {
    let mut points: Vec<[f32; D]> = vec![[0.0; D]; layout.len() / D];
    for axis in 0..D {
        let along = || layout.iter().skip(axis).step_by(D);
        let low = along().copied().fold(f64::INFINITY, f64::min);
        let extent = along().copied().fold(f64::NEG_INFINITY, f64::max) - low;
        for (point, value) in points.iter_mut().zip(along()) {
            if extent > 0.0 {
                point[axis] = SIDE * ((value - low) / extent) as f32;
            }
        }
    }
    points
}

fn squared_distance<const D: usize>(a: &[f32; D], b: &[f32; D]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// A number from -1 to 1.
pub(super) fn signed_unit(random: &mut ChaCha8Rng) -> f64 {
    2.0 * random.random::<f64>() - 1.0
}
