//! Communities of a graph by the Leiden algorithm (Traag, Waltman and van Eck 2019), as scanpy's `tl.leiden`
//! finds them with `flavor="igraph"`.

mod moves;
mod network;
mod refine;

use std::borrow::Cow;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::cells::CsrMatrix;
use crate::{Error, Result};
use moves::move_nodes;
use network::{Network, renumbered};
use refine::refine;

/// Modularity that a pass must gain for another to follow.
const LEAST_RISE: f64 = 1e-4;

/// Settings of Leiden, with scanpy's defaults but for the passes, which end when one hardly betters the last, and the
/// starts: they cost little.
#[derive(Debug, Clone, PartialEq)]
pub struct LeidenConfig {
    /// The higher, the more and the smaller communities.
    pub resolution: f64,
    /// Seed of the order in which nodes are visited and of the choices of the refinement.
    pub seed: u64,
    /// Passes of the whole algorithm, each from what the last one found; below 0 as many as raise modularity by
    /// 0.0001 or more.
    pub n_iterations: i64,
    /// Times that all of it is done, with other orders and choices; the communities of highest modularity count.
    pub starts: u64,
}

impl Default for LeidenConfig {
    fn default() -> Self {
        Self { resolution: 1.0, seed: 0, n_iterations: -1, starts: 4 }
    }
}

/// Part the nodes of a graph into communities of high modularity; community of each node, the largest 0.
///
/// `graph` `[cells, cells]` is symmetric with weights of 0 or more, as
/// [`Neighbors::connectivities`](super::Neighbors::connectivities) gives it. What is maximised is modularity with
/// a resolution `γ` (Reichardt and Bornholdt 2006): `Σ_c [e_c / 2m − γ (K_c / 2m)²]`, where `e_c` is twice the
/// weight of the edges within community `c`, `K_c` the weighted degree of its nodes and `2m` that of all. Every
/// community is connected. The same seed gives the same communities on any number of threads.
///
/// # Errors
/// [`Error::Input`] if the graph is not square or has no edges, a weight is negative or not finite, or the
/// resolution is not above 0.
pub fn leiden(graph: &CsrMatrix, config: &LeidenConfig) -> Result<Vec<u32>> {
    check(graph, config)?;
    let network = Network::of(graph);
    let found: Vec<(f64, Vec<u32>)> = (0..config.starts.max(1))
        .into_par_iter()
        .map(|start| search(&network, config, start))
        .collect();
    // Of equal ones the first.
    let best = found.into_iter().reduce(|best, other| if other.0 > best.0 { other } else { best });
    Ok(best.map_or_else(Vec::new, |(_, communities)| by_size(&communities)))
}

/// Find communities with the orders and choices of one start, and their modularity.
fn search(network: &Network, config: &LeidenConfig, start: u64) -> (f64, Vec<u32>) {
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    rng.set_stream(start);
    let mut communities: Vec<u32> = (0..network.len() as u32).collect();
    let mut reached = network.modularity(&communities, config.resolution);
    let mut pass = 0;
    while config.n_iterations < 0 || pass < config.n_iterations {
        communities = improve(network, communities, config.resolution, &mut rng);
        pass += 1;
        let before = reached;
        reached = network.modularity(&communities, config.resolution);
        if config.n_iterations < 0 && reached < before + LEAST_RISE {
            break;
        }
    }
    // Moving a node away can part a community whose passes have ended; its parts are better apart.
    let communities = network.connected_parts(&communities);
    (network.modularity(&communities, config.resolution), communities)
}

/// Modularity of communities, with a resolution.
///
/// # Errors
/// As [`leiden`], and communities that are not one for each node.
pub fn modularity(graph: &CsrMatrix, communities: &[u32], resolution: f64) -> Result<f64> {
    check(graph, &LeidenConfig { resolution, ..LeidenConfig::default() })?;
    if communities.len() != graph.n_rows {
        let expected = format!("{} communities, one for each node", graph.n_rows);
        return Err(Error::input("modularity", expected, communities.len(), "pass all of them"));
    }
    Ok(Network::of(graph).modularity(communities, resolution))
}

