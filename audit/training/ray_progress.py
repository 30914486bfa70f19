"""How far the cohorts on a cluster are: a process of its own, so this module imports little."""

from __future__ import annotations

from collections import Counter


class Progress:
    """How far the cohorts are, told by workers and asked for by the machine that leads the run."""

    def __init__(self) -> None:
        self._fractions: dict[str, float] = {}
        self._starts: Counter[str] = Counter()

    def started(self, key: str) -> None:
        self._starts[key] += 1
        self._fractions[key] = 0.0

    def reached(self, key: str, fraction: float) -> None:
        self._fractions[key] = fraction

    def read(self) -> tuple[dict[str, float], dict[str, int]]:
        """Finished fraction and number of starts of each cohort that was ever begun."""
        return dict(self._fractions), dict(self._starts)
