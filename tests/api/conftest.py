"""One small run on arrays with hostile group names, for all tests that look at a finished run."""

from __future__ import annotations

import numpy as np
import pytest

import audit

HOSTILE = "</script><script>alert(1)</script>"
FAST = {
    "hidden": (8,),
    "cohort_size": 3,
    "standard": {"learning_rate": 0.2, "batch_size": 32, "epochs": 2},
    "dp": {"learning_rate": 0.3, "batch_size": 32, "epochs": 2, "clip_norm": 1.0},
}


def blobs(n: int = 240) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels and groups of two overlapping classes."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % 2
    x = rng.normal(size=(n, 5)) + y[:, None]
    groups = np.where(rng.random(n) < 0.3, HOSTILE, "b").astype(object)
    groups[:12] = None
    return x, y, groups


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> audit.Run:
    x, y, groups = blobs()
    return audit.run(
        x,
        y,
        groups={"site": groups, "mem": y, "arm": y},
        subgroups="site,mem,arm,site×mem,class",
        name=HOSTILE,
        models=6,
        out=tmp_path_factory.mktemp("api") / "run",
        progress=False,
        **FAST,
    )
