//! UMAP's optimiser: stochastic gradient descent over the edges of a graph, with negative samples.

use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use screader_kernels::host::{LANES, powers};

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

    /// Pull the two ends together and push the first from random points, as umap-learn does but that all start from one
    /// place: the processor takes them side by side, and none waits for another.
    fn draw<const D: usize>(
        &self,
        edge: &mut Edge,
        epoch: f64,
        step: f32,
        points: &mut [[f32; D]],
        random: &mut ChaCha8Rng,
    ) {
        let (head, tail) = (edge.head as usize, edge.tail as usize);
        let negative_period = edge.period / self.negative_sample_rate as f64;
        let mut negatives = ((epoch - edge.next_negative) / negative_period) as usize;
        edge.next += edge.period;
        edge.next_negative += negatives as f64 * negative_period;
        let here = points[head];
        let mut moved = here;
        // The tail, and as many random points as there is room for; more in further rounds. Places that stay free
        // hold the head, which nothing pushes from itself.
        let mut others = [tail; LANES];
        let mut has_tail = true;
        loop {
            for other in &mut others[usize::from(has_tail)..] {
                *other = head;
                if negatives > 0 {
                    negatives -= 1;
                    *other = ((u64::from(random.next_u32()) * points.len() as u64) >> 32) as usize;
                }
            }
            let there: [[f32; D]; LANES] = others.map(|other| points[other]);
            let squared = there.map(|there| squared_distance(&here, &there));
            let mut power = squared;
            powers(&mut power, self.curve.b);
            let mut force = self.pushes(&squared, &power);
            if has_tail {
                force[0] = self.pull(squared[0], power[0]);
            }
            for (lane, there) in there.iter().enumerate() {
                for axis in 0..D {
                    let along = (force[lane] * (here[axis] - there[axis])).clamp(-LONGEST, LONGEST);
                    moved[axis] += along * step;
                    if has_tail && lane == 0 {
                        points[tail][axis] -= along * step;
                    }
                }
            }
            if negatives == 0 {
                break;
            }
            has_tail = false;
        }
        points[head] = moved;
    }

    /// How much of its way to the other end a point goes, by the squared distance and its `b`-th power.
    fn pull(&self, squared: f32, power: f32) -> f32 {
        let Curve { a, b } = self.curve;
        if squared > 0.0 { -2.0 * a * b * power / (squared * (a * power + 1.0)) } else { 0.0 }
    }

    /// How much of the way from each of several others it is pushed on.
    fn pushes(&self, squared: &[f32; LANES], power: &[f32; LANES]) -> [f32; LANES] {
        let push = 2.0 * self.repulsion_strength * self.curve.b;
        std::array::from_fn(|lane| {
            push / ((NEARNESS + squared[lane]) * (self.curve.a * power[lane] + 1.0))
        })
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