/// One pass: move nodes, refine, and go on with what was refined as nodes, until nothing moves.
fn improve(
    network: &Network,
    communities: Vec<u32>,
    resolution: f64,
    rng: &mut ChaCha8Rng,
) -> Vec<u32> {
    // Node of the present network that each node of the first one has become part of.
    let mut part_of: Vec<u32> = (0..network.len() as u32).collect();
    let mut present = Cow::Borrowed(network);
    let mut communities = renumbered(&communities);
    loop {
        move_nodes(&present, &mut communities, resolution, rng);
        communities = renumbered(&communities);
        let count = communities.iter().max().map_or(0, |&last| last as usize + 1);
        if count == present.len() {
            break;
        }
        let parts = renumbered(&refine(&present, &communities, resolution, rng));
        let aggregated = present.aggregate(&parts);
        if aggregated.len() == present.len() {
            break;
        }
        part_of.iter_mut().for_each(|part| *part = parts[*part as usize]);
        let mut of_parts = vec![0; aggregated.len()];
        for (&part, &community) in parts.iter().zip(&communities) {
            of_parts[part as usize] = community;
        }
        (present, communities) = (Cow::Owned(aggregated), of_parts);
    }
    part_of.iter().map(|&part| communities[part as usize]).collect()
}

/// Number communities by falling size; of equal ones that comes first whose first node does.
fn by_size(communities: &[u32]) -> Vec<u32> {
    let communities = renumbered(communities);
    let count = communities.iter().max().map_or(0, |&last| last as usize + 1);
    let mut sizes = vec![0usize; count];
    communities.iter().for_each(|&community| sizes[community as usize] += 1);
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|&community| std::cmp::Reverse(sizes[community]));
    let mut number = vec![0; count];
    order.iter().zip(0..).for_each(|(&community, place)| number[community] = place);
    communities.iter().map(|&community| number[community as usize]).collect()
}

