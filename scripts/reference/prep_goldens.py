#!/usr/bin/env python3
"""Write the goldens of principal components, neighbours, UMAP, silhouette and purity with scanpy,
umap-learn and scikit-learn.

    python3 scripts/reference/prep_goldens.py [folder of test data]

Writes tests/goldens/prep.json. The folder (default: $SCREADER_SHARED, else ../shared) holds the data sets;
nothing of them is written but sums, hashes and a few numbers. Needs Python 3.11 or later; the pinned
libraries are installed into target/reference-scanpy, unless the running Python has them already. Takes about
two minutes.
"""

import hashlib
import json
import os
import sys
import time
import warnings
from pathlib import Path

import environment

ROOT = Path(__file__).resolve().parents[2]
# File, and how many highly variable genes to take; 0 for all.
DATA = [("pbmc3k_counts.h5ad", 2000), ("mouse_pancreas_endocrinogenesis.h5ad", 0)]
COMPONENTS, NEIGHBOURS, PURITY_NEIGHBOURS, SEEDS = 50, 15, 10, 5

environment.enter("scanpy", environment.SCANPY)

import anndata  # noqa: E402
import numpy as np  # noqa: E402
import scanpy as sc  # noqa: E402
from sklearn.manifold import trustworthiness  # noqa: E402
from sklearn.metrics import silhouette_score  # noqa: E402
from sklearn.neighbors import NearestNeighbors  # noqa: E402
from umap.umap_ import find_ab_params  # noqa: E402

from formula import signed  # noqa: E402


def floats(values):
    return [float(value) for value in np.ravel(values)]


def digest(indices):
    return hashlib.sha256(np.ascontiguousarray(indices, dtype="<u4").tobytes()).hexdigest()


def curves():
    cases = [(1.0, 0.5), (1.0, 0.1), (1.0, 0.0), (2.0, 0.3), (0.5, 0.5)]
    return [[spread, min_dist, *floats(find_ab_params(spread, min_dist))] for spread, min_dist in cases]


def graph_of(points, metric):
    cells = anndata.AnnData(np.zeros((len(points), 1)))
    cells.obsm["points"] = points
    sc.pp.neighbors(cells, n_neighbors=NEIGHBOURS, use_rep="points", metric=metric)
    return cells.obsp["connectivities"].tocsr()


def graph_numbers(graph, rows):
    """Sums of a graph, and some rows of it in full."""
    graph.sort_indices()
    return {
        "edges": int(graph.nnz),
        "sum": float(graph.sum()),
        "squares": float((graph.data.astype(np.float64) ** 2).sum()),
        "rows": [[int(row), graph[row].indices.tolist(), floats(graph[row].data)] for row in rows],
    }


def neighbours_of(points, metric, k):
    search = NearestNeighbors(n_neighbors=k, metric=metric, algorithm="brute").fit(points)
    return search.kneighbors(points)


def purity(points, labels, k):
    """Mean part of a cell's k nearest others that are of its class."""
    near = neighbours_of(points, "euclidean", k + 1)[1]
    others = [[other for other in row if other != cell][:k] for cell, row in enumerate(near)]
    return float((labels[np.array(others)] == labels[:, None]).mean())


def formula_case():
    """Three clouds by formula: what tests compare where the data sets are absent."""
    cells, dims = 240, 8
    labels = np.arange(cells) % 3
    points = (signed(31, cells, dims) + 0.5 * labels[:, None].astype(np.float32)).astype(np.float32)
    wide = points.astype(np.float64)
    case = {
        "cells": cells,
        "dims": dims,
        "silhouette": float(silhouette_score(wide, labels)),
        "purity": purity(wide, labels, PURITY_NEIGHBOURS),
        "metrics": {},
    }
    for metric in ["euclidean", "cosine"]:
        distances, indices = neighbours_of(wide, metric, NEIGHBOURS)
        case["metrics"][metric] = {
            "indices": digest(indices),
            "distance_sum": float(distances.sum()),
            "graph": graph_numbers(graph_of(wide, metric), range(0, cells, 40)),
        }
    return case


