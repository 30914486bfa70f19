"""What hostile run directories, reports and arrays are made from: one real run, small."""

from __future__ import annotations

import os
import shutil
import sys
import traceback
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
controls = ["clip-only"]
[removal]
thresholds = [0.5]
models = 2
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
    """``folder`` with ``t.csv``, ``run`` (finished, of that table) and its ``report.json``.

    Of a process that is warm already (``boxed.warm``).
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    rows = ["a,b,g,y,split"]
    for i in range(120):
        y, side = int(rng.integers(2)), "train" if i < 90 else "test"
        rows.append(f"{rng.normal(y):.4f},{rng.normal():.4f},{'uvw'[i % 3]},{y},{side}")
    (folder / "t.csv").write_text("\n".join(rows) + "\n")
    (folder / "c.toml").write_text(CONFIG)
    with (folder / "said").open("w") as said:
        pid = os.fork()
        if pid == 0:
            _child(folder, said.fileno())
        _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != _FINISHED:
        told = (folder / "said").read_text()
        raise RuntimeError(f"the run to copy from ended with {code}: {told}")
    # The page is the largest file, and no command reads it.
    (folder / "run" / "report.html").unlink()
    shutil.copy(folder / "run" / "report.json", folder / "report.json")
    return folder


def _child(folder: Path, said: int) -> None:
    """The forked process that makes the run: never returns."""
    code = 70
    try:
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.chdir(folder)
        from audit import cli, missing_cohorts

        # In this process: others would first import everything again.
        missing_cohorts.cores = lambda: 1
        cli.main(["run", "--config", "c.toml", "--out", "run"])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 70
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
