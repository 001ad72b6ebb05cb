#!/usr/bin/env python3
"""Write the goldens of the genes of groups and of Leiden's communities with scanpy and igraph.

    python3 scripts/reference/groups_goldens.py [folder of test data]

Writes tests/goldens/groups.json. The folder (default: $SCREADER_SHARED, else ../shared) holds the data sets;
nothing of them is written but sums, hashes and a few numbers. Needs Python 3.11 or later; the pinned
libraries are installed into target/reference-scanpy, unless the running Python has them already.
"""

import json
import os
import sys
import warnings
from pathlib import Path

import environment

ROOT = Path(__file__).resolve().parents[2]
CELLS, GENES, GROUPS, TOP, SEEDS = 240, 60, 3, 25, 10
# Beside those of prep_goldens.py a set of full-length reads, whose counts seldom tie.
MORE_DATA = [("mouse_kidney_tm_facs.h5ad", 2000)]
# The regression goes on to its optimum; by default scikit-learn stops before.
METHODS = {"wilcoxon": {"tie_correct": True}, "t-test": {}, "logreg": {"max_iter": 100_000, "tol": 1e-7}}

environment.enter("scanpy", environment.SCANPY)

import anndata  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import scanpy as sc  # noqa: E402
import scipy.sparse  # noqa: E402
from sklearn.metrics import adjusted_rand_score  # noqa: E402

from communities import leiden, modularity  # noqa: E402
from formula import signed, uniform  # noqa: E402
from prep_goldens import COMPONENTS, DATA, NEIGHBOURS, digest, graph_of  # noqa: E402


def short(values, digits=8):
    return [float(f"{float(value):.{digits}g}") for value in values]


def formula_cells():
    """Sparse log values; every fourth gene is raised in the group it belongs to, values in steps tie."""
    rows, columns = np.divmod(np.arange(CELLS * GENES), GENES)
    labels = np.arange(CELLS) % GROUPS
    value = 0.25 + np.floor(uniform(62, CELLS * GENES) * 8) / 4
    own = (columns % 4 == 0) & (columns // 4 % GROUPS == labels[rows])
    value = value + own * 0.5 * uniform(63, GENES)[columns]
    kept = uniform(61, CELLS * GENES) < 0.4
    matrix = np.where(kept, value, 0).astype(np.float32).astype(np.float64).reshape(CELLS, GENES)
    cells = anndata.AnnData(scipy.sparse.csr_matrix(matrix))
    cells.obs["cell_type"] = pd.Categorical(labels.astype(str))
    return cells


def ranked(cells, method, top=None):
    """For each group, in the order of its categories, the genes by scanpy: all in full, or the top."""
    numbers = {name: gene for gene, name in enumerate(cells.var_names)}
    sc.tl.rank_genes_groups(cells, "cell_type", method=method, **METHODS[method])
    found = cells.uns["rank_genes_groups"]
    groups = []
    for group in cells.obs["cell_type"].cat.categories:
        of = {key: found[key][group] for key in found if key != "params"}
        groups.append({
            "genes": [numbers[name] for name in of["names"][:top]],
            **{key: short(of[key][:top]) for key in of if key != "names"},
        })
        if top:
            groups[-1]["sum"] = float(of["scores"].astype(np.float64).sum())
        if top and "pvals_adj" in of:
            del groups[-1]["pvals_adj"]
            groups[-1]["significant"] = int((of["pvals_adj"] < 0.05).sum())
    return groups


def coefficients_of_two(cells):
    """The log-odds of the second of two groups, by gene; scanpy 1.11 gives them under the first one's name."""
    cells.obs["cell_type"] = pd.Categorical((np.arange(CELLS) % 2).astype(str))
    sc.tl.rank_genes_groups(cells, "cell_type", method="logreg", **METHODS["logreg"])
    found = cells.uns["rank_genes_groups"]
    of_gene = dict(zip(found["names"]["0"], found["scores"]["0"]))
    return short(of_gene[name] for name in cells.var_names)


def leiden_case(graph, labels):
    reached, agreement, counts = [], [], []
    for communities in leiden(graph, range(SEEDS)):
        reached.append(modularity(graph, communities))
        agreement.append(adjusted_rand_score(labels, communities))
        counts.append(int(communities.max()) + 1)
    print(f"  modularity {min(reached):.5f} to {max(reached):.5f}, ARI {np.mean(agreement):.4f}, {counts}")
    return {
        "modularity_mean": float(np.mean(reached)),
        "modularity_max": float(max(reached)),
        "ari_mean": float(np.mean(agreement)),
        "communities": counts,
    }


def formula_case():
    cells, dims = CELLS, 8
    labels = np.arange(cells) % 3
    points = (signed(31, cells, dims) + 0.5 * labels[:, None].astype(np.float32)).astype(np.float32)
    graph = graph_of(points.astype(np.float64), "euclidean")
    of = formula_cells()
    return {
        "groups": {method: ranked(of, method) for method in METHODS},
        "of_two": coefficients_of_two(of),
        "leiden": leiden_case(graph, labels),
    }


def prepared(path, n_top_genes):
    """Cells log-normalised in double precision and rounded once to single: rounding on the way, as scanpy
    does with counts in single precision, would part values that tie, and ranks with them."""
    cells = anndata.read_h5ad(path)
    cells.X = cells.X.astype(np.float64)
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
    cells.X = cells.X.astype(np.float32)
    chosen = np.arange(cells.n_vars)
    if n_top_genes:
        found = sc.pp.highly_variable_genes(cells, flavor="seurat", n_top_genes=n_top_genes, inplace=False)
        chosen = np.flatnonzero(found["highly_variable"].to_numpy())
        cells = cells[:, chosen].copy()
    cells.X = cells.X.astype(np.float64)
    return cells, chosen


def real_case(folder, file, n_top_genes):
    print(file)
    cells, chosen = prepared(folder / "data" / "dev" / "labelled" / file, n_top_genes)
    groups = {method: ranked(cells, method, TOP) for method in METHODS}
    sc.pp.pca(cells, n_comps=COMPONENTS, dtype="float64")
    sc.pp.neighbors(cells, n_neighbors=NEIGHBOURS, use_rep="X_pca")
    return {
        "file": f"data/dev/labelled/{file}",
        "n_top_genes": n_top_genes,
        "genes": digest(chosen),
        "groups": groups,
        "leiden": leiden_case(cells.obsp["connectivities"].tocsr(), cells.obs["cell_type"].cat.codes.to_numpy()),
    }


def main():
    warnings.simplefilter("ignore")
    default = os.environ.get("SCREADER_SHARED", ROOT.parent / "shared")
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else default)
    goldens = {
        "cells": CELLS,
        "genes": GENES,
        "formula": formula_case(),
        "real": [real_case(folder, file, genes) for file, genes in DATA + MORE_DATA],
    }
    path = ROOT / "tests" / "goldens" / "groups.json"
    path.write_text(json.dumps(goldens, separators=(",", ":")) + "\n")
    print(path)


if __name__ == "__main__":
    main()
