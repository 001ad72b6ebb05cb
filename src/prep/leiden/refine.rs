//! Refinement: each community is built anew of single nodes, so that what becomes one node is well connected.

use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::network::Network;

/// How random the choice among gains is, in units of the edges' weights, as for igraph: in units of modularity, in
/// which one node's gain is next to nothing, all choices of a large network would be alike.
const RANDOMNESS: f64 = 0.01;

/// Part each community into well connected subsets; the subset of each node, by the number of one of its nodes.
pub(super) fn refine(
    network: &Network,
    communities: &[u32],
    resolution: f64,
    rng: &mut ChaCha8Rng,
) -> Vec<u32> {
    let nodes = network.len();
    let mut strength_of = vec![0.0; nodes];
    for (node, &community) in communities.iter().enumerate() {
        strength_of[community as usize] += network.strengths[node];
    }
    let mut subset: Vec<u32> = (0..nodes as u32).collect();
    let mut strengths = network.strengths.clone();
    let mut alone = vec![true; nodes];
    // Weight of the edges between a subset and the rest of its community.
    let mut outward: Vec<f64> = (0..nodes)
        .map(|node| {
            let inside = network.edges(node);
            let inside = inside.filter(|(other, _)| communities[*other] == communities[node]);
            inside.map(|edge| edge.1).sum()
        })
        .collect();
    let well_connected = |outward: f64, strength: f64, community: u32| {
        let rest = strength_of[community as usize] - strength;
        outward >= resolution * strength * rest / network.total
    };
    let mut order: Vec<usize> = (0..nodes).collect();
    order.shuffle(rng);
    let (mut weight_to, mut touched) = (vec![0.0; nodes], Vec::new());
    for node in order {
        let (community, strength) = (communities[node], network.strengths[node]);
        // A node that others have joined stays with them.
        if !alone[node] || !well_connected(outward[node], strength, community) {
            continue;
        }
        for (other, weight) in network.edges(node) {
            if communities[other] != community {
                continue;
            }
            let to = subset[other] as usize;
            if weight_to[to] == 0.0 {
                touched.push(to);
            }
            weight_to[to] += weight;
        }
        let gain =
            |to: usize| weight_to[to] - resolution * strength * strengths[to] / network.total;
        // To stay alone gains nothing.
        let mut choices = vec![(node, 0.0)];
        choices.extend(
            touched
                .iter()
                .filter(|&&to| well_connected(outward[to], strengths[to], community))
                .map(|&to| (to, gain(to)))
                .filter(|choice| choice.1 >= 0.0),
        );
        let to = draw(&choices, rng);
        if to != node {
            let between = weight_to[to];
            subset[node] = to as u32;
            strengths[to] += strength;
            outward[to] += outward[node] - 2.0 * between;
            (alone[node], alone[to]) = (false, false);
        }
        touched.drain(..).for_each(|to| weight_to[to] = 0.0);
    }
    subset
}

/// Draw one of the choices with a probability that grows with its gain.
fn draw(choices: &[(usize, f64)], rng: &mut ChaCha8Rng) -> usize {
    // The largest gain is taken off, so that nothing overflows.
    let largest = choices.iter().map(|choice| choice.1).fold(0.0, f64::max);
    let chances: Vec<f64> =
        choices.iter().map(|choice| ((choice.1 - largest) / RANDOMNESS).exp()).collect();
    let mut left = rng.random::<f64>() * chances.iter().sum::<f64>();
    for (choice, chance) in choices.iter().zip(&chances) {
        left -= chance;
        if left < 0.0 {
            return choice.0;
        }
    }
    choices[choices.len() - 1].0
}
