//! UMAP (McInnes, Healy and Melville 2018), as scanpy's `tl.umap` runs it.

use super::layout::{Curve, Layout};
use super::spectral::spectral_layout;
use crate::cells::{CsrMatrix, Dense};
use crate::{Error, Result};

/// Cells up to which the layout is improved 500 times, and not 200.
const SMALL: usize = 10_000;

/// Settings of UMAP, with scanpy's defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct UmapConfig {
    /// Distance below which points that belong together need not come nearer.
    pub min_dist: f64,
    /// Scale of the distances between points; at least `min_dist`.
    pub spread: f64,
    /// Dimensions of the layout, 2 or 3.
    pub n_components: usize,
    /// Passes over the edges: 500 for up to 10,000 cells and 200 for more, if `None`.
    pub n_epochs: Option<usize>,
    /// Random cells that an edge's first end is pushed from each time the edge pulls.
    pub negative_sample_rate: usize,
    /// Length of the first step; it falls to 0 in even steps. scanpy's `alpha`.
    pub learning_rate: f64,
    /// Weight of pushes against pulls. scanpy's `gamma`.
    pub repulsion_strength: f64,
    /// Seed of all that is random.
    pub seed: u64,
}

impl Default for UmapConfig {
    fn default() -> Self {
        Self {
            min_dist: 0.5,
            spread: 1.0,
            n_components: 2,
            n_epochs: None,
            negative_sample_rate: 5,
            learning_rate: 1.0,
            repulsion_strength: 1.0,
            seed: 0,
        }
    }
}

/// Lay the cells out in the plane so that those connected lie near one another, `[cells, n_components]`.
///
/// `connectivities` `[cells, cells]` is symmetric, as [`Neighbors::connectivities`] gives it. The layout
/// begins with eigenvectors of its normalised Laplacian; where the graph falls apart, `vectors` `[cells,
/// dims]` tell how its parts lie to one another. Then the fuzzy cross entropy of the paper's section 3.2 is
/// lowered by umap-learn's scheme: an edge of weight `w` is drawn every `w_max / w` epochs. Those steps run
/// one after the other, so the same seed gives the same bytes on any number of threads.
///
/// # Errors
/// [`Error::Input`] if there are no cells, the shapes do not fit, a number is not finite or a weight
/// negative, or a setting is out of range.
///
/// [`Neighbors::connectivities`]: super::Neighbors::connectivities
pub fn umap(connectivities: &CsrMatrix, vectors: &Dense, config: &UmapConfig) -> Result<Dense> {
    check(connectivities, vectors)?;
    check_config(config)?;
    let cells = connectivities.n_rows;
    let default_epochs = if cells <= SMALL { 500 } else { 200 };
    let n_epochs = config.n_epochs.unwrap_or(default_epochs);
    // An edge that is not drawn once in all epochs takes no part, not in the first layout either.
    let draws = if n_epochs > 10 { n_epochs } else { default_epochs };
    let graph = without_weak(connectivities, draws);
    let first = spectral_layout(&graph, vectors, config.n_components, config.seed);
    let (a, b) = find_ab_params(config.spread, config.min_dist);
    let layout = Layout {
        curve: Curve { a: a as f32, b: b as f32 },
        n_epochs,
        negative_sample_rate: config.negative_sample_rate,
        learning_rate: config.learning_rate as f32,
        repulsion_strength: config.repulsion_strength as f32,
        seed: config.seed,
    };
    let values = match config.n_components {
        2 => layout.improve::<2>(&graph, &first),
        _ => layout.improve::<3>(&graph, &first),
    };
    Ok(Dense { n_rows: cells, n_cols: config.n_components, values })
}

