"""Time and peak memory of the estimators on data sets of published sizes, with planted pairs.

Memberships and correctness are made up: mem of each example is drawn from a long tail, a stated
share of the examples is memorized (mem ≥ .25), and pairs (training example, test example) of known
influence are planted. Each size is estimated in a fresh process, which reports the seconds of its
estimates and its peak resident memory, arrays included. Run:

    python -m benchmarks.scale mnist                # 60,000 × 10,000, K = 2,000
    python -m benchmarks.scale imagenet             # 1,280,000 × 50,000, K = 1,000 (half an hour)
    python -m benchmarks.scale growth               # how the time grows, each axis doubled
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

_ROWS = 50
"""Models made up at once."""


@dataclass(frozen=True)
class Size:
    """A study: how many of everything, and what is memorized of it."""

    n: int
    n_test: int
    models: int
    memorized: float
    """Share of the training examples with a true mem of .3 to .9."""
    pairs: int = 400
    p: float = 0.7


SIZES = {
    "mnist": Size(60_000, 10_000, 2_000, 0.10),
    # Feldman & Zhang 2020, §3: about a third of ImageNet has mem ≥ .3.
    "imagenet": Size(1_280_000, 50_000, 1_000, 0.32),
}
_LIMITS = {"mnist": (60.0, 2.0), "imagenet": (float("inf"), 8.0)}
"""Seconds and GiB that the study must stay under."""


def make(size: Size, folder: Path, seed: int) -> None:
    """Write membership, correctness of training and test examples, and the planted pairs."""
    rng = np.random.default_rng(seed)
    out = 1 - rng.beta(0.4, 3.0, size.n).astype(np.float32)
    mem = np.minimum(rng.beta(0.3, 6.0, size.n), 0.2).astype(np.float32)
    chosen = rng.permutation(size.n)[: round(size.memorized * size.n)]
    mem[chosen] = rng.uniform(0.3, 0.9, chosen.size)
    out[chosen] = rng.uniform(0, 1 - mem[chosen])
    inside = np.minimum(out + mem, 1.0)
    train = rng.choice(chosen, size.pairs, replace=False)
    test = rng.choice(size.n_test, size.pairs, replace=False)
    test_out = (1 - rng.beta(0.5, 2.0, size.n_test)).astype(np.float32)
    influence = rng.uniform(0.3, 0.6, size.pairs).astype(np.float32)
    test_out[test] = rng.uniform(0.1, 0.4, size.pairs)
    files = {
        name: np.lib.format.open_memmap(
            folder / f"{name}.npy", mode="w+", dtype=bool, shape=(size.models, width)
        )
        for name, width in (("member", size.n), ("correct", size.n), ("right", size.n_test))
    }
    for start in range(0, size.models, _ROWS):
        rows = slice(start, min(start + _ROWS, size.models))
        models = rows.stop - rows.start
        member = rng.random((models, size.n), dtype=np.float32) < size.p
        files["member"][rows] = member
        chance = np.where(member, inside, out)
        files["correct"][rows] = rng.random((models, size.n), dtype=np.float32) < chance
        chance = np.tile(test_out, (models, 1))
        chance[:, test] += influence * member[:, train]
        files["right"][rows] = rng.random((models, size.n_test), dtype=np.float32) < chance
    for file in files.values():
        file.flush()
    np.savez(folder / "planted.npz", train=train, test=test)


def peak_kib() -> int:
    """Peak resident memory of this process (``ru_maxrss`` would be the parent's, where larger)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def estimate(folder: Path) -> dict[str, float]:
    """What a process of its own does: read the arrays, estimate, count what was found."""
    from audit.estimates.influence import influential_pairs
    from audit.estimates.memorization import memorization

    before = peak_kib()
    member, correct, right = (
        np.load(folder / f"{name}.npy", allow_pickle=False)
        for name in ("member", "correct", "right")
    )
    loaded = peak_kib()
    started = time.perf_counter()
    mem = memorization(member, correct)
    middle = time.perf_counter()
    found = influential_pairs(member, correct, right)
    ended = time.perf_counter()
    planted = np.load(folder / "planted.npz", allow_pickle=False)
    true = set(zip(planted["train"].tolist(), planted["test"].tolist(), strict=True))
    reported = set(zip(found.train.tolist(), found.test.tolist(), strict=True))
    return {
        "memorized": int((mem.mem >= 0.25).sum()),
        "seconds memorization": middle - started,
        "seconds influence": ended - middle,
        "planted": len(true),
        "planted found": len(true & reported),
        "others reported": len(reported - true),
        "pairs by cuts": found.n_by_cuts,
        "GiB before": before / 2**20,
        "GiB with arrays": loaded / 2**20,
        "GiB peak": peak_kib() / 2**20,
    }


def measured(size: Size, seed: int) -> dict[str, float]:
    """Make a study up and estimate it in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        make(size, Path(folder), seed)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.scale", "--estimate", folder],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    return json.loads(done.stdout)


def show(size: Size, found: dict[str, float]) -> None:
    print(", ".join(f"{name} {value:g}" for name, value in asdict(size).items()))
    for name, value in found.items():
        print(f"  {name:22} {value:,.2f}" if isinstance(value, float) else f"  {name:22} {value:,}")
    counted = found["memorized"] * size.n_test * size.models
    # Once on all models and once on each half of them.
    rate = 2 * counted / found["seconds influence"]
    print(f"  memorized × n_test × K = {counted:.3g}; {rate / 1e9:.1f} billion a second")


def growth(seed: int) -> None:
    """Each axis doubled from the same small study."""
    base = Size(20_000, 5_000, 500, 0.2)
    doubled = (
        base,
        replace(base, n=2 * base.n),
        replace(base, n_test=2 * base.n_test),
        replace(base, models=2 * base.models),
        replace(base, memorized=2 * base.memorized),
    )
    for size in doubled:
        show(size, measured(size, seed))


def main() -> None:
    parser = argparse.ArgumentParser(description="The estimators on large studies.")
    parser.add_argument("study", nargs="?", choices=[*SIZES, "growth"], default="mnist")
    parser.add_argument("--memorized", type=float, help="share of the examples that is memorized")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--estimate", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.estimate is not None:
        print(json.dumps(estimate(given.estimate)))
        return
    if given.study == "growth":
        growth(given.seed)
        return
    size = SIZES[given.study]
    if given.memorized is not None:
        size = replace(size, memorized=given.memorized)
    found = measured(size, given.seed)
    show(size, found)
    most_seconds, most_gib = _LIMITS[given.study]
    seconds = found["seconds memorization"] + found["seconds influence"]
    kept = (
        seconds <= most_seconds
        and found["GiB peak"] <= most_gib
        and found["planted found"] >= 0.95 * found["planted"]
        and found["others reported"] <= 0.15 * found["planted"]
    )
    print(f"  {seconds:.1f} s in all: {'within' if kept else 'NOT within'} the limits")
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
