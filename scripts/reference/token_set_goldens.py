#!/usr/bin/env python3
"""Write the goldens of how alike two names are as sets of words, with RapidFuzz.

    python3 scripts/reference/token_set_goldens.py

Writes tests/goldens/token_set.json: pairs of names with `fuzz.token_set_ratio` divided by 100. The pinned library
is installed into target/reference-token-set, unless the running Python has it already.
"""

import itertools
import json
import random
from pathlib import Path

import environment

environment.enter("token-set", {"rapidfuzz": "3.14.6"})

from rapidfuzz.fuzz import token_set_ratio  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
WORDS = (
    "t b nk cd4+ cd8+ naive memory mature immature cell progenitor precursor stem alpha beta delta ductal acinar "
    "endothelial epithelial hepatocyte hepatocite macrophage microglia oligodendrocyte astrocyte größe"
).split()
FIXED = [("", ""), ("", "t cell"), ("t cell", "t cell"), ("cell t", "t cell t"), ("ab", "ba"), ("a  b", "b a")]

draw = random.Random(0)
names = [" ".join(draw.choices(WORDS, k=draw.randint(1, 5))) for _ in range(28)]
pairs = FIXED + list(itertools.combinations(names, 2))
found = [(a, b, token_set_ratio(a, b) / 100) for a, b in pairs]
path = ROOT / "tests" / "goldens" / "token_set.json"
path.write_text("[\n" + ",\n".join(json.dumps(one, ensure_ascii=False) for one in found) + "\n]\n")
print(f"{path.relative_to(ROOT)}: {len(found)} pairs")
