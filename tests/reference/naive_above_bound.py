"""The count above a bound by chance, by brute force: every way to share out the right answers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations


def chance_above(n_in: int, n_out: int, correct: int, bound: Callable[[float], float]) -> float:
    """Share of the choices of ``correct`` right models for which p_in lies above the bound."""
    models = range(n_in + n_out)
    above = total = 0
    for right in combinations(models, correct):
        inside = sum(model < n_in for model in right)
        above += inside / n_in > bound((correct - inside) / n_out)
        total += 1
    return above / total
