"""Peak memory of whole audits on large data: a table of 200,000 × 500, 60,000 images of 28 × 28.

The data are made up (normal numbers, random pixels; what is learned does not matter here) and
``audit run --models 4`` audits them: memory does not depend on the number of models but for what
they answered, a byte per model and example while they are estimated. Printed are the peaks of two
sums over the command and its workers: memory of their own (anonymous and shared), and the
proportional set size, which adds the pages of arrays that they map from disk (the system may take
these back). Run:

    python -m benchmarks.run_memory [table] [images] [--models 4]
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

GIB = 2**30
LIMIT = 4.0
_POLL_SECONDS = 0.1


def table(folder: Path) -> list[str]:
    """200,000 training and 50,000 test rows of 500 numbers."""
    import pandas as pd

    rng = np.random.default_rng(0)
    train, test, width = 200_000, 50_000, 500
    x = rng.standard_normal((train + test, width), dtype=np.float32)
    frame = pd.DataFrame(x, columns=[f"f{i}" for i in range(width)])
    frame["y"] = (x[:, :5].sum(axis=1) + rng.standard_normal(train + test) > 0).astype(int)
    frame["g"] = rng.choice(list("abc"), train + test, p=[0.9, 0.09, 0.01])
    frame["split"] = np.where(np.arange(train + test) < train, "train", "test")
    frame.to_parquet(folder / "table.parquet")
    return ["--data", str(folder / "table.parquet"), "--label", "y", "--subgroups", "g"]


def images(folder: Path) -> list[str]:
    """60,000 training and 10,000 test images of 28 × 28 in ten classes."""
    rng = np.random.default_rng(0)
    train, test = 60_000, 10_000
    x = rng.integers(0, 256, (train + test, 28, 28), dtype=np.uint8)
    y = rng.integers(0, 10, train + test)
    np.savez(
        folder / "images.npz",
        x_train=x[:train], y_train=y[:train], x_test=x[train:], y_test=y[train:],
    )  # fmt: skip
    return ["--data", str(folder / "images.npz")]


STUDIES = {"table": table, "images": images}


def family(process: psutil.Process) -> Iterator[tuple[int, int]]:
    """Bytes of each process of a command: its own, and its proportional set size."""
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.Error, OSError, IndexError):
            status = Path(f"/proc/{one.pid}/status").read_text()
            own = sum(
                1024 * int(status.partition(name)[2].split()[0])
                for name in ("RssAnon:", "RssShmem:")
            )
            yield own, one.memory_full_info().pss


def peak(command: list[str]) -> tuple[int, float, float, float]:
    """Exit code, GiB of own memory and of proportional set size at their peaks, seconds."""
    started = time.monotonic()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    own = shared = 0
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            sizes = list(family(process))
            own = max(own, sum(size for size, _ in sizes))
            shared = max(shared, sum(size for _, size in sizes))
        time.sleep(_POLL_SECONDS)
    return process.returncode, own / GIB, shared / GIB, time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory of whole audits.")
    parser.add_argument("studies", nargs="*", choices=list(STUDIES), default=list(STUDIES))
    parser.add_argument("--models", type=int, default=4)
    given = parser.parse_args()
    print("| data | models | own memory, GiB | with mapped pages, GiB | seconds |")
    print("|---|---|---|---|---|")
    within = True
    for name in given.studies:
        with tempfile.TemporaryDirectory() as folder:
            data = STUDIES[name](Path(folder))
            command = [sys.executable, "-m", "audit", "run", "--epsilon", "2", *data]
            more = ["--models", str(given.models), "--out", str(Path(folder) / "run")]
            code, own, shared, seconds = peak([*command, *more])
        print(f"| {name} | {given.models} | {own:.2f} | {shared:.2f} | {seconds:.0f} |", flush=True)
        # 3: that few models cannot tell.
        within &= code == 3 and shared <= LIMIT
    sys.exit(0 if within else 1)


if __name__ == "__main__":
    main()
