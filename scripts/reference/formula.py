"""Numbers that scripts and tests make alike; tests/formula/mod.rs is the twin in Rust."""

import numpy as np


def uniform(seed, count):
    """SplitMix64 of seed + 0, 1, 2, … as numbers in [0, 1)."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(
            0x9E3779B97F4A7C15
        )
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / 2.0**53


def signed(seed, rows, columns):
    return (2 * uniform(seed, rows * columns) - 1).astype(np.float32).reshape(rows, columns)
