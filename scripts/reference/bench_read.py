"""Make a gzip-compressed h5ad of 30,000 × 20,000 with about 86 M values, and time anndata on it.

    python scripts/reference/bench_read.py make FILE [CELLS GENES]
    python scripts/reference/bench_read.py time FILE

`scripts/bench-read` runs both, and our reader on the same file in the same run.
"""

import json
import resource
import sys
import time

import anndata
import numpy
import pandas
from scipy import sparse


def make(path, n_cells=30_000, n_genes=20_000):
    """Counts whose genes differ in how often they occur, 14 % of all values stored."""
    random = numpy.random.default_rng(0)
    share = random.beta(0.6, 3.6, n_genes).astype(numpy.float32)
    blocks = []
    for start in range(0, n_cells, 500):
        rows = min(500, n_cells - start)
        block = sparse.csr_matrix(random.random((rows, n_genes), dtype=numpy.float32) < share)
        counts = random.geometric(0.35, block.nnz).astype(numpy.float32)
        blocks.append(sparse.csr_matrix((counts, block.indices, block.indptr), shape=block.shape))
    x = sparse.vstack(blocks, format="csr")
    obs = pd_frame("cell", n_cells)
    obs["cell_type"] = pandas.Categorical([f"type {at % 12}" for at in range(n_cells)])
    anndata.AnnData(x, obs=obs, var=pd_frame("gene", n_genes)).write_h5ad(path, compression="gzip")
    print(f"{path}: {x.shape[0]} × {x.shape[1]}, {x.nnz} values", file=sys.stderr)


def pd_frame(prefix, count):
    return pandas.DataFrame(index=[f"{prefix}{at}" for at in range(count)])


def clock(path):
    start = time.perf_counter()
    cells = anndata.read_h5ad(path)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": round(seconds, 3), "peak": peak, "values": cells.X.nnz}))


if sys.argv[1] == "make":
    make(sys.argv[2], *map(int, sys.argv[3:]))
else:
    clock(sys.argv[2])
