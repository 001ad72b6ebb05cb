#!/usr/bin/env python3
"""Write the goldens of scores, calibration, ranking and baselines with the Python libraries of the field.

    python3 scripts/reference/score_goldens.py [folder of test data]

Writes tests/goldens/score.json and tests/goldens/rank.json. The folder (default: $SCREADER_SHARED,
else ../shared) is needed for rank.json. The pinned libraries are installed into
target/reference-score, unless the running Python has them already.
"""

import json
import os
import sys
import warnings
from pathlib import Path

import environment

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = {
    "anndata": "0.12.19",
    "numpy": "2.4.6",
    "pandas": "2.3.3",
    "scanpy": "1.11.5",
    "scikit-learn": "1.6.1",
    "scipy": "1.15.3",
}

environment.enter("score", REQUIREMENTS)

import anndata  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import scanpy as sc  # noqa: E402
import scipy.sparse  # noqa: E402
from scipy.optimize import minimize_scalar  # noqa: E402
from scipy.special import log_softmax, softmax  # noqa: E402
from sklearn.metrics import (  # noqa: E402
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    precision_recall_fscore_support,
)
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors  # noqa: E402

from formula import signed, uniform  # noqa: E402


def scores_of(name, truth, predicted, n_classes):
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    occurring = sorted(set(truth.tolist()) | set(predicted.tolist()))

    def average(kind):
        found = precision_recall_fscore_support(truth, predicted, average=kind, zero_division=0)
        return [float(value) for value in found[:3]]

    per_class = precision_recall_fscore_support(
        truth, predicted, labels=occurring, average=None, zero_division=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        balanced = float(balanced_accuracy_score(truth, predicted))
    return {
        "name": name,
        "n_classes": n_classes,
        "truth": truth.tolist(),
        "predicted": predicted.tolist(),
        "counts": confusion_matrix(truth, predicted, labels=range(n_classes)).ravel().tolist(),
        "accuracy": float(accuracy_score(truth, predicted)),
        "balanced_accuracy": balanced,
        "macro": average("macro"),
        "weighted": average("weighted"),
        "occurring": occurring,
        "per_class": [[float(column[i]) for column in per_class] for i in range(len(occurring))],
    }


def confusion_cases():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 6, 120)
    noisy = np.where(rng.random(120) < 0.7, truth, rng.integers(0, 6, 120))
    absent_truth = rng.choice([0, 1, 2, 4], 80, p=[0.6, 0.2, 0.15, 0.05])
    absent_predicted = np.where(rng.random(80) < 0.5, absent_truth, rng.choice([0, 3], 80))
    return [
        scores_of("noisy", truth, noisy, 6),
        scores_of("classes absent from truth, prediction or both", absent_truth, absent_predicted, 6),
        scores_of("all wrong", [0, 1, 2, 0], [1, 2, 0, 2], 3),
        scores_of("all right", [0, 1, 1], [0, 1, 1], 2),
        scores_of("one class guessed", [0, 1, 2, 1, 1], [1, 1, 1, 1, 1], 3),
    ]


def calibration_case(seed, scale):
    cells, classes = 400, 5
    logits = (scale * signed(seed, cells, classes)).astype(np.float32)
    sharp = softmax(1.7 * logits.astype(np.float64), axis=1)
    draws = uniform(seed + 1_000_000, cells)
    truth = (np.cumsum(sharp, axis=1) < draws[:, None]).sum(axis=1).clip(0, classes - 1)

    def loss(log_t):
        scaled = log_softmax(logits.astype(np.float64) / np.exp(log_t), axis=1)
        return -scaled[np.arange(cells), truth].mean()

    bounds = (np.log(0.05), np.log(20))
    best = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-10})
    temperature = float(np.exp(best.x))
    probability = softmax(logits.astype(np.float64) / temperature, axis=1)
    confidence = probability.max(axis=1).astype(np.float32)
    correct = probability.argmax(axis=1) == truth
    edges = np.linspace(0, 1, 16)
    bins = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, 14)
    ece = sum(
        (bins == b).mean() * abs(correct[bins == b].mean() - confidence[bins == b].mean())
        for b in range(15)
        if (bins == b).any()
    )
    kept = {t: correct[confidence >= t] for t in sorted(set(confidence.tolist()))}
    reaching = [t for t, outcome in kept.items() if outcome.mean() >= 0.9]
    return {
        "seed": seed,
        "scale": scale,
        "cells": cells,
        "classes": classes,
        "truth": truth.tolist(),
        "temperature": temperature,
        "expected_calibration_error": float(ece),
        "threshold_at_0.9": min(reaching) if reaching else None,
        "coverage_at_0.9": float(len(kept[min(reaching)]) / cells) if reaching else None,
    }


