//! A weighted network whose nodes may stand for several nodes of the first one.

use crate::cells::CsrMatrix;

/// Edges from both ends; what lies within a node is counted apart.
#[derive(Debug, Clone)]
pub(super) struct Network {
    starts: Vec<usize>,
    others: Vec<u32>,
    weights: Vec<f64>,
    /// Weighted degree of each node, twice what lies within it included.
    pub(super) strengths: Vec<f64>,
    /// Twice the weight of the edges within each node.
    within: Vec<f64>,
    /// Sum of all strengths: twice the weight of all edges.
    pub(super) total: f64,
}

impl Network {
    pub(super) fn of(graph: &CsrMatrix) -> Self {
        let (mut starts, mut others, mut weights) = (vec![0], Vec::new(), Vec::new());
        let mut within = vec![0.0; graph.n_rows];
        for (node, within) in within.iter_mut().enumerate() {
            let (columns, values) = graph.row(node);
            for (&other, &weight) in columns.iter().zip(values).filter(|(_, weight)| **weight > 0.0)
            {
                if other as usize == node {
                    *within += f64::from(weight);
                } else {
                    others.push(other);
                    weights.push(f64::from(weight));
                }
            }
            starts.push(others.len());
        }
        Self::new(starts, others, weights, within)
    }

    fn new(starts: Vec<usize>, others: Vec<u32>, weights: Vec<f64>, within: Vec<f64>) -> Self {
        let strength = |node: usize| {
            within[node] + weights[starts[node]..starts[node + 1]].iter().sum::<f64>()
        };
        let strengths: Vec<f64> = (0..within.len()).map(strength).collect();
        let total = strengths.iter().sum();
        Self { starts, others, weights, strengths, within, total }
    }

    pub(super) fn len(&self) -> usize {
        self.within.len()
    }

    /// Other ends and weights of the edges of a node.
    pub(super) fn edges(&self, node: usize) -> impl Iterator<Item = (usize, f64)> {
        let span = self.starts[node]..self.starts[node + 1];
        let others = self.others[span.clone()].iter().map(|&other| other as usize);
        others.zip(self.weights[span].iter().copied())
    }

    /// Make each part one node; parts are numbered from 0 without gaps.
    pub(super) fn aggregate(&self, parts: &[u32]) -> Self {
        let count = parts.iter().max().map_or(0, |&last| last as usize + 1);
        let mut members = vec![Vec::new(); count];
        parts.iter().enumerate().for_each(|(node, &part)| members[part as usize].push(node));
        let (mut starts, mut others, mut weights) = (vec![0], Vec::new(), Vec::new());
        let mut within = vec![0.0; count];
        let mut to = vec![0.0; count];
        for (part, members) in members.iter().enumerate() {
            let mut touched = Vec::new();
            for &node in members {
                within[part] += self.within[node];
                for (other, weight) in self.edges(node) {
                    let other = parts[other] as usize;
                    if other == part {
                        within[part] += weight;
                        continue;
                    }
                    if to[other] == 0.0 {
                        touched.push(other);
                    }
                    to[other] += weight;
                }
            }
            touched.sort_unstable();
            for other in touched {
                others.push(other as u32);
                weights.push(std::mem::take(&mut to[other]));
            }
            starts.push(others.len());
        }
        Self::new(starts, others, weights, within)
    }

    pub(super) fn modularity(&self, communities: &[u32], resolution: f64) -> f64 {
        let count = communities.iter().max().map_or(0, |&last| last as usize + 1);
        let (mut inside, mut strengths) = (vec![0.0; count], vec![0.0; count]);
        for node in 0..self.len() {
            let community = communities[node];
            strengths[community as usize] += self.strengths[node];
            let edges = self.edges(node).filter(|(other, _)| communities[*other] == community);
            inside[community as usize] += self.within[node] + edges.map(|edge| edge.1).sum::<f64>();
        }
        let of = |(inside, strength): (&f64, &f64)| {
            inside / self.total - resolution * (strength / self.total).powi(2)
        };
        inside.iter().zip(&strengths).map(of).sum()
    }

    /// The connected parts of communities.
    pub(super) fn connected_parts(&self, communities: &[u32]) -> Vec<u32> {
        const NONE: u32 = u32::MAX;
        let mut parts = vec![NONE; self.len()];
        let mut next = 0;
        for first in 0..self.len() {
            if parts[first] != NONE {
                continue;
            }
            parts[first] = next;
            let mut waiting = vec![first];
            while let Some(node) = waiting.pop() {
                for (other, _) in self.edges(node) {
                    if parts[other] == NONE && communities[other] == communities[node] {
                        parts[other] = next;
                        waiting.push(other);
                    }
                }
            }
            next += 1;
        }
        parts
    }
}

/// Number communities from 0 without gaps, in the order in which they first occur.
pub(super) fn renumbered(communities: &[u32]) -> Vec<u32> {
    let count = communities.iter().max().map_or(0, |&last| last as usize + 1);
    let mut numbers = vec![u32::MAX; count];
    let mut next = 0;
    let number = |&community: &u32| {
        let number = &mut numbers[community as usize];
        if *number == u32::MAX {
            *number = next;
            next += 1;
        }
        *number
    };
    communities.iter().map(number).collect()
}