fn check(graph: &CsrMatrix, config: &LeidenConfig) -> Result<()> {
    let wrong = |expected: &str, found: String, remedy: &str| {
        Err(Error::input("leiden", expected, found, remedy))
    };
    if graph.n_rows != graph.n_cols {
        let found = format!("{} x {}", graph.n_rows, graph.n_cols);
        return wrong("a square graph", found, "pass connectivities");
    }
    if let Some(weight) = graph.data.iter().find(|weight| !(weight.is_finite() && **weight >= 0.0))
    {
        return wrong("weights of 0 or more", weight.to_string(), "pass connectivities");
    }
    if graph.data.iter().all(|weight| *weight == 0.0) {
        return wrong(
            "a graph with edges",
            "none".into(),
            "pass connectivities of two cells or more",
        );
    }
    if !(config.resolution.is_finite() && config.resolution > 0.0) {
        let found = config.resolution.to_string();
        return wrong("a resolution above 0", found, "scanpy's is 1");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::Rng;

    use super::*;

    /// A symmetric graph of edges with weights.
    fn graph(nodes: usize, edges: &[(usize, usize, f32)]) -> CsrMatrix {
        let mut rows = vec![std::collections::BTreeMap::new(); nodes];
        for &(a, b, weight) in edges.iter().filter(|(a, b, _)| a != b) {
            rows[a].insert(b as u32, weight);
            rows[b].insert(a as u32, weight);
        }
        let mut out =
            CsrMatrix { n_rows: nodes, n_cols: nodes, indptr: vec![0], ..Default::default() };
        for row in rows {
            out.indices.extend(row.keys());
            out.data.extend(row.values());
            out.indptr.push(out.data.len());
        }
        out
    }

    fn cliques(count: usize, size: usize) -> CsrMatrix {
        let mut edges = Vec::new();
        for clique in 0..count {
            let first = clique * size;
            for a in 0..size {
                edges.extend((0..a).map(|b| (first + a, first + b, 1.0)));
            }
            edges.push((first, (first + size) % (count * size), 1.0));
        }
        graph(count * size, &edges)
    }

    fn is_connected(graph: &CsrMatrix, members: &[usize]) -> bool {
        let mut seen = vec![members[0]];
        let mut next = 0;
        while next < seen.len() {
            let (others, weights) = graph.row(seen[next]);
            for (&other, &weight) in others.iter().zip(weights) {
                let other = other as usize;
                if weight > 0.0 && members.contains(&other) && !seen.contains(&other) {
                    seen.push(other);
                }
            }
            next += 1;
        }
        seen.len() == members.len()
    }

    #[test]
    fn cliques_on_a_ring_are_communities() {
        let graph = cliques(12, 6);
        let found = leiden(&graph, &LeidenConfig::default()).unwrap();
        for clique in found.chunks_exact(6) {
            assert!(clique.iter().all(|community| community == &clique[0]), "{found:?}");
        }
        assert_eq!(found.iter().max(), Some(&11));
        // Each of 12 has 15 of its 16 edges within: 12 · (30 / 384 − (32 / 384)²).
        let expected = 12.0 * (30.0 / 384.0 - (32f64 / 384.0).powi(2));
        assert!((modularity(&graph, &found, 1.0).unwrap() - expected).abs() < 1e-9);
    }

    #[test]
    fn resolution_sets_how_many() {
        let graph = cliques(12, 6);
        let count = |resolution: f64| {
            let config = LeidenConfig { resolution, ..LeidenConfig::default() };
            *leiden(&graph, &config).unwrap().iter().max().unwrap() + 1
        };
        assert!(count(0.05) < 12 && count(20.0) > 12, "{} {}", count(0.05), count(20.0));
    }

    #[test]
    fn a_graph_that_is_none_is_refused() {
        let config = LeidenConfig::default();
        assert!(leiden(&graph(3, &[]), &config).is_err());
        assert!(leiden(&graph(3, &[(0, 1, -1.0)]), &config).is_err());
        let none = LeidenConfig { resolution: 0.0, ..config };
        assert!(leiden(&graph(3, &[(0, 1, 1.0)]), &none).is_err());
    }

    proptest! {
        #[test]
        fn communities_are_connected_numbered_by_size_and_better_than_none(
            seed in any::<u64>(), nodes in 4usize..60, density in 0.03f64..0.3,
        ) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut edges = vec![(0, 1, 1.0)];
            for a in 0..nodes {
                for b in 0..a {
                    if rng.random_bool(density) {
                        edges.push((a, b, rng.random_range(0.05f32..1.0)));
                    }
                }
            }
            let graph = graph(nodes, &edges);
            let config = LeidenConfig { seed, ..LeidenConfig::default() };
            let found = leiden(&graph, &config).unwrap();
            prop_assert_eq!(&found, &leiden(&graph, &config).unwrap());
            let count = *found.iter().max().unwrap() as usize + 1;
            let members: Vec<Vec<usize>> = (0..count)
                .map(|one| (0..nodes).filter(|&node| found[node] as usize == one).collect())
                .collect();
            for community in &members {
                prop_assert!(is_connected(&graph, community), "{:?}", community);
            }
            prop_assert!(members.windows(2).all(|pair| pair[0].len() >= pair[1].len()));
            let alone: Vec<u32> = (0..nodes as u32).collect();
            let reached = modularity(&graph, &found, 1.0).unwrap();
            prop_assert!(reached >= modularity(&graph, &alone, 1.0).unwrap() - 1e-12);
            prop_assert!(reached >= modularity(&graph, &vec![0; nodes], 1.0).unwrap() - 1e-12);
        }
    }
}
