"""The audits that are disturbed; each is run undisturbed once, when it is first asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from benchmarks.faults.trial import Study

_DIGITS = """
data = "digits"
clusters_per_class = 2
models = 12
cohort_size = 2
[standard]
epochs = 4
{standard}
[dp]
epochs = 4
"""
_ARMS = ("clip-only", "noise-only", "neither", "pruned-80", "random-labels")
_CONTROLS = f"controls = {json.dumps(_ARMS)}"
_REMOVAL = "[removal]\nmodels = 4\nthresholds = [0.25, 0.5]"
# Data without a shipped configuration: the built-in settings.
_TABLE = 'data = "t.csv"\nlabel = "y"\nmodels = 12\ncohort_size = 2\n'
# Each step multiplies the parameters by -999: a dozen of them leave the finite numbers.
_WILD = "learning_rate = 1000\nweight_decay = 1"


def table(seed: int) -> str:
    """A small CSV, which can change under a run."""
    rng = np.random.default_rng(seed)
    rows = ["x,z,g,y,split"]
    for i in range(240):
        y = int(rng.integers(2))
        side = "train" if i < 180 else "test"
        rows.append(f"{rng.normal(y):.4f},{rng.normal():.4f},{'ab'[i % 2]},{y},{side}")
    return "\n".join(rows) + "\n"


class Studies:
    """Studies by name: ``digits``, ``table``, ``diverging`` (digits, the standard arm wild),
    ``controls`` and ``removal`` (digits, with all controls, and with the removal experiment);
    ``kind``: how their commands are run."""

    def __init__(self, folder: Path, seed: int = 0, kind: type[Study] = Study) -> None:
        self._folder, self._seed, self._kind = folder, seed, kind
        self._begun: dict[str, Study] = {}

    def __getitem__(self, name: str) -> Study:
        if name not in self._begun:
            config, files = {
                "digits": (_DIGITS.format(standard=""), {}),
                "table": (_TABLE, {"t.csv": table(self._seed)}),
                "diverging": (_DIGITS.format(standard=_WILD), {}),
                "controls": (f"{_CONTROLS}\n{_DIGITS.format(standard='')}", {}),
                "removal": (f"{_DIGITS.format(standard='')}\n{_REMOVAL}\n", {}),
            }[name]
            self._begun[name] = self._kind.begun(self._folder / name, config, files)
        return self._begun[name]
