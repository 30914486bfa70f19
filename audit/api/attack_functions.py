"""Membership inference as functions of NumPy arrays, of models trained anywhere.

``margin`` [models, n] is log(p_y / (1 − p_y)) of model k on training example i, p_y its probability
of the true label; NaN where undefined. ``membership`` [models, n]: model k trained on example i.
Scores are higher for likelier members. The mathematics is in ``audit.estimates``.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import ArrayLike

from audit.api import arguments
from audit.api.arguments import Number
from audit.errors import BadInput
from audit.estimates import exposure as _exposure
from audit.estimates import membership as _membership
from audit.estimates import rmia as _rmia
from audit.estimates import roc as _roc
from audit.estimates.leave_one_out import Centre


def lira(
    margin: ArrayLike,
    membership: ArrayLike,
    *,
    online: bool = True,
    variance: str | None = None,
    centre: str = "mean",
) -> Float32[np.ndarray, "models n"]:
    """LiRA's score of every model and example, fitted on the *other* models.

    Carlini et al. 2022, Algorithm 1. ``online``: with models that saw the example. ``variance``:
    of the Gaussians, ``fixed`` below 64 other models if None. ``centre``: ``mean`` as in the paper,
    ``median`` as in its published code. NaN where nothing can be fitted, ±∞ are cut at ±65504.

    Raises:
        BadInput: arrays that do not fit, or another word for ``variance`` or ``centre``.
    """
    _one_of("variance", variance, (None, "per-example", "fixed"))
    _one_of("centre", centre, ("mean", "median"))
    return _membership.lira(
        *_pair("margin", margin, membership),
        online=online,
        variance=cast(_membership.Variance | None, variance),
        centre=cast(Centre, centre),
    )


def rmia(
    margin: ArrayLike,
    membership: ArrayLike,
    population_margin: ArrayLike,
    *,
    online: bool = True,
    gamma: Number = _rmia.GAMMA,
    offline_a: Number = _rmia.OFFLINE_A,
) -> Float32[np.ndarray, "models n"]:
    """RMIA's score: share of the population the example beats (Zarifzadeh et al. 2024, §3).

    ``population_margin`` [models, examples]: of examples that no model was trained on (test
    examples). ``offline_a``: p_in ≈ a p_out + 1 − a.

    Raises:
        BadInput: arrays that do not fit, γ ≤ 0, or a outside [0, 1].
    """
    own, member = _pair("margin", margin, membership)
    population = arguments.real("population_margin", population_margin)
    if len(population) != len(own):
        raise BadInput(
            "population_margin",
            f"shape {population.shape}",
            f"must have a row for each of the {len(own)} models",
            "Give the same models in the same order",
        )
    positive, largest = 1e-12, float(np.finfo(np.float64).max)
    return _rmia.rmia(
        own,
        member,
        population,
        online=online,
        gamma=arguments.number("gamma", gamma, positive, largest, "must be above 0"),
        offline_a=arguments.number("offline_a", offline_a, 0.0, 1.0, "must lie from 0 to 1"),
    )


def roc(
    scores: ArrayLike,
    membership: ArrayLike,
    *,
    threshold: Number | None = None,
    shared_fits: bool = True,
    confidence: Number = 0.95,
) -> _roc.Roc:
    """AUC, balanced accuracy, TPR at 0.1 % and 1 % FPR over all cells, with intervals over models.

    ``scores`` [models, n]: higher for members, NaN for none; the margin itself is the attack of one
    threshold for all (Yeom et al. 2018). ``threshold``: of the balanced accuracy (LiRA online: 0);
    None learns it from the other models. ``shared_fits``: each model's scores were fitted on the
    others (LiRA, RMIA); without it intervals are narrower.

    Raises:
        BadInput: arrays that do not fit, or a confidence outside (0, 1).
    """
    given, member = _pair("scores", scores, membership)
    largest = float(np.finfo(np.float64).max)
    rule = "must be a finite number"
    at = None if threshold is None else arguments.number(
        "threshold", threshold, -largest, largest, rule
    )  # fmt: skip
    return _roc.roc(
        given,
        member,
        threshold=at,
        shared_fits=shared_fits,
        confidence=arguments.level("confidence", confidence),
    )


def exposure(scores: ArrayLike, membership: ArrayLike) -> Float64[np.ndarray, " n"]:
    """Exposure of each example: how often a score above 0 means "in", from LiRA's online scores.

    ½ (share of scores above 0 among models that saw it + share below 0 among the others): ½ for a
    coin. NaN where a side has no score.

    Raises:
        BadInput: arrays that do not fit.
    """
    return _exposure.exposure_of_examples(*_pair("scores", scores, membership))


def _pair(name: str, values: ArrayLike, membership: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    given, member = arguments.real(name, values), arguments.truth("membership", membership)
    if given.shape != member.shape:
        raise BadInput(
            name,
            f"shape {given.shape}",
            f"does not fit membership, {member.shape}: row k of both is model k, column i training "
            "example i",
            "Give the same models and examples in the same order",
        )
    return given, member


def _one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        words = ", ".join(str(word) for word in allowed)
        raise BadInput(name, value, f"must be one of {words}", "Choose one")
