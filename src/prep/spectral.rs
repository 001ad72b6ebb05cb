//! The layout that UMAP begins with: eigenvectors of the graph's normalised Laplacian, one connected
//! part of the graph at a time.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use super::lanczos::{Lanczos, dot, fix_sign, length};
use super::layout::signed_unit;
use crate::cells::{CsrMatrix, Dense};

/// Largest coordinate of the first layout, and the noise put onto it so that no two points coincide.
const EXTENT: f64 = 10.0;
const NOISE: f64 = 1e-4;
/// A layout that is improved afterwards needs no more.
const TOLERANCE: f64 = 1e-5;

/// Lay the graph out, `[cells, dims]` row by row.
///
/// A connected graph gets the eigenvectors of the second and following eigenvalues of its normalised
/// Laplacian. A graph that falls apart gets its parts side by side, each with its own eigenvectors: as in
/// umap-learn up to `2 dims` parts lie on the axes; more lie as the means of their `vectors` do in the
/// first principal coordinates.
pub(super) fn spectral_layout(
    graph: &CsrMatrix,
    vectors: &Dense,
    dims: usize,
    seed: u64,
) -> Vec<f64> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let parts = connected_parts(graph);
    let mut layout = if parts.len() == 1 {
        eigenvectors(graph, dims).unwrap_or_else(|| scattered(graph.n_rows * dims, &mut random))
    } else {
        side_by_side(graph, &parts, vectors, dims, &mut random)
    };
    let largest = layout.iter().fold(0f64, |largest, value| largest.max(value.abs()));
    let scale = if largest > 0.0 { EXTENT / largest } else { 1.0 };
    for value in &mut layout {
        let noise: f64 = StandardNormal.sample(&mut random);
        *value = *value * scale + NOISE * noise;
    }
    layout
}

/// The cells of each connected part, parts by their first cell.
fn connected_parts(graph: &CsrMatrix) -> Vec<Vec<usize>> {
    let mut reached = vec![false; graph.n_rows];
    let mut parts = Vec::new();
    for start in 0..graph.n_rows {
        if reached[start] {
            continue;
        }
        reached[start] = true;
        let mut part = vec![start];
        let mut next = 0;
        while let Some(&cell) = part.get(next) {
            next += 1;
            for &other in graph.row(cell).0 {
                if !std::mem::replace(&mut reached[other as usize], true) {
                    part.push(other as usize);
                }
            }
        }
        part.sort_unstable();
        parts.push(part);
    }
    parts
}

fn side_by_side(
    graph: &CsrMatrix,
    parts: &[Vec<usize>],
    vectors: &Dense,
    dims: usize,
    random: &mut ChaCha8Rng,
) -> Vec<f64> {
    let centres = if parts.len() <= 2 * dims {
        on_axes(parts.len(), dims)
    } else {
        apart(parts, vectors, dims)
    };
    let mut layout = vec![0.0; graph.n_rows * dims];
    for (part, centre) in parts.iter().zip(&centres) {
        let distance = |other: &Vec<f64>| {
            let difference: Vec<f64> = other.iter().zip(centre).map(|(a, b)| a - b).collect();
            length(&difference)
        };
        let nearest = centres.iter().map(distance).filter(|distance| *distance > 0.0);
        let room = nearest.fold(f64::INFINITY, f64::min) / 2.0;
        let room = if room.is_finite() { room } else { 0.5 };
        let own = graph.select_rows(part).select_columns(part);
        let (within, radius) = match eigenvectors(&own, dims) {
            Some(found) => {
                let radius = found.chunks_exact(dims).map(length).fold(f64::MIN_POSITIVE, f64::max);
                (found, radius)
            }
            None => (scattered(part.len() * dims, random), (dims as f64).sqrt()),
        };
        for (&cell, within) in part.iter().zip(within.chunks_exact(dims)) {
            for axis in 0..dims {
                layout[cell * dims + axis] = centre[axis] + within[axis] * room / radius;
            }
        }
    }
    layout
}

/// Places on the axes, one step from the origin: first the positive halves, then the negative ones.
fn on_axes(parts: usize, dims: usize) -> Vec<Vec<f64>> {
    let positive = parts.div_ceil(2);
    let place = |part: usize| {
        let mut place = vec![0.0; dims];
        place[part % positive] = if part < positive { 1.0 } else { -1.0 };
        place
    };
    (0..parts).map(place).collect()
}

/// The means of the parts' vectors in their first principal coordinates, largest 1.
fn apart(parts: &[Vec<usize>], vectors: &Dense, dims: usize) -> Vec<Vec<f64>> {
    let mut means: Vec<Vec<f64>> = parts.iter().map(|part| mean(part, vectors)).collect();
    let centre: Vec<f64> = (0..vectors.n_cols)
        .map(|axis| means.iter().map(|mean| mean[axis]).sum::<f64>() / parts.len() as f64)
        .collect();
    for mean in &mut means {
        mean.iter_mut().zip(&centre).for_each(|(value, centre)| *value -= centre);
    }
    // Coordinates are eigenvectors of the inner products, times the root of their eigenvalues.
    let products = |vector: &[f64]| -> Vec<f64> {
        let mut sum = vec![0f64; vectors.n_cols];
        for (mean, weight) in means.iter().zip(vector) {
            sum.iter_mut().zip(mean).for_each(|(sum, value)| *sum += weight * value);
        }
        means.iter().map(|mean| dot(mean, &sum)).collect()
    };
    let search = Lanczos { pairs: dims, basis: 40, tolerance: TOLERANCE, restarts: 200 };
    let mut places = vec![vec![0.0; dims]; parts.len()];
    if let Some(found) = search.largest(parts.len(), products) {
        for (axis, (value, mut vector)) in found.values.iter().zip(found.vectors).enumerate() {
            fix_sign(&mut vector);
            for (place, along) in places.iter_mut().zip(vector) {
                place[axis] = along * value.max(0.0).sqrt();
            }
        }
    }
    let largest = places.iter().flatten().fold(0f64, |largest, value| largest.max(value.abs()));
    let scale = 1.0 / largest.max(f64::MIN_POSITIVE);
    places.iter_mut().flatten().for_each(|value| *value *= scale);
    places
}

