#!/usr/bin/env python3
"""Write the goldens of quality control, highly variable genes and scaling with scanpy, scikit-misc, kneed and
scipy.

    python3 scripts/reference/cluster_goldens.py [folder of test data]

Writes tests/goldens/cluster.json. The folder (default: $SCREADER_SHARED, else ../shared) holds the data sets;
nothing of them is written but sums, hashes and a few numbers. Needs Python 3.11 or later; the pinned libraries
are installed into target/reference-cluster, unless the running Python has them already. Takes about a minute.
"""

import hashlib
import json
import os
import sys
import warnings
from pathlib import Path

import environment

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = {
    "anndata": "0.12.19",
    "kneed": "0.8.5",
    "numba": "0.61.2",
    "numpy": "2.2.6",
    "pandas": "2.3.3",
    "scanpy": "1.11.5",
    "scikit-learn": "1.6.1",
    "scikit-misc": "0.5.1",
    "scipy": "1.15.3",
}
# Counts in X.
DATA = [
    "pbmc3k_counts.h5ad",
    "mouse_pancreas_endocrinogenesis.h5ad",
    "mouse_kidney_tm_facs.h5ad",
    "mixology_sc_celseq2.h5ad",
]
N_TOP_GENES = 2000

environment.enter("cluster", REQUIREMENTS)

import anndata  # noqa: E402
import numpy as np  # noqa: E402
import scanpy as sc  # noqa: E402
from kneed import KneeLocator  # noqa: E402
from scipy import sparse  # noqa: E402
from scipy.signal import find_peaks, savgol_filter  # noqa: E402

from formula import signed, uniform  # noqa: E402


def floats(values):
    return [float(value) for value in np.ravel(values)]


def digest(indices):
    return hashlib.sha256(np.ascontiguousarray(indices, dtype="<u4").tobytes()).hexdigest()


def finite_sum(values):
    values = np.asarray(values, dtype=np.float64)
    return float(values[np.isfinite(values)].sum())


def formula_counts(cells, genes):
    """Counts by formula; the twin is in tests/cluster_steps.rs."""
    rate = uniform(61, genes)
    rate = 0.3 + 9.0 * rate * rate * rate * rate
    depth = 0.3 + 1.4 * uniform(62, cells)
    u = uniform(63, cells * genes).reshape(cells, genes)
    return np.floor(depth[:, None] * rate[None, :] * 4.0 * (u * u * u)).astype(np.float32)