def neighbour_case():
    """Neighbours by scikit-learn, votes by our rule: of equals the class of the nearest."""
    rows, queries, dim, classes, k = 900, 300, 37, 12, 10
    centres = signed(11, classes, dim)
    labels = (uniform(12, rows) * classes).astype(int)
    train = (0.5 * centres[labels] + signed(13, rows, dim)).astype(np.float32)
    query = (0.5 * centres[(uniform(14, queries) * classes).astype(int)] + signed(15, queries, dim))
    search = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(train)
    nearest = labels[search.kneighbors(query.astype(np.float32), return_distance=False)]
    predicted, ties = [], 0
    for row in nearest:
        votes = np.bincount(row, minlength=classes)
        ties += int((votes == votes.max()).sum() > 1)
        predicted.append(int(next(label for label in row if votes[label] == votes.max())))
    return {
        "train": rows,
        "queries": queries,
        "dim": dim,
        "classes": classes,
        "k": k,
        "ties": ties,
        "predicted": predicted,
    }


def read_mixology(shared):
    folder = shared / "data/dev/tables"
    counts = pd.read_csv(folder / "sc_dropseq.count.csv.gz", index_col=0).T
    lines = pd.read_csv(folder / "sc_dropseq.metadata.csv.gz", index_col=0)["cell_line"]
    labels = lines.loc[counts.index].astype("category").cat.codes.to_numpy()
    return anndata.AnnData(scipy.sparse.csr_matrix(counts.to_numpy(dtype=np.float32))), labels


def rank_goldens(shared):
    cells, labels = read_mixology(shared)
    counts_sum = float(cells.X.sum())
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
    found = sc.pp.highly_variable_genes(cells, flavor="seurat", n_top_genes=300, inplace=False)
    dense = cells.X.toarray()
    medians = np.array(
        [np.median(column[column > 0]) if (column > 0).any() else np.nan for column in dense.T]
    )
    scores = np.where(dense > 0, dense / np.nan_to_num(medians, nan=1.0).astype(np.float32), 0)
    best = [np.lexsort((np.arange(scores.shape[1]), -row))[:12].tolist() for row in scores[:4]]
    genes = cells.n_vars
    embeddings = signed(2024, genes, 64)
    weighted = cells.X @ embeddings / genes
    unit = weighted / np.linalg.norm(weighted, axis=1, keepdims=True)
    classifier = KNeighborsClassifier(n_neighbors=10, metric="cosine", algorithm="brute")
    classifier.fit(weighted[0::2], labels[0::2])
    shown = list(range(0, genes, 900))
    numbers = found[["means", "dispersions", "dispersions_norm"]].to_numpy()
    return {
        "file": "data/dev/tables/sc_dropseq.count.csv.gz",
        "shape": list(cells.shape),
        "counts_sum": counts_sum,
        "hvg": {
            "n_top_genes": 300,
            "shown": shown,
            "numbers": [
                [None if np.isnan(value) else float(value) for value in numbers[gene]] for gene in shown
            ],
            "sums": [float(np.nansum(numbers[:, column])) for column in range(3)],
            "selected": np.flatnonzero(found["highly_variable"].to_numpy()).tolist(),
        },
        "medians": {
            "expressed": int(np.isfinite(medians).sum()),
            "sum": float(np.nansum(medians)),
            "shown": [None if np.isnan(medians[gene]) else float(medians[gene]) for gene in shown],
        },
        "best": best,
        "genept": {
            "dim": 64,
            "cell_3_mean": [float(value) for value in weighted[3, :6]],
            "cell_3_unit": [float(value) for value in unit[3, :6]],
            "predicted": classifier.predict(weighted[1::2]).tolist(),
        },
    }


def write(name, goldens):
    path = ROOT / "tests" / "goldens" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(goldens) + "\n")
    print(path)


def main():
    write(
        "score.json",
        {
            "confusion": confusion_cases(),
            "calibration": [calibration_case(21, 1.0), calibration_case(22, 4.0), calibration_case(23, 12.0)],
            "neighbours": neighbour_case(),
        },
    )
    default = os.environ.get("SCREADER_SHARED", ROOT.parent / "shared")
    write("rank.json", rank_goldens(Path(sys.argv[1] if len(sys.argv) > 1 else default)))


if __name__ == "__main__":
    main()