fn mean(cells: &[usize], vectors: &Dense) -> Vec<f64> {
    let mut mean = vec![0f64; vectors.n_cols];
    for &cell in cells {
        let row = &vectors.values[cell * vectors.n_cols..][..vectors.n_cols];
        mean.iter_mut().zip(row).for_each(|(mean, &value)| *mean += f64::from(value));
    }
    mean.iter_mut().for_each(|mean| *mean /= cells.len() as f64);
    mean
}

/// Eigenvectors of `1 - D^-1/2 W D^-1/2` after the first, by rising eigenvalue, `[cells, dims]`; `None`
/// for so few cells that the eigenvectors say nothing.
fn eigenvectors(graph: &CsrMatrix, dims: usize) -> Option<Vec<f64>> {
    let cells = graph.n_rows;
    if cells < 2 * dims || cells <= dims + 1 {
        return None;
    }
    let degree = |row: usize| graph.row(row).1.iter().map(|&weight| f64::from(weight)).sum::<f64>();
    let scale: Vec<f64> = (0..cells).map(|row| 1.0 / degree(row).sqrt()).collect();
    // The least eigenvalues of the Laplacian are the largest of what is subtracted in it.
    let row = |row: usize, vector: &[f64]| {
        let (columns, weights) = graph.row(row);
        let product = |(&column, &weight): (&u32, &f32)| {
            f64::from(weight) * scale[column as usize] * vector[column as usize]
        };
        scale[row] * columns.iter().zip(weights).map(product).sum::<f64>()
    };
    let apply = |vector: &[f64]| -> Vec<f64> {
        (0..cells).into_par_iter().with_min_len(256).map(|cell| row(cell, vector)).collect()
    };
    let search = Lanczos { pairs: dims + 1, basis: 100, tolerance: TOLERANCE, restarts: 200 };
    // One that is not found to the last digit is as good a beginning.
    let found = search.largest(cells, apply)?;
    let mut layout = vec![0.0; cells * dims];
    for (axis, mut vector) in found.vectors.into_iter().skip(1).enumerate() {
        fix_sign(&mut vector);
        layout.iter_mut().skip(axis).step_by(dims).zip(vector).for_each(|(at, value)| *at = value);
    }
    Some(layout)
}

fn scattered(count: usize, random: &mut ChaCha8Rng) -> Vec<f64> {
    (0..count).map(|_| signed_unit(random)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rings of the given sizes, neighbours joined with weight 1.
    fn rings(sizes: &[usize]) -> CsrMatrix {
        let cells = sizes.iter().sum();
        let mut graph =
            CsrMatrix { n_rows: cells, n_cols: cells, indptr: vec![0], ..CsrMatrix::default() };
        let mut begin = 0;
        for &size in sizes {
            for place in 0..size {
                let mut others = [(place + 1) % size, (place + size - 1) % size];
                others.sort_unstable();
                graph.indices.extend(others.map(|other| (begin + other) as u32));
                graph.data.extend([1.0, 1.0]);
                graph.indptr.push(graph.data.len());
            }
            begin += size;
        }
        graph
    }

    fn no_vectors(n_rows: usize) -> Dense {
        Dense { n_rows, n_cols: 0, values: Vec::new() }
    }

    #[test]
    fn a_ring_becomes_a_circle() {
        let layout = spectral_layout(&rings(&[60]), &no_vectors(60), 2, 0);
        let radii: Vec<f64> = layout.chunks_exact(2).map(length).collect();
        let mean = radii.iter().sum::<f64>() / 60.0;
        assert!(radii.iter().all(|radius| (radius / mean - 1.0).abs() < 0.01), "{radii:?}");
    }

    #[test]
    fn parts_lie_apart() {
        for sizes in [vec![20, 30, 4], vec![9; 7]] {
            let graph = rings(&sizes);
            let cells = graph.n_rows;
            let parts = connected_parts(&graph);
            assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), sizes);
            let vectors = Dense {
                n_rows: cells,
                n_cols: 2,
                values: (parts.iter().enumerate())
                    .flat_map(|(part, cells)| {
                        let angle = part as f32;
                        cells.iter().flat_map(move |_| [angle.sin(), angle.cos()])
                    })
                    .collect(),
            };
            let layout = spectral_layout(&graph, &vectors, 2, 0);
            let layout = Dense {
                n_rows: cells,
                n_cols: 2,
                values: layout.iter().map(|&value| value as f32).collect(),
            };
            let centres: Vec<Vec<f64>> = parts.iter().map(|part| mean(part, &layout)).collect();
            for (part, cells) in parts.iter().enumerate() {
                for &cell in cells {
                    let at = &layout.values[cell * 2..][..2];
                    let to = |centre: &Vec<f64>| {
                        (centre[0] - f64::from(at[0])).hypot(centre[1] - f64::from(at[1]))
                    };
                    let nearest = (0..parts.len())
                        .min_by(|&a, &b| to(&centres[a]).total_cmp(&to(&centres[b])));
                    assert_eq!(nearest, Some(part), "cell {cell}");
                }
            }
        }
    }
}
