"""A virtual environment of pinned libraries for a script of this folder."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# scanpy and what its clusters come from. From numba 0.62 on, umap-learn 0.5.9 gives bandwidths of infinity
# (lmcinnes/umap issue 1216).
SCANPY = {
    "anndata": "0.12.19",
    "igraph": "0.11.8",
    "numba": "0.61.2",
    "numpy": "2.2.6",
    "pandas": "2.3.3",
    "pynndescent": "0.5.13",
    "scanpy": "1.11.5",
    "scikit-learn": "1.6.1",
    "scipy": "1.15.3",
    "umap-learn": "0.5.9.post2",
}


def enter(name, requirements):
    """Run the calling script again in target/reference-NAME, unless this Python has what it needs.

    `requirements` gives the version of each library. Call it before the libraries are imported.
    """
    try:
        if all(importlib.metadata.version(one) == pin for one, pin in requirements.items()):
            return
    except importlib.metadata.PackageNotFoundError:
        pass
    folder = ROOT / "target" / f"reference-{name}"
    python = folder / "bin" / "python"
    if Path(sys.prefix) == folder:
        sys.exit(f"{folder} lacks the pinned libraries; delete it and run again")
    subprocess.check_call([sys.executable, "-m", "venv", folder])
    pins = [f"{one}=={pin}" for one, pin in requirements.items()]
    subprocess.check_call([python, "-m", "pip", "install", "--quiet", *pins])
    os.execv(python, [str(python), *sys.argv])
