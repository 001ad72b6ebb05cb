//! Exact nearest neighbours: each query beside every point, a block of both at a time.

use rayon::prelude::*;
use screader_kernels::host::row_products;
use serde::{Deserialize, Serialize};

use crate::cells::Dense;
use crate::{Error, Result};

/// Queries of one task, and points that they meet at a time: a block of products fits a core's cache.
const QUERIES: usize = 128;
const POINTS: usize = 1024;

/// Points that are ruled out together.
const LANES: usize = 16;

/// How far two vectors are from one another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Length of the difference.
    #[default]
    Euclidean,
    /// `1 − cos` of the angle; the zero vector is at distance 1 from everything.
    Cosine,
}

/// The nearest points of each query.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Nearest {
    /// Points per query.
    pub k: usize,
    /// Rows of the points, `[queries, k]`, nearest first.
    pub indices: Vec<u32>,
    /// Their distances, `[queries, k]`.
    pub distances: Vec<f32>,
}

impl Nearest {
    /// Join the distances and points of each query.
    pub(super) fn from_rows(k: usize, rows: &[Vec<(f32, u32)>]) -> Self {
        let indices = rows.iter().flatten().map(|one| one.1).collect();
        let distances = rows.iter().flatten().map(|one| one.0).collect();
        Self { k, indices, distances }
    }

    /// Points and distances of one query, nearest first.
    pub fn of(&self, query: usize) -> (&[u32], &[f32]) {
        let span = query * self.k..(query + 1) * self.k;
        (&self.indices[span.clone()], &self.distances[span])
    }
}

/// Find the `k` nearest of `points`, `[points, dim]`, to each of `queries`, `[queries, dim]`.
///
/// The search is exact: distances are summed in double precision and rounded to single, points at equal
/// distance come in their order, and neither the number of threads nor the kind of processor changes a
/// byte. A query that is one of the points finds itself.
///
/// # Errors
/// [`Error::Input`] if the dimensions differ or are 0, a value is not finite, or `k` is 0 or more than
/// there are points.
pub fn nearest(points: &Dense, queries: &Dense, k: usize, metric: Metric) -> Result<Nearest> {
    check(points, queries, k)?;
    let centre = Centre::of(points, metric);
    let (near_points, near_queries) = (centre.view(points), centre.view(queries));
    let width = queries.n_cols;
    let tasks = queries.values.par_chunks(QUERIES * width).enumerate();
    let found: Vec<Vec<(f32, u32)>> = tasks
        .flat_map_iter(|(task, rows)| {
            let first = task * QUERIES;
            let mut best: Vec<Best> =
                rows.chunks_exact(width).map(|row| Best::new(row, k, metric)).collect();
            search(&mut best, first, &near_queries, &near_points, points, metric);
            best.into_iter().map(|best| best.found)
        })
        .collect();
    Ok(Nearest::from_rows(k, &found))
}

/// Offer every point to the queries from `first` on. Products in single precision, which are fast, tell
/// which points cannot be near enough; the others are measured.
fn search(
    best: &mut [Best],
    first: usize,
    queries: &View,
    points: &View,
    originals: &Dense,
    metric: Metric,
) {
    let width = originals.n_cols;
    let rows = &queries.values[first * width..][..best.len() * width];
    let mut products = vec![0f32; best.len() * POINTS.min(originals.n_rows)];
    for (block, block_points) in points.values.chunks(POINTS * width).enumerate() {
        let (start, count) = (block * POINTS, block_points.len() / width);
        let products = &mut products[..best.len() * count];
        row_products(products, rows, block_points, width);
        let least = &points.least[start..][..count];
        for ((query, best), products) in best.iter_mut().enumerate().zip(products.chunks(count)) {
            for (at, (products, least)) in
                products.chunks(LANES).zip(least.chunks(LANES)).enumerate()
            {
                // NaN, which stands for a zero vector's angle, is not above the limit.
                let (own, limit) = (queries.least[first + query], best.limit);
                let far = |(product, least): (&f32, &f32)| least + own - 2.0 * product > limit;
                let count: u32 = products.iter().zip(least).map(|pair| u32::from(far(pair))).sum();
                if count as usize == products.len() {
                    continue;
                }
                for (place, pair) in products.iter().zip(least).enumerate() {
                    if !far(pair) {
                        let point = start + at * LANES + place;
                        best.offer(point, &originals.values[point * width..][..width], metric);
                    }
                }
            }
        }
    }
}

/// The nearest points that one query has met.
pub(super) struct Best<'a> {
    query: &'a [f32],
    query_length: f64,
    k: usize,
    /// Rising by distance, then by row.
    pub(super) found: Vec<(f32, u32)>,
    /// A squared distance above which a point cannot be among the nearest.
    limit: f32,
}

