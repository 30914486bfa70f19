"""Membership matrices: which model trains on which example (method §1)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy import special

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


def fair_coins(count: int, models: range, *, seed: int) -> Bool[np.ndarray, "models count"]:
    """Which of ``count`` planted canaries each of ``models`` trains on: independent fair coins.

    The theorems of one-run audits are about independent coins (Steinke, Nasr & Jagielski 2023,
    Theorem 5.2), whatever the inclusion design of the examples is. Row k depends on ``seed``,
    ``count`` and k alone, and all arms share it.
    """
    coins = np.empty((len(models), count), dtype=bool)
    for row, model in enumerate(models):
        coins[row] = generator(seed, Purpose.CANARY_MEMBERSHIP, model).random(count) < 0.5
    return coins


def removed_at_random(
    n: int, count: int, models: range, *, seed: int
) -> Bool[np.ndarray, "models n"]:
    """``count`` of ``n`` examples drawn at random for each of ``models``.

    Row k depends on ``seed``, ``n``, ``count`` and k alone, and a larger count removes what a
    smaller one does, and more.
    """
    rows = np.zeros((len(models), n), dtype=bool)
    for row, model in enumerate(models):
        order = generator(seed, Purpose.REMOVAL, model).permutation(n)
        rows[row, order[:count]] = True
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


# A design is refused when the subsets' sizes would be so by chance once in a million times.
_BY_CHANCE = 1e-6
_FEWEST_EXPECTED = 5.0


def check_design(
    sizes: Int64[np.ndarray, " models"],
    share: Float64[np.ndarray, " n"],
    *,
    design: Design,
    p: float | None = None,
) -> None:
    """Refuse subsets that were not drawn as ``design`` says: another relation would be tested.

    Args:
        sizes: training examples of each model.
        share: share of the models that saw each example; examples may differ in it.
        p: the inclusion probability, where it is stated.

    Given how many models saw each example, independent inclusion leaves the sizes a variance of
    Σ shareᵢ(1 − shareᵢ), and their sum of squares over it is about χ² with models − 1 degrees.
    Equal (or nearly equal) sizes are those of a fixed design, far-apart ones of examples that come
    together or of models with a p of their own.

    Raises:
        BadInput: sizes that the design does not produce, or another share than ``p``.
    """
    models, n = sizes.size, share.size
    if p is not None:
        _check_share(sizes, n, p, design)
    if design == "fixed":
        if (sizes != sizes[0]).any():
            other = int(np.flatnonzero(sizes != sizes[0])[0])
            raise BadInput(
                "inclusion",
                "fixed",
                f"needs subsets of one size, but model 0 has {sizes[0]:,} training examples and "
                f"model {other} has {sizes[other]:,}",
                "Use --inclusion poisson if each example was in independently of the others",
            )
        return
    expected = float((share * (1 - share)).sum()) * models / max(models - 1, 1)
    if models < 2 or expected < _FEWEST_EXPECTED:
        return
    spread = float(((sizes - sizes.mean()) ** 2).sum()) / expected
    # One unit more: sizes are whole numbers, and a few models can agree by chance.
    if special.chdtr(models - 1, spread + 1 / expected) < _BY_CHANCE:
        raise BadInput(
            "inclusion",
            "poisson",
            f"does not give {models} subsets so equal in size ({sizes.min():,} to "
            f"{sizes.max():,}; ± {expected**0.5:.0f} is usual): in subsets of fixed size, “in” "
            "against “out” is a swap, and another ε is tested",
            "Use --inclusion fixed if all have one size; else draw each example independently",
        )
    if special.chdtrc(models - 1, spread) < _BY_CHANCE:
        raise BadInput(
            "inclusion",
            "poisson",
            f"does not give subsets so different in size ({sizes.min():,} to {sizes.max():,}; "
            f"± {expected**0.5:.0f} is usual): examples came in together, or models had an "
            "inclusion probability of their own, and models with an example differ from those "
            "without it in more than that example",
            "Draw each example independently, with the same probabilities for every model",
        )


def _check_share(sizes: Int64[np.ndarray, " models"], n: int, p: float, design: Design) -> None:
    total, cells = float(sizes.sum()), float(sizes.size) * n
    allowed = 6 * (cells * p * (1 - p)) ** 0.5 if design == "poisson" else float(sizes.size)
    if abs(total - cells * p) > allowed:
        raise BadInput(
            "p",
            p,
            f"is not the share of the training examples that models saw, {total / cells:.4g}",
            "Leave it out: the share is taken from the membership",
        )
