"""Make a set of cells with types, cluster it with scanpy, and compare two clusterings of it.

    python scripts/reference/bench_cluster.py make FILE [CELLS GENES]
    python scripts/reference/bench_cluster.py scanpy FILE OUT
    python scripts/reference/bench_cluster.py run COMMAND...
    python scripts/reference/bench_cluster.py compare FILE SCANPY OURS

`scanpy` prints the seconds of each step; `run` runs any command and adds what it took; both print the most
memory that was held. `scripts/bench-cluster` runs all in turn. The pinned libraries are installed into
target/reference-scanpy, unless the running Python has them already.
"""

import json
import os
import resource
import subprocess
import sys
import time

import environment

environment.enter("scanpy", environment.SCANPY)

import numpy  # noqa: E402

TYPES, OWN_GENES, CELLS_AT_ONCE = 16, 400, 500


def make(path, n_cells=30_000, n_genes=20_000):
    """Counts of sixteen types: genes differ in how often they occur, and each type has 400 that it has more of."""
    import anndata
    import pandas
    from scipy import sparse

    random = numpy.random.default_rng(0)
    share = random.beta(0.6, 3.6, n_genes).astype(numpy.float32)
    shares = numpy.tile(share, (TYPES, 1))
    for one in shares:
        own = random.choice(n_genes, OWN_GENES, replace=False)
        one[own] = numpy.minimum(3 * one[own], 0.95)
    # Types of unequal size, as in tissues.
    weights = 1 / numpy.arange(6, TYPES + 6)
    types = random.choice(TYPES, n_cells, p=weights / weights.sum())
    depth = numpy.exp(random.normal(0, 0.25, n_cells)).astype(numpy.float32)
    blocks = []
    for start in range(0, n_cells, CELLS_AT_ONCE):
        of = slice(start, min(start + CELLS_AT_ONCE, n_cells))
        chance = shares[types[of]] * depth[of, None]
        stored = sparse.csr_matrix(random.random(chance.shape, dtype=numpy.float32) < chance)
        counts = random.geometric(0.35, stored.nnz).astype(numpy.float32)
        blocks.append(sparse.csr_matrix((counts, stored.indices, stored.indptr), shape=stored.shape))
    x = sparse.vstack(blocks, format="csr")
    obs = pandas.DataFrame(index=[f"cell{at}" for at in range(n_cells)])
    obs["cell_type"] = pandas.Categorical([f"type {at}" for at in types])
    names = [f"MT-{at}" if at < 13 else f"gene{at}" for at in range(n_genes)]
    anndata.AnnData(x, obs=obs, var=pandas.DataFrame(index=names)).write_h5ad(path)
    print(f"{path}: {x.shape[0]} × {x.shape[1]}, {x.nnz} values", file=sys.stderr)


def peak(who=resource.RUSAGE_SELF):
    """The most memory held at once, in gigabytes."""
    return round(resource.getrusage(who).ru_maxrss * 1024 / 1e9, 2)