/// Fit `a` and `b` of the curve `1 / (1 + a x^(2b))` to what `spread` and `min_dist`, both above 0 or
/// `min_dist` 0, ask for: 1 up to `min_dist`, then `exp(-(x - min_dist) / spread)`.
///
/// Least squares at 300 places from 0 to `3 spread`, by Levenberg's and Marquardt's method from `a = b = 1`,
/// as umap-learn's function of this name.
pub fn find_ab_params(spread: f64, min_dist: f64) -> (f64, f64) {
    let places = (0..300).map(|place| f64::from(place) * 3.0 * spread / 299.0);
    let wanted = |x: f64| if x < min_dist { 1.0 } else { (-(x - min_dist) / spread).exp() };
    let points: Vec<(f64, f64)> = places.map(|x| (x, wanted(x))).collect();
    let curve = |a: f64, b: f64, x: f64| 1.0 / (1.0 + a * x.powf(2.0 * b));
    let loss =
        |a, b| points.iter().map(|&(x, wanted)| (curve(a, b, x) - wanted).powi(2)).sum::<f64>();
    let (mut a, mut b, mut damping) = (1.0, 1.0, 1e-3);
    let mut best = loss(a, b);
    for _ in 0..200 {
        // Normal equations of the linearised curve; at x = 0 it does not depend on a and b.
        let (mut aa, mut ab, mut bb, mut ra, mut rb) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for &(x, wanted) in &points[1..] {
            let found = curve(a, b, x);
            let by_a = -x.powf(2.0 * b) * found * found;
            let by_b = 2.0 * x.ln() * a * by_a;
            let residual = wanted - found;
            (aa, ab, bb) = (aa + by_a * by_a, ab + by_a * by_b, bb + by_b * by_b);
            (ra, rb) = (ra + by_a * residual, rb + by_b * residual);
        }
        let (damped_aa, damped_bb) = (aa * (1.0 + damping), bb * (1.0 + damping));
        let determinant = damped_aa * damped_bb - ab * ab;
        let step_a = (damped_bb * ra - ab * rb) / determinant;
        let step_b = (damped_aa * rb - ab * ra) / determinant;
        let (next_a, next_b) = (a + step_a, b + step_b);
        let next = loss(next_a, next_b);
        if next_a > 0.0 && next_b > 0.0 && next <= best {
            (a, b, best, damping) = (next_a, next_b, next, damping * 0.1);
            if step_a.abs() <= 1e-12 * a && step_b.abs() <= 1e-12 * b {
                break;
            }
        } else {
            damping *= 10.0;
            if damping > 1e12 {
                break;
            }
        }
    }
    (a, b)
}

/// The edges that are drawn at least once in `draws` epochs.
fn without_weak(graph: &CsrMatrix, draws: usize) -> CsrMatrix {
    let least = graph.data.iter().copied().fold(0f32, f32::max) / draws as f32;
    let mut kept = CsrMatrix {
        n_rows: graph.n_rows,
        n_cols: graph.n_cols,
        indptr: vec![0],
        ..CsrMatrix::default()
    };
    for row in 0..graph.n_rows {
        let (columns, weights) = graph.row(row);
        for (&column, &weight) in columns.iter().zip(weights) {
            if weight >= least && weight > 0.0 {
                kept.indices.push(column);
                kept.data.push(weight);
            }
        }
        kept.indptr.push(kept.data.len());
    }
    kept
}

fn check(connectivities: &CsrMatrix, vectors: &Dense) -> Result<()> {
    let (rows, columns) = (connectivities.n_rows, connectivities.n_cols);
    let refuse = |expected: &str, found: String, remedy: &str| {
        Err(Error::input("umap", expected, found, remedy))
    };
    if rows == 0 || rows != columns || vectors.n_rows != rows {
        return refuse(
            "connectivities of cells with cells, at least 1, and a vector for each",
            format!("connectivities of {rows} x {columns}, {} vectors", vectors.n_rows),
            "give the vectors that the neighbours were found of",
        );
    }
    if let Some(weight) = connectivities.data.iter().find(|weight| !(0.0..=1.0).contains(*weight)) {
        return refuse(
            "connectivities from 0 to 1",
            weight.to_string(),
            "compute them with neighbors",
        );
    }
    if connectivities.transpose() != *connectivities {
        let found = "an edge that has another weight from its other end".to_owned();
        return refuse("symmetric connectivities", found, "compute them with neighbors");
    }
    if vectors.values.len() != rows * vectors.n_cols
        || vectors.values.iter().any(|value| !value.is_finite())
    {
        return refuse(
            "vectors of finite numbers",
            "missing numbers, or such as are not finite".to_owned(),
            "leave such cells out",
        );
    }
    Ok(())
}

fn check_config(config: &UmapConfig) -> Result<()> {
    let refuse = |name: &str, expected: &str, found: String| {
        Err(Error::input(format!("umap {name}"), expected, found, "leave it at its default"))
    };
    if !(2..=3).contains(&config.n_components) {
        return refuse("n_components", "2 or 3", config.n_components.to_string());
    }
    if config.negative_sample_rate == 0 {
        return refuse("negative_sample_rate", "at least 1", "0".to_owned());
    }
    let positive = [
        ("spread", config.spread),
        ("learning_rate", config.learning_rate),
        ("repulsion_strength", config.repulsion_strength),
    ];
    for (name, value) in positive {
        if !(value > 0.0 && value.is_finite()) {
            return refuse(name, "a number above 0", value.to_string());
        }
    }
    if !(0.0..=config.spread).contains(&config.min_dist) {
        let found = format!("{} (spread {})", config.min_dist, config.spread);
        return refuse("min_dist", "0 to spread", found);
    }
    Ok(())
}
