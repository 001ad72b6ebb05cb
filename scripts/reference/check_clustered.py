#!/usr/bin/env python3
"""Check with scanpy that it goes on from what `screader cluster` wrote, and finds the same there.

    screader cluster raw.h5ad --out clustered.h5ad --markers markers.csv
    python3 scripts/reference/check_clustered.py clustered.h5ad markers.csv

The pinned libraries are installed into target/reference-scanpy, unless the running Python has them already.
"""

import sys
import warnings

import environment

environment.enter("scanpy", environment.SCANPY)

import anndata  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import scanpy as sc  # noqa: E402


def same_graph(cells):
    """scanpy's own graph of the same components; it keeps no edge that we lack, and weighs it alike."""
    again = anndata.AnnData(obs=cells.obs[[]], obsm={"X_pca": cells.obsm["X_pca"]})
    n_neighbors = int(cells.uns["neighbors"]["params"]["n_neighbors"])
    sc.pp.neighbors(again, n_neighbors=n_neighbors, use_rep="X_pca")
    for name in ["distances", "connectivities"]:
        ours, theirs = cells.obsp[name].tocsr(), again.obsp[name].tocsr()
        assert ours.shape == theirs.shape and ours.has_canonical_format, name
        # Where distances tie, or its search is not exact, scanpy may take another neighbour.
        shared = ours.multiply(theirs != 0)
        part = shared.nnz / theirs.nnz
        differs = abs(shared - theirs.multiply(ours != 0)).max() / theirs.max()
        print(f"{name}: {ours.nnz} entries, {100 * part:.2f} % of scanpy's are there, unlike by {differs:.1e} at most")
        assert part > 0.98, name


def main(path, markers):
    warnings.simplefilter("ignore")
    cells = sc.read_h5ad(path)
    print(cells)
    same_graph(cells)
    chosen = cells.var["highly_variable"].to_numpy()
    loadings = cells.varm["PCs"]
    assert loadings.shape == (cells.n_vars, cells.obsm["X_pca"].shape[1]) and not loadings[~chosen].any()
    lengths = np.linalg.norm(loadings, axis=0)
    assert np.allclose(lengths, 1, atol=1e-4), lengths
    variance = cells.obsm["X_pca"].var(axis=0, ddof=1)
    assert np.allclose(variance, cells.uns["pca"]["variance"], rtol=1e-3)
    if (cells.obs["leiden"].value_counts() > 1).all():
        table = sc.get.rank_genes_groups_df(cells, group=None)
        ours = pd.read_csv(markers)
        assert (table["names"].astype(str) == ours["names"]).all()
        for column in ["scores", "logfoldchanges", "pvals", "pvals_adj"]:
            assert np.allclose(table[column], ours[column], rtol=1e-6, atol=0), column
    # What users do next.
    sc.tl.leiden(cells, key_added="again", flavor="igraph", n_iterations=2, directed=False)
    sc.tl.paga(cells, groups="leiden")
    sc.tl.umap(cells, maxiter=2)
    sc.tl.dendrogram(cells, groupby="leiden")
    sc.tl.filter_rank_genes_groups(cells)
    sc.pl.rank_genes_groups_dotplot(cells, n_genes=4, show=False)
    sc.pl.pca_variance_ratio(cells, show=False)
    print("scanpy goes on from it")


main(*sys.argv[1:])