def scanpy_steps(path, out):
    """The steps of `screader cluster --scale 10` with scanpy's own functions and defaults."""
    import warnings

    warnings.filterwarnings("ignore")
    import scanpy as sc

    seconds, began = {}, time.perf_counter()

    def done(step):
        nonlocal began
        now = time.perf_counter()
        seconds[step], began = round(now - began, 2), now

    cells = sc.read_h5ad(path)
    done("reading")
    cells.var["mt"] = cells.var_names.str.upper().str.startswith("MT-")
    sc.pp.calculate_qc_metrics(cells, qc_vars=["mt"], inplace=True, percent_top=None, log1p=False)
    sc.pp.filter_cells(cells, min_genes=200)
    sc.pp.filter_genes(cells, min_cells=3)
    done("quality control")
    cells.layers["counts"] = cells.X.copy()
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
    done("normalisation")
    sc.pp.highly_variable_genes(cells, n_top_genes=2000)
    done("highly variable genes")
    chosen = cells[:, cells.var.highly_variable].copy()
    sc.pp.scale(chosen, max_value=10)
    done("scaling")
    sc.pp.pca(chosen)
    cells.obsm["X_pca"] = chosen.obsm["X_pca"]
    del chosen
    done("principal components")
    sc.pp.neighbors(cells)
    done("neighbours")
    sc.tl.leiden(cells, flavor="igraph", n_iterations=2, directed=False)
    done("clusters")
    sc.tl.umap(cells)
    done("UMAP")
    sc.tl.rank_genes_groups(cells, "leiden", method="wilcoxon", tie_correct=True)
    done("markers")
    cells.write_h5ad(out)
    # As screader does, so that a power cut loses nothing.
    with open(out, "rb") as written:
        os.fsync(written.fileno())
    done("writing")
    print(json.dumps({"seconds": seconds, "total": round(sum(seconds.values()), 2), "peak_gb": peak()}))


def run(command):
    """Run `screader cluster --json` and print its seconds, those of the whole process, and its peak memory."""
    began = time.perf_counter()
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    total = round(time.perf_counter() - began, 2)
    seconds = json.loads(found)["seconds"]
    peak_gb = peak(resource.RUSAGE_CHILDREN)
    print(json.dumps({"seconds": seconds, "total": total, "peak_gb": peak_gb}))


def compare(path, theirs, ours):
    """How two clusterings agree with each other, with the types that the cells were made of, and with scanpy's own from
    other seeds; then, since its neighbours are approximate, with scanpy's clusters of screader's neighbours."""
    import anndata
    from communities import leiden, modularity
    from sklearn.metrics import adjusted_rand_score

    truth = anndata.read_h5ad(path, backed="r").obs.cell_type
    theirs, ours = (anndata.read_h5ad(one, backed="r") for one in (theirs, ours))
    assert theirs.obs_names.equals(ours.obs_names), "other cells were kept"
    truth, of_scanpy, of_screader = truth[theirs.obs_names], theirs.obs.leiden, ours.obs.leiden
    both = theirs.obsp["distances"].astype(bool).multiply(ours.obsp["distances"].astype(bool))
    graph = ours.obsp["connectivities"]
    seeds = list(leiden(theirs.obsp["connectivities"], range(1, 6)))
    on_ours = list(leiden(graph, range(1, 6)))
    score = lambda a, b: round(float(adjusted_rand_score(a, b)), 4)  # noqa: E731
    span = lambda found: [min(found), max(found)]  # noqa: E731
    quality = lambda found: round(float(modularity(graph, found)), 5)  # noqa: E731
    agreement = {
        "cells": len(truth),
        "clusters": {"scanpy": of_scanpy.nunique(), "screader": of_screader.nunique()},
        "neighbours of screader that scanpy has": round(both.nnz / ours.obsp["distances"].nnz, 4),
        "adjusted_rand": {
            "scanpy, screader": score(of_scanpy, of_screader),
            "scanpy, its other seeds": span([score(of_scanpy, other) for other in seeds]),
            "scanpy on screader's neighbours, its other seeds": span([score(on_ours[0], other) for other in on_ours[1:]]),
            "scanpy on screader's neighbours, screader": span([score(of_screader, other) for other in on_ours]),
            "types, scanpy": span([score(truth, found) for found in [of_scanpy, *seeds]]),
            "types, screader": score(truth, of_screader),
        },
        "modularity on screader's neighbours": {
            "scanpy": span([quality(found) for found in on_ours]),
            "screader": quality(of_screader.cat.codes.to_numpy()),
        },
    }
    print(json.dumps(agreement))


verb, *rest = sys.argv[1:]
if verb == "make":
    make(rest[0], *map(int, rest[1:]))
elif verb == "scanpy":
    scanpy_steps(*rest)
elif verb == "run":
    run(rest)
else:
    compare(*rest)