def prepared(path, n_top_genes):
    """Log-normalised cells in double precision, so that the reference has no rounding of its own."""
    cells = anndata.read_h5ad(path)
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
    chosen = np.arange(cells.n_vars)
    if n_top_genes:
        found = sc.pp.highly_variable_genes(
            cells, flavor="seurat", n_top_genes=n_top_genes, inplace=False
        )
        chosen = np.flatnonzero(found["highly_variable"].to_numpy())
        cells = cells[:, chosen].copy()
    cells.X = cells.X.astype(np.float64)
    return cells, chosen


def components_case(cells):
    began = time.time()
    sc.pp.pca(cells, n_comps=COMPONENTS, dtype="float64")
    print(f"  pca {time.time() - began:.2f} s")
    loadings = cells.varm["PCs"]
    probes = signed(41, 4, cells.n_vars).astype(np.float64)
    return {
        "variance": floats(cells.uns["pca"]["variance"]),
        "variance_ratio": floats(cells.uns["pca"]["variance_ratio"]),
        # The components seen by fixed vectors, signs included: [probe, component].
        "probes": floats(probes @ loadings),
        # Parts of the first probe within the space of all components, for some genes.
        "projected": floats((loadings @ (loadings.T @ probes[0]))[:40]),
        "scores": floats(cells.obsm["X_pca"][:5, :10]),
    }


def umap_case(cells):
    scores = cells.obsm["X_pca"]
    found = []
    for seed in range(SEEDS):
        began = time.time()
        sc.tl.umap(cells, random_state=seed)
        seconds = time.time() - began
        found.append(trustworthiness(scores, cells.obsm["X_umap"], n_neighbors=NEIGHBOURS))
        print(f"  umap, seed {seed}: {seconds:.1f} s, trustworthiness {found[-1]:.5f}")
    return {"trustworthiness": float(np.mean(found)), "deviation": float(np.std(found, ddof=1))}


def real_case(folder, file, n_top_genes):
    print(file)
    cells, chosen = prepared(folder / "data" / "dev" / "labelled" / file, n_top_genes)
    components = components_case(cells)
    scores = cells.obsm["X_pca"]
    labels = cells.obs["cell_type"].cat.codes.to_numpy()
    assert (labels >= 0).all()
    began = time.time()
    sc.pp.neighbors(cells, n_neighbors=NEIGHBOURS, use_rep="X_pca")
    print(f"  neighbors {time.time() - began:.2f} s")
    near = np.sort(neighbours_of(scores, "euclidean", NEIGHBOURS)[1], axis=1)
    return {
        "file": f"data/dev/labelled/{file}",
        "cells": cells.n_obs,
        "n_top_genes": n_top_genes,
        "genes": digest(chosen),
        "pca": components,
        # Sets of neighbours, a digest for each hundred cells.
        "neighbours": [digest(near[first : first + 100])[:12] for first in range(0, cells.n_obs, 100)],
        "graph": graph_numbers(cells.obsp["connectivities"].tocsr(), range(0, cells.n_obs, 200)),
        "umap": umap_case(cells),
        "silhouette": float(silhouette_score(scores, labels)),
        "purity": purity(scores, labels, PURITY_NEIGHBOURS),
    }


def main():
    warnings.simplefilter("ignore")
    default = os.environ.get("SCREADER_SHARED", ROOT.parent / "shared")
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else default)
    goldens = {
        "n_neighbors": NEIGHBOURS,
        "n_comps": COMPONENTS,
        "purity_neighbours": PURITY_NEIGHBOURS,
        "curves": curves(),
        "formula": formula_case(),
        "real": [real_case(folder, file, genes) for file, genes in DATA],
    }
    path = ROOT / "tests" / "goldens" / "prep.json"
    path.write_text(json.dumps(goldens) + "\n")
    print(path)


if __name__ == "__main__":
    main()
