"""One entry: the name of a data set, file or folder → a :class:`Dataset`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from audit.data.adult import adult
from audit.data.builtin import digits
from audit.data.dataset import Dataset
from audit.data.groupings import group


def load(
    source: str,
    *,
    label: str | None,
    subgroups: Sequence[str],
    seed: int,
    clusters_per_class: int,
    test_fraction: float,
    data_root: Path | None,
) -> Dataset:
    """Load."""
    return group(digits() if source=='digits' else adult(), subgroups, clusters_per_class=clusters_per_class, seed=seed)
