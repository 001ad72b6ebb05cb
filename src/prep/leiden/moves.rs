//! Fast local moving: nodes go where they raise the quality most, until none does.

use std::collections::VecDeque;

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::network::Network;

/// A gain that is no rounding.
pub(super) const LEAST_GAIN: f64 = 1e-10;

/// Move single nodes between communities, or to one of their own, while modularity rises. Communities are
/// numbered from 0 without gaps.
pub(super) fn move_nodes(
    network: &Network,
    communities: &mut [u32],
    resolution: f64,
    rng: &mut ChaCha8Rng,
) {
    let nodes = network.len();
    // A number for each node suffices: there are never more communities.
    let (mut strengths, mut sizes) = (vec![0.0; nodes], vec![0usize; nodes]);
    for (node, &community) in communities.iter().enumerate() {
        strengths[community as usize] += network.strengths[node];
        sizes[community as usize] += 1;
    }
    let mut empty: Vec<usize> = (0..nodes).rev().filter(|&one| sizes[one] == 0).collect();
    let mut order: Vec<usize> = (0..nodes).collect();
    order.shuffle(rng);
    let mut waiting: VecDeque<usize> = order.into();
    let mut is_waiting = vec![true; nodes];
    let (mut weight_to, mut touched) = (vec![0.0; nodes], Vec::new());
    while let Some(node) = waiting.pop_front() {
        is_waiting[node] = false;
        let own = communities[node] as usize;
        let strength = network.strengths[node];
        for (other, weight) in network.edges(node) {
            let community = communities[other] as usize;
            if weight_to[community] == 0.0 {
                touched.push(community);
            }
            weight_to[community] += weight;
        }
        strengths[own] -= strength;
        // Twice the gain of joining a community, times the weight of all edges.
        let gain = |community: usize, weight: f64, strengths: &[f64]| {
            weight - resolution * strength * strengths[community] / network.total
        };
        let mut best = (own, gain(own, weight_to[own], &strengths));
        for &community in &touched {
            let found = gain(community, weight_to[community], &strengths);
            if found > best.1 + LEAST_GAIN {
                best = (community, found);
            }
        }
        if best.1 < -LEAST_GAIN && sizes[own] > 1 {
            // Alone it would be better off than in any company.
            if let Some(&free) = empty.last() {
                best = (free, 0.0);
            }
        }
        touched.drain(..).for_each(|community| weight_to[community] = 0.0);
        let (to, _) = best;
        strengths[to] += strength;
        if to == own {
            continue;
        }
        sizes[own] -= 1;
        if sizes[own] == 0 {
            empty.push(own);
        }
        if sizes[to] == 0 {
            empty.retain(|&one| one != to);
        }
        sizes[to] += 1;
        communities[node] = to as u32;
        for (other, _) in network.edges(node) {
            if communities[other] as usize != to && !is_waiting[other] {
                is_waiting[other] = true;
                waiting.push_back(other);
            }
        }
    }
}