def formula_totals(cells, barcodes):
    """Totals of a droplet run by formula: cells, then empty droplets; in no order."""
    u = uniform(64, barcodes)
    place = np.arange(barcodes)
    return np.where(place % (barcodes // cells) == 0, 1500 + np.floor(9000 * u * u), np.floor(1 + 90 * u * u * u))


def curve_of(totals):
    falling = np.sort(totals)[::-1]
    step = max(1, len(falling) // 10000)
    return np.arange(1, len(falling) + 1)[::step], falling[::step]


def thresholds(totals):
    ranks, falling = curve_of(np.asarray(totals, dtype=np.float64))
    locator = KneeLocator(
        ranks, falling, curve="convex", direction="decreasing", online=True, interp_method="interp1d"
    )
    log_x, log_y = np.log10(ranks), np.log10(falling + 1)
    slope = savgol_filter(np.gradient(savgol_filter(log_y, 101, 3), log_x), 101, 3)
    points = np.sort(
        np.concatenate([find_peaks(-slope, prominence=0.05)[0], find_peaks(slope, prominence=0.05)[0]])
    )
    offline = KneeLocator(
        ranks, falling, curve="convex", direction="decreasing", online=False, interp_method="interp1d"
    )
    first_knee = float(np.sort(totals)[::-1][int(offline.knee) - 1])
    kept = lambda least: int((np.asarray(totals) >= least).sum())  # noqa: E731
    knee = float(np.sort(totals)[::-1][int(locator.knee) - 1])
    if len(points) == 0:
        return {"knee": knee, "first_knee": first_knee, "inflections": 0, "kept": {"knee": kept(knee)}}
    # Steepness: the slope from a rank divided by 1.1 to the rank times 1.1.
    steepness = []
    for point in points:
        near = np.flatnonzero(np.abs(log_x - log_x[point]) <= np.log10(1.1))
        rise = log_y[near[-1]] - log_y[near[0]]
        steepness.append(rise / (log_x[near[-1]] - log_x[near[0]]) if len(near) > 1 else 0.0)
    steepest = points[np.argmin(steepness)]
    return {
        "knee": knee,
        "first_knee": first_knee,
        "inflections": len(points),
        "ranks": floats(ranks[points])[:12],
        "slopes": floats(slope[points])[:12],
        "first": float(falling[points[0]]),
        "last": float(falling[points[-1]]),
        "steepest": float(falling[steepest]),
        "kept": {
            "knee": kept(knee),
            "first": kept(falling[points[0]]),
            "last": kept(falling[points[-1]]),
            "steepest": kept(falling[steepest]),
        },
    }


def hvg_case(cells, flavor, n_top_genes):
    found = sc.pp.highly_variable_genes(cells, flavor=flavor, n_top_genes=n_top_genes, inplace=False)
    names = ["means", "dispersions", "dispersions_norm"]
    if flavor == "seurat_v3":
        names = ["means", "variances", "variances_norm"]
    chosen = np.flatnonzero(found["highly_variable"].to_numpy())
    shown = range(0, cells.n_vars, max(1, cells.n_vars // 12))
    table = found[names].to_numpy(dtype=np.float64)
    # The last that is chosen and the first that is not: how near another choice was.
    norm = np.sort(table[:, 2][np.isfinite(table[:, 2])])[::-1]
    gap = float(norm[n_top_genes - 1] - norm[n_top_genes]) if len(norm) > n_top_genes else None
    print(f"  {flavor}: {len(chosen)} genes, gap {gap}")
    return {
        "flavor": flavor,
        "n_top_genes": n_top_genes,
        "genes": digest(chosen),
        "count": len(chosen),
        "ties": gap == 0.0,
        "sums": [finite_sum(column) for column in table.T],
        "shown": [[gene, *[None if not np.isfinite(v) else float(v) for v in table[gene]]] for gene in shown],
    }


def steps_case(counts, mitochondrial, n_top_genes, with_thresholds):
    """Metrics, filters, normalisation, choice and scaling of one matrix of counts."""
    cells = anndata.AnnData(sparse.csr_matrix(counts, dtype=np.float32))
    cells.var["mt"] = mitochondrial
    sc.pp.calculate_qc_metrics(cells, qc_vars=["mt"], percent_top=None, log1p=False, inplace=True)
    case = {
        "cells": cells.n_obs,
        "genes": cells.n_vars,
        "n_genes_by_counts": digest(cells.obs["n_genes_by_counts"].to_numpy()),
        "total_counts": finite_sum(cells.obs["total_counts"]),
        "pct_counts_mt": finite_sum(cells.obs["pct_counts_mt"]),
        "n_cells_by_counts": digest(cells.var["n_cells_by_counts"].to_numpy()),
    }
    if with_thresholds:
        case["thresholds"] = thresholds(cells.obs["total_counts"].to_numpy().astype(np.float64))
    sc.pp.filter_cells(cells, min_genes=200)
    sc.pp.filter_genes(cells, min_cells=3)
    case["filtered"] = [cells.n_obs, cells.n_vars]
    v3 = hvg_case(cells, "seurat_v3", n_top_genes)
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
    values = cells.X.data.astype(np.float64)
    case["normalised"] = {"sum": float(values.sum()), "squares": float((values**2).sum())}
    case["hvg"] = [hvg_case(cells, flavor, n_top_genes) for flavor in ["seurat", "cell_ranger"]] + [v3]
    chosen = sc.pp.highly_variable_genes(cells, n_top_genes=n_top_genes, inplace=False)["highly_variable"]
    scaled = cells[:, chosen.to_numpy()].copy()
    scaled.X = scaled.X.astype(np.float64)
    sc.pp.scale(scaled, max_value=10)
    dense = np.asarray(scaled.X)
    case["scaled"] = {
        "squares": float((dense**2).sum()),
        "cut": int((np.abs(dense) == 10).sum()),
        "shown": floats(dense[::97, ::101][:5, :5]),
        "shape": list(dense[::97, ::101][:5, :5].shape),
    }
    return case


def signal_case():
    values = signed(65, 1, 160).ravel().astype(np.float64)
    values = np.cumsum(values)
    return {
        "smooth": floats(savgol_filter(values, 11, 3)),
        "peaks": find_peaks(values, prominence=0.7)[0].tolist(),
        "flat": find_peaks(np.floor(values), prominence=1)[0].tolist(),
    }


def knees():
    """Curves by formula, and where kneed finds their knees."""
    found = []
    for seed in range(66, 74):
        x = np.arange(1, 61, dtype=np.float64)
        y = 100.0 / (x + 2.0 * (seed - 65)) + 6.0 * uniform(seed, 60)
        y = np.sort(y)[::-1]
        locator = KneeLocator(x, y, curve="convex", direction="decreasing", online=True)
        found.append([seed, None if locator.knee is None else int(locator.knee)])
    return found


def main():
    warnings.simplefilter("ignore")
    default = os.environ.get("SCREADER_SHARED", ROOT.parent / "shared")
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else default)
    print("formula")
    counts = formula_counts(300, 900)
    goldens = {
        "formula": steps_case(counts, np.arange(900) % 50 == 0, 200, False),
        "droplets": thresholds(formula_totals(500, 45000)),
        "signal": signal_case(),
        "knees": knees(),
        "real": [],
    }
    for file in DATA:
        print(file)
        cells = anndata.read_h5ad(folder / "data" / "dev" / "labelled" / file)
        mitochondrial = cells.var_names.str.upper().str.startswith("MT-")
        ensembl = bool(cells.var_names[0].startswith("ENS"))
        case = steps_case(cells.X, mitochondrial, min(N_TOP_GENES, cells.n_vars // 2), True)
        goldens["real"].append({"file": f"data/dev/labelled/{file}", "ensembl": ensembl, **case})
    path = ROOT / "tests" / "goldens" / "cluster.json"
    path.write_text(json.dumps(goldens) + "\n")
    print(path)


if __name__ == "__main__":
    main()
