//! Nearest neighbours of very many points: neighbours of neighbours are likely neighbours (Dong, Moses and Li 2011).

use ann_search_rs::build_knn_graph_nndescent;
use ann_search_rs::prelude::{NNDescentKnnParams, Verbosity};
use rayon::prelude::*;

use super::nearest::{Best, Metric, Nearest, check, nearest};
use crate::cells::Dense;
use crate::{Error, Result};

/// Neighbours that are sought beyond those asked for: what the descent misses is mostly among the last.
const BEYOND: usize = 3;
/// Of the random trees that the descent begins with.
const SEED: usize = 0;

/// Find nearly all of the `k` nearest of `points`, `[points, dim]`, to each of them: what [`nearest`] finds, but for
/// one or two neighbours in a hundred, in time that grows little faster than the points.
///
/// Candidates come from the crate's descent in single precision, so that other processors may miss others; their
/// distances and order are those of [`nearest`]. A point for which too few were found is compared with all others.
/// The number of threads changes nothing.
///
/// # Errors
/// As [`nearest`].
pub fn nearest_by_descent(points: &Dense, k: usize, metric: Metric) -> Result<Nearest> {
    check(points, points, k)?;
    let (n_points, width) = (points.n_rows, points.n_cols);
    let params = NNDescentKnnParams { k: k - 1 + BEYOND, ..NNDescentKnnParams::default() };
    let name = match metric {
        Metric::Euclidean => "euclidean",
        Metric::Cosine => "cosine",
    };
    let rows = (points.values.as_slice(), n_points, width);
    let graph = build_knn_graph_nndescent(rows, name, Some(params), SEED, Verbosity::Quiet);
    let graph = graph.map_err(|error| {
        let remedy = "give fewer cells, or finite values of at least one dimension";
        Error::input("nearest neighbours", "points that can be searched", error, remedy)
    })?;
    let vector = |point: usize| &points.values[point * width..][..width];
    let mut found: Vec<Vec<(f32, u32)>> = (graph.indices.par_chunks_exact(graph.k).enumerate())
        .map(|(point, candidates)| {
            // Places that were not filled hold a number that no point has. Equal distances come in rising order.
            let filled = candidates.iter().filter(|&&other| (other as usize) < n_points);
            let mut candidates: Vec<u32> = filled.copied().chain([point as u32]).collect();
            candidates.sort_unstable();
            candidates.dedup();
            let mut best = Best::new(vector(point), k, metric);
            for other in candidates {
                best.offer(other as usize, vector(other as usize), metric);
            }
            best.found
        })
        .collect();
    let short: Vec<usize> = (0..n_points).filter(|&point| found[point].len() < k).collect();
    if !short.is_empty() {
        let values = short.iter().flat_map(|&point| vector(point)).copied().collect();
        let queries = Dense { n_rows: short.len(), n_cols: width, values };
        let exact = nearest(points, &queries, k, metric)?;
        for (query, &point) in short.iter().enumerate() {
            let (indices, distances) = exact.of(query);
            found[point] = distances.iter().copied().zip(indices.iter().copied()).collect();
        }
    }
    Ok(Nearest::from_rows(k, &found))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clouds of points whose dimensions spread less and less, as principal components do.
    fn clouds(n_points: usize, width: usize) -> Dense {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut uniform = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        let mut values = Vec::with_capacity(n_points * width);
        for point in 0..n_points {
            for dimension in 0..width {
                let centre = ((point % 7) * (dimension + 3) % 5) as f32;
                values.push((centre + 4.0 * (uniform() + uniform())) / (dimension + 1) as f32);
            }
        }
        Dense { n_rows: n_points, n_cols: width, values }
    }

    #[test]
    fn nearly_all_neighbours_are_found_on_any_number_of_threads() {
        let points = clouds(4000, 20);
        let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        for metric in [Metric::Euclidean, Metric::Cosine] {
            let exact = nearest(&points, &points, 15, metric).unwrap();
            let found = nearest_by_descent(&points, 15, metric).unwrap();
            let again = one_thread.install(|| nearest_by_descent(&points, 15, metric).unwrap());
            assert_eq!(found, again);
            let mut hits = 0;
            for point in 0..points.n_rows {
                let ((indices, distances), (wanted, _)) = (found.of(point), exact.of(point));
                assert!(indices.contains(&(point as u32)) && distances[0] < 1e-6);
                assert!(distances.is_sorted(), "{distances:?}");
                hits += indices.iter().filter(|one| wanted.contains(one)).count();
            }
            let recall = hits as f64 / (15 * points.n_rows) as f64;
            assert!(recall > 0.98, "{metric:?}: {recall}");
        }
    }

    #[test]
    fn points_in_one_place_and_few_points_have_neighbours_too() {
        let mut points = clouds(600, 4);
        points.values[..300 * 4].fill(1.0);
        let found = nearest_by_descent(&points, 10, Metric::Euclidean).unwrap();
        assert!((0..300).all(|point| found.of(point).1.iter().all(|&distance| distance == 0.0)));
        let few = clouds(3, 2);
        assert_eq!(
            nearest_by_descent(&few, 3, Metric::Cosine).unwrap(),
            nearest(&few, &few, 3, Metric::Cosine).unwrap()
        );
    }
}
