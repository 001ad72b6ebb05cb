"""A virtual environment of pinned libraries for a script of this folder."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


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
