"""What hostile run directories, reports and arrays are made from: one real run, small."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

CONFIG = """
data = "t.csv"
label = "y"
subgroups = ["g"]
models = 4
cohort_size = 2
hidden = [4]
canaries = 12
[standard]
learning_rate = 0.1
batch_size = 16
epochs = 1
[dp]
learning_rate = 0.1
batch_size = 16
epochs = 1
clip_norm = 1
"""
# So few models cannot tell.
_FINISHED = 3


def build(folder: Path, seed: int) -> Path:
    """``folder`` with ``t.csv``, ``run`` (finished, of that table) and its ``report.json``."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    rows = ["a,b,g,y,split"]
    for i in range(120):
        y, side = int(rng.integers(2)), "train" if i < 90 else "test"
        rows.append(f"{rng.normal(y):.4f},{rng.normal():.4f},{'uvw'[i % 3]},{y},{side}")
    (folder / "t.csv").write_text("\n".join(rows) + "\n")
    (folder / "c.toml").write_text(CONFIG)
    command = [sys.executable, "-m", "audit", "run", "--config", "c.toml", "--out", "run"]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    if done.returncode != _FINISHED:
        raise RuntimeError(f"the run to copy from ended with {done.returncode}: {done.stderr}")
    # The page is the largest file, and no command reads it.
    (folder / "run" / "report.html").unlink()
    shutil.copy(folder / "run" / "report.json", folder / "report.json")
    return folder
