"""Check annotated copies with anndata and scanpy: everything of the input is there, unchanged.

    SCREADER_KEEP=/tmp/kept cargo test --lib annotated_copies_of_real_files
    .venv-reference/bin/python scripts/reference/check_annotated.py ../shared /tmp/kept

The environment is that of read_goldens.py.
"""

import sys
import warnings
from pathlib import Path

import anndata
import h5py
import numpy
import scanpy
from anndata.tests.helpers import assert_equal

warnings.filterwarnings("ignore")
ADDED = ["screader_cell_type", "screader_confidence"]


def main(shared, kept):
    inputs = {path.name: path for path in (Path(shared) / "data" / "dev").rglob("*.h5ad")}
    failures = checked = 0
    for copy in sorted(Path(kept).glob("*.h5ad")):
        try:
            before = anndata.read_h5ad(inputs[copy.name])
        except Exception as error:
            print(f"{copy.name}: the reference cannot read the input ({type(error).__name__})")
            continue
        try:
            after = scanpy.read_h5ad(copy)
            assert list(after.obs.columns[-2:]) == ADDED, list(after.obs.columns)
            assert after.obs["screader_cell_type"].dtype == "category"
            assert (after.obs["screader_confidence"] == 0.75).all()
            assert after.obsm["X_screader"].shape == (before.n_obs, 4)
            assert after.uns["screader"] == {"version": "0.1.0"}, after.uns["screader"]
            after.obs = after.obs.drop(columns=ADDED)
            del after.obsm["X_screader"], after.uns["screader"]
            for name in [name for name in after.uns if name.endswith("_categories") and name not in before.uns]:
                del after.uns[name]  # anndata 0.6 kept categories there; now they are in the column
            with h5py.File(inputs[copy.name]) as file:
                if isinstance(file["obs"], h5py.Dataset):  # before 0.7: columns are written in 64 bits
                    after.obs = after.obs.astype(before.obs.dtypes)
                    after.var = after.var.astype(before.var.dtypes)
            if before.raw is not None:
                assert_equal(after.raw.to_adata().X, before.raw.to_adata().X)
                assert_equal(after.raw.var, before.raw.var)
            for part in ["X", "obs", "var", "obsm", "varm", "obsp", "varp", "layers", "uns"]:
                assert_equal(getattr(after, part), getattr(before, part))
            if before.n_vars > 10 and isinstance(before.X, numpy.ndarray) and numpy.isfinite(before.X).all():
                scanpy.pp.pca(after, n_comps=2)
            checked += 1
        except Exception as error:
            failures += 1
            print(f"{copy.name}: {type(error).__name__}: {str(error)[:300]}")
    print(f"{checked} copies open and equal their input, {failures} do not")
    sys.exit(failures > 0 or checked == 0)


main(*sys.argv[1:])
