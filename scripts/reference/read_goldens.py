"""Write tests/goldens/read.json: what anndata, scanpy and loompy read from the shared files.

    python3 -m venv .venv-reference
    .venv-reference/bin/pip install anndata==0.12.19 scanpy==1.11.5 loompy==3.0.8 openpyxl
    .venv-reference/bin/python scripts/reference/read_goldens.py ../shared tests/goldens/read.json

10x files are read as scanpy does by default: gene symbols as names, gene expression only. Only
small numbers leave the files: shapes, sums, first and last names, hashes.
"""

import hashlib
import json
import sys
import warnings
from pathlib import Path

import anndata
import numpy
import pandas
import scanpy
from scipy import sparse

warnings.filterwarnings("ignore")


def digest(texts):
    """Hash a list of texts; a missing one (None) differs from every text."""
    state = hashlib.sha256()
    for text in texts:
        state.update(b"\x00" if text is None else b"\x01" + str(text).encode())
        state.update(b"\n")
    return state.hexdigest()[:16]


def matrix(values):
    """Sums that change when a value, its row or its column does."""
    if values is None:
        return None
    values = sparse.coo_matrix(values)
    values.sum_duplicates()
    data = values.data.astype(numpy.float32).astype(numpy.float64)
    finite = numpy.isfinite(data)
    places = (1 + values.row % 97) * (1 + values.col % 89)
    return {
        "shape": list(values.shape),
        "nonzero": int(numpy.count_nonzero(data)),
        "not_finite": int((~finite).sum()),
        "sum": float(data[finite].sum()),
        "absolute_sum": float(numpy.abs(data[finite]).sum()),
        "placed_sum": float((data * places)[finite].sum()),
        "placed_absolute_sum": float((numpy.abs(data) * places)[finite].sum()),
    }


def column(values):
    if isinstance(values.dtype, pandas.CategoricalDtype):
        kind = "categorical"
        texts = [None if pandas.isna(value) else str(value) for value in values]
        return {"kind": kind, "hash": digest(texts), "categories": len(values.cat.categories)}
    if pandas.api.types.is_bool_dtype(values.dtype):
        missing = values.isna()
        return {"kind": "boolean", "sum": float(values[~missing].astype(int).sum()), "missing": int(missing.sum())}
    if pandas.api.types.is_numeric_dtype(values.dtype):
        kind = "integer" if pandas.api.types.is_integer_dtype(values.dtype) else "float"
        missing = values.isna()
        numbers = values[~missing].to_numpy(dtype=numpy.float64)
        finite = numpy.isfinite(numbers)
        return {"kind": kind, "sum": float(numbers[finite].sum()), "absolute_sum": float(numpy.abs(numbers[finite]).sum()), "missing": int(missing.sum())}
    return {"kind": "text", "hash": digest([None if pandas.isna(value) else str(value) for value in values])}


def frame(table):
    names = [str(name) for name in table.index]
    return {
        "rows": len(names),
        "first": names[0] if names else None,
        "last": names[-1] if names else None,
        "names": digest(names),
        "columns": {str(name): column(table.iloc[:, at]) for at, name in enumerate(table.columns)},
    }


def describe(cells):
    golden = {"X": matrix(cells.X), "obs": frame(cells.obs), "var": frame(cells.var)}
    golden["layers"] = {name: matrix(values) for name, values in sorted(cells.layers.items())}
    golden["raw"] = None
    if cells.raw is not None:
        golden["raw"] = {"X": matrix(cells.raw.X), "var": frame(cells.raw.var)}
    golden["obsm"] = {
        name: matrix(values)
        for name, values in sorted(cells.obsm.items())
        if isinstance(values, numpy.ndarray) and values.ndim == 2
    }
    return golden


def load(path):
    name = path.name
    if path.is_dir():
        return scanpy.read_10x_mtx(path, var_names="gene_symbols", make_unique=False)
    if name.endswith(".h5ad"):
        return anndata.read_h5ad(path)
    if name.endswith(".loom"):
        return anndata.io.read_loom(path, sparse=True)
    if name.endswith(".h5"):
        return scanpy.read_10x_h5(path)
    if name.endswith((".csv", ".csv.gz")):
        return anndata.io.read_csv(path, first_column_names=True)
    if name.endswith((".tsv", ".tsv.gz")):
        return anndata.io.read_text(path, delimiter="\t", first_column_names=True)
    raise ValueError(f"no reader for {name}")


def main(shared, out):
    root = Path(shared) / "data" / "dev"
    paths = [path for folder in ("labelled", "odd_files", "tables") for path in (root / folder).iterdir()]
    paths += (root / "10x_test").glob("*.h5")
    paths += {path.parent for path in (root / "10x_test").rglob("matrix.mtx*")}
    goldens = {}
    for path in sorted(paths):
        if path.name.endswith(".npz"):
            continue
        key = str(path.relative_to(root))
        try:
            goldens[key] = {"read": describe(load(path))}
        except BaseException as error:  # the reference fails in many ways
            goldens[key] = {"fails": f"{type(error).__name__}: {str(error).splitlines()[0][:160]}" if str(error) else type(error).__name__}
        print(key, "fails: " + goldens[key]["fails"] if "fails" in goldens[key] else "")
    text = json.dumps(goldens, indent=0, sort_keys=True, allow_nan=False).replace(str(shared), "shared")
    Path(out).write_text(text + "\n")


main(*sys.argv[1:])