impl<'a> Best<'a> {
    pub(super) fn new(query: &'a [f32], k: usize, metric: Metric) -> Self {
        let query_length = if metric == Metric::Cosine { length(query) } else { 0.0 };
        Self { query, query_length, k, found: Vec::with_capacity(k + 1), limit: f32::INFINITY }
    }

    pub(super) fn offer(&mut self, point: usize, vector: &[f32], metric: Metric) {
        let distance = match metric {
            Metric::Euclidean => squared_difference(self.query, vector).sqrt(),
            Metric::Cosine => {
                let lengths = self.query_length * length(vector);
                if lengths == 0.0 { 1.0 } else { 1.0 - inner(self.query, vector) / lengths }
            }
        };
        // Adding zero makes a negative zero, which would sort by itself, an ordinary one.
        let one = (distance.max(0.0) as f32 + 0.0, point as u32);
        let place = self.found.partition_point(|other| other.0 <= one.0);
        if place == self.k {
            return;
        }
        self.found.insert(place, one);
        self.found.truncate(self.k);
        if let Some(&(last, _)) = self.found.get(self.k - 1) {
            self.limit = match metric {
                Metric::Euclidean => last * last,
                // Of unit vectors, half of the squared difference is the distance.
                Metric::Cosine => 2.0 * last + f32::MIN_POSITIVE,
            } * (1.0 + 8.0 * f32::EPSILON);
        }
    }
}

/// Where vectors are seen from: the mean of the points, so that products do not drown small differences
/// of vectors that are all alike.
struct Centre {
    mean: Vec<f32>,
    metric: Metric,
}

/// Vectors seen from the centre, and the least that each can add to a squared difference.
struct View {
    values: Vec<f32>,
    least: Vec<f32>,
}

impl Centre {
    fn of(points: &Dense, metric: Metric) -> Self {
        let mut sums = vec![0f64; points.n_cols];
        for row in points.values.chunks_exact(points.n_cols) {
            let scale = scale(row, metric);
            sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += scale * f64::from(value));
        }
        let mean = sums.iter().map(|sum| (sum / points.n_rows as f64) as f32).collect();
        Self { mean, metric }
    }

    fn view(&self, vectors: &Dense) -> View {
        let width = vectors.n_cols;
        let mut values = vectors.values.clone();
        let see = |row: &mut [f32]| {
            let scale = scale(row, self.metric);
            for (value, mean) in row.iter_mut().zip(&self.mean) {
                *value = (f64::from(*value) * scale) as f32 - mean;
            }
            let squares = row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
            if scale == 0.0 { f32::NAN } else { (squares - self.error(squares, width)) as f32 }
        };
        let least = values.par_chunks_mut(width).map(see).collect();
        View { values, least }
    }

    /// A bound of what rounding can do to a squared difference on the part of one of its two vectors: in
    /// their product, of whatever order of additions, in the centring, and in the scaling to length 1.
    fn error(&self, squares: f64, width: usize) -> f64 {
        let unit = f64::from(f32::EPSILON);
        let scaling = if self.metric == Metric::Cosine { 8.0 * unit * squares.sqrt() } else { 0.0 };
        unit * (width + 16) as f64 * squares + scaling + 16.0 * unit * unit
    }
}

/// What a vector is multiplied by before it is seen from the centre; 0 for a vector without direction.
fn scale(row: &[f32], metric: Metric) -> f64 {
    match metric {
        Metric::Euclidean => 1.0,
        Metric::Cosine => match length(row) {
            0.0 => 0.0,
            length => 1.0 / length,
        },
    }
}

fn length(vector: &[f32]) -> f64 {
    inner(vector, vector).sqrt()
}

fn inner(a: &[f32], b: &[f32]) -> f64 {
    lanes(a, b, |a, b| f64::from(a) * f64::from(b))
}

fn squared_difference(a: &[f32], b: &[f32]) -> f64 {
    lanes(a, b, |a, b| (f64::from(a) - f64::from(b)).powi(2))
}

/// Sum in four running sums: a fixed order that the compiler can vectorise.
fn lanes(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f64) -> f64 {
    let mut sums = [0f64; 4];
    let (a_chunks, b_chunks) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest = a_chunks.remainder().iter().zip(b_chunks.remainder());
    let rest: f64 = rest.map(|(&a, &b)| term(a, b)).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..4 {
            sums[lane] += term(a[lane], b[lane]);
        }
    }
    sums.iter().sum::<f64>() + rest
}

