"""Time and peak memory of loading a 200,000 × 40 CSV file with mixed columns and missing values.

    python benchmarks/load_csv.py [--rows 200000] [--levels 1000]

Prints one line: rows, features, seconds for reading and encoding, megabytes the process held at
most, and what it held before loading (the libraries).
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from audit.data.registry import load


def write_csv(path: Path, *, rows: int, levels: int, seed: int) -> None:
    """20 numeric and 19 categorical columns (up to ``levels`` levels, long-tailed), 5 % missing."""
    rng = np.random.default_rng(seed)
    names = [f"n{k}" for k in range(20)] + [f"c{k}" for k in range(19)] + ["label"]
    with path.open("w") as file:
        file.write(",".join(names) + "\n")
        for start in range(0, rows, 10_000):
            count = min(10_000, rows - start)
            block = [_numbers(rng, count) for _ in range(20)]
            block += [_levels(rng, count, max(2, levels * (k + 1) // 19)) for k in range(19)]
            block.append(rng.choice(["yes", "no", "perhaps"], size=count))
            file.writelines(",".join(row) + "\n" for row in zip(*block, strict=True))


def _numbers(rng: np.random.Generator, count: int) -> np.ndarray:
    text = np.char.mod("%.5g", rng.lognormal(size=count))
    return np.where(rng.random(count) < 0.05, "", text)


def _levels(rng: np.random.Generator, count: int, levels: int) -> np.ndarray:
    # u³ makes level 0 the most frequent and leaves a long tail of rare ones.
    text = np.char.mod("level %d", (levels * rng.random(count) ** 3).astype(int))
    return np.where(rng.random(count) < 0.05, "", text)


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--levels", type=int, default=1_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mixed.csv"
        write_csv(path, rows=arguments.rows, levels=arguments.levels, seed=0)
        before, start = _peak_megabytes(), time.perf_counter()
        data = load(str(path), label="label", subgroups=("c0", "n0"), seed=0)
        seconds = time.perf_counter() - start
        print(
            f"{arguments.rows:,} rows × 40 columns ({path.stat().st_size / 1e6:.0f} MB) → "
            f"{data.x_train.shape[1]} features in {seconds:.1f} s; "
            f"peak {_peak_megabytes():,.0f} MB, {before:,.0f} MB before loading"
        )


if __name__ == "__main__":
    main()
