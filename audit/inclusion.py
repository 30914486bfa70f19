"""Membership matrices: which model trains on which example (method §1)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from audit.config import Adjacency, Design
from audit.errors import BadInput
from audit.seeds import Purpose, generator

ADJACENCY: dict[str, str] = {
    "poisson": "add/remove one example",
    "fixed": "swap one example for another",
}


def membership(
    n: int, models: range, *, p: float, design: Design, seed: int
) -> Bool[np.ndarray, "models n"]:
    """Membership of ``n`` examples in the training sets of ``models``.

    ``poisson``: each example independently with probability ``p``; given all other examples, "in"
    and "out" are add/remove neighbours, the relation DP-SGD accounting speaks about. ``fixed``:
    ``round(p·n)`` examples without replacement (Feldman & Zhang 2020, §3); "in" against "out" is
    then a swap.

    Row k depends on ``seed``, ``n``, ``p``, ``design`` and k alone, so any cohort can draw its own
    rows and every arm draws the same ones.
    """
    rows = np.empty((len(models), n), dtype=bool)
    for row, model in enumerate(models):
        rng = generator(seed, Purpose.MEMBERSHIP, model)
        if design == "poisson":
            rows[row] = rng.random(n) < p
        else:
            rows[row] = False
            rows[row, rng.choice(n, size=round(p * n), replace=False)] = True
    return rows


def neighbour_guarantee(
    epsilon: float, delta: float, design: Design, adjacency: Adjacency = "add_remove"
) -> tuple[float, float]:
    """What an (ε, δ) guarantee says about "in" against "out" under ``design``.

    Of an add/remove guarantee under ``fixed``: a swap is one removal and one addition, so
    (2ε, (1 + e^ε)δ) by group privacy (Dwork & Roth 2014, Theorem 2.2 and its δ form). A guarantee
    for replacing one example speaks about a swap as it is, and about nothing else: two sets of
    different sizes are no neighbours of it at any distance.

    Raises:
        BadInput: a replace-one guarantee under ``poisson``.
    """
    if adjacency == "replace_one":
        if design == "poisson":
            raise BadInput(
                "inclusion",
                design,
                "leaves an example out and puts none in its place, but the claim is about "
                "replacing one example, and says nothing about sets of different sizes",
                "Use --inclusion fixed, where in against out is such a replacement",
            )
        return epsilon, delta
    if design == "poisson":
        return epsilon, delta
    return 2 * epsilon, min(1.0, (1 + float(np.exp(epsilon))) * delta)
