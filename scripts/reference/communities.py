"""Communities of a weighted graph by scanpy, and how good they are; both directions of each edge are stored."""

import anndata
import numpy as np
import scanpy as sc


def leiden(graph, seeds):
    """The community of each node, by igraph's Leiden through scanpy, for each seed."""
    cells = anndata.AnnData(np.zeros((graph.shape[0], 1)))
    for seed in seeds:
        sc.tl.leiden(
            cells, resolution=1, random_state=seed, flavor="igraph", n_iterations=2, directed=False, adjacency=graph
        )
        yield cells.obs["leiden"].cat.codes.to_numpy()


def modularity(graph, communities):
    """Newman's modularity."""
    strengths = np.asarray(graph.sum(axis=1)).ravel().astype(np.float64)
    total = strengths.sum()
    edges = graph.tocoo()
    same = communities[edges.row] == communities[edges.col]
    inside = edges.data[same].astype(np.float64).sum() / total
    return inside - ((np.bincount(communities, strengths) / total) ** 2).sum()