pub(super) fn check(points: &Dense, queries: &Dense, k: usize) -> Result<()> {
    let refuse = |expected: String, found: String, remedy: &str| {
        Err(Error::input("nearest neighbours", expected, found, remedy))
    };
    if points.n_cols == 0 || points.n_cols != queries.n_cols {
        return refuse(
            format!("vectors of the {} dimensions of the points, at least 1", points.n_cols),
            queries.n_cols.to_string(),
            "make points and queries in the same way",
        );
    }
    if k == 0 || k > points.n_rows || u32::try_from(points.n_rows).is_err() {
        return refuse(
            format!("1 to {} neighbours, as there are points", points.n_rows),
            k.to_string(),
            "ask for fewer neighbours, or give more points",
        );
    }
    for (name, vectors) in [("points", points), ("queries", queries)] {
        if vectors.values.len() != vectors.n_rows * vectors.n_cols {
            return refuse(
                format!("{name} of {} x {} values", vectors.n_rows, vectors.n_cols),
                vectors.values.len().to_string(),
                "give every row all of its values",
            );
        }
        if let Some(at) = vectors.values.iter().position(|value| !value.is_finite()) {
            return refuse(
                format!("finite {name}"),
                format!("{} in row {}", vectors.values[at], at / vectors.n_cols),
                "leave such rows out",
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows around a far centre: what single-precision products alone would get wrong.
    fn rows(seed: u64, n_rows: usize, n_cols: usize, spread: f32) -> Dense {
        let value = |at: usize| {
            let hash = (at as u64 + 1 + (seed << 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let hash = (hash ^ (hash >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            3.0 + spread * ((hash >> 40) as f32 / (1u64 << 24) as f32)
        };
        Dense { n_rows, n_cols, values: (0..n_rows * n_cols).map(value).collect() }
    }

    fn plainly(points: &Dense, queries: &Dense, k: usize, metric: Metric) -> Nearest {
        let mut wanted = Nearest { k, ..Nearest::default() };
        for query in queries.values.chunks_exact(queries.n_cols) {
            let mut all = Best::new(query, points.n_rows, metric);
            for (point, row) in points.values.chunks_exact(points.n_cols).enumerate() {
                all.offer(point, row, metric);
            }
            wanted.indices.extend(all.found[..k].iter().map(|one| one.1));
            wanted.distances.extend(all.found[..k].iter().map(|one| one.0));
        }
        wanted
    }

    #[test]
    fn no_neighbour_is_missed_on_any_number_of_threads() {
        let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        for (spread, width) in [(1.0, 19), (1e-3, 50), (1e-6, 8)] {
            let mut points = rows(1, 2500, width, spread);
            let mut queries = rows(2, 70, width, spread);
            points.values[5 * width..6 * width].fill(0.0);
            queries.values[..width].fill(0.0);
            points.values.copy_within(7 * width..9 * width, 2000 * width);
            queries.values[width..2 * width].copy_from_slice(&points.values[7 * width..8 * width]);
            for metric in [Metric::Euclidean, Metric::Cosine] {
                let found = nearest(&points, &queries, 12, metric).unwrap();
                assert_eq!(found, plainly(&points, &queries, 12, metric));
                assert_eq!(found.of(1).0[..2], [7, 2000], "the duplicate comes after the first");
                let again = one_thread.install(|| nearest(&points, &queries, 12, metric).unwrap());
                assert_eq!(found, again);
            }
        }
    }

    #[test]
    fn distances_of_hand_made_points() {
        let points = Dense { n_rows: 3, n_cols: 2, values: vec![1., 0., 0., 2., 0., 0.] };
        let query = Dense { n_rows: 1, n_cols: 2, values: vec![0., 1.] };
        let found = nearest(&points, &query, 3, Metric::Euclidean).unwrap();
        assert_eq!(found.indices, [1, 2, 0]);
        assert_eq!(found.distances, [1., 1., 2f32.sqrt()]);
        let found = nearest(&points, &query, 3, Metric::Cosine).unwrap();
        assert_eq!((found.indices, found.distances), (vec![1, 0, 2], vec![0., 1., 1.]));
    }

    #[test]
    fn nonsense_is_refused() {
        let points = Dense { n_rows: 2, n_cols: 1, values: vec![1., 2.] };
        for k in [0, 3] {
            assert!(nearest(&points, &points, k, Metric::Euclidean).is_err());
        }
        let other = Dense { n_rows: 1, n_cols: 2, values: vec![1., 2.] };
        assert!(nearest(&points, &other, 1, Metric::Euclidean).is_err());
        let broken = Dense { n_rows: 1, n_cols: 1, values: vec![f32::NAN] };
        let refused = nearest(&points, &broken, 1, Metric::Cosine).unwrap_err().to_string();
        assert!(refused.contains("row 0"), "{refused}");
    }
}
