"""How far the cohorts on a cluster are: a process of its own, so this module imports little."""

from __future__ import annotations


class Progress:
    """How far the cohorts are, told by workers and asked for by the machine that leads the run."""

    def __init__(self) -> None:
        self._fractions: dict[str, float] = {}
        self._starts: dict[str, set[str]] = {}

    def started(self, key: str, start: str) -> None:
        """A cohort was begun; ``start`` is a name of its own for each time that one is.

        Ray moves this object to another node with its own: what it knew is lost then, and numbers
        would begin at 1 again.
        """
        self._starts.setdefault(key, set()).add(start)
        self._fractions[key] = 0.0

    def reached(self, key: str, fraction: float) -> None:
        self._fractions[key] = fraction

    def read(self) -> tuple[dict[str, float], dict[str, set[str]]]:
        """Finished fraction and starts of each cohort that was ever begun."""
        return dict(self._fractions), {key: set(starts) for key, starts in self._starts.items()}
