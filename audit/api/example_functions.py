"""Estimates about training examples as functions of NumPy arrays, of models trained anywhere.

The arrays everywhere: ``membership`` [models, n], model k trained on example i; ``correct``
[models, n], model k labels training example i correctly (whether it trained on it or not);
``test_correct`` [models, n_test], the same for test examples. Row k is the same model in all of
them. Booleans, or zeros and ones; lists are taken, too. The mathematics is in ``audit.estimates``.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import ArrayLike

from audit import inclusion
from audit.api import arguments
from audit.api.arguments import Number
from audit.errors import BadInput
from audit.estimates import bounds as _bounds
from audit.estimates import influence as _influence
from audit.estimates import memorization as _memorization
from audit.estimates.dp_test import DpTest, dp_verdict, power_to_refute
from audit.estimates.epsilon import certified_epsilon as _certified_epsilon
from audit.estimates.result import Estimate


def draw_membership(
    n: int,
    models: int,
    *,
    p: Number = 0.7,
    design: Literal["poisson", "fixed"] = "poisson",
    seed: int,
) -> Bool[np.ndarray, "models n"]:
    """Who trains on what: the random subsets of ``n`` examples that ``models`` models train on.

    ``poisson``: each example is in each subset with probability ``p``, independently (in against
    out is then add/remove, the relation DP-SGD is accounted for). ``fixed``: round(p·n) examples
    each (Feldman & Zhang 2020, §3). Row k is the same whatever ``models`` is.

    Raises:
        BadInput: a size or a probability that draws nothing.
    """
    _at_least_one(models=models, n=n)
    share = arguments.level("p", p)
    return inclusion.membership(n, range(models), p=share, design=design, seed=seed)


def memorization(
    membership: ArrayLike, correct: ArrayLike, *, confidence: Number = 0.95
) -> _memorization.Memorization:
    """Memorization of each training example: mem = p_in − p_out, with its interval.

    mem_i = P[model right on i | i in its training set] − P[model right on i | i not in it]
    (Feldman 2020, Definition 1.1; Feldman & Zhang 2020, §3). Higher means more memorized; negative
    values are noise and are kept. NaN for an example that every model has seen, or none.

    Returns:
        ``mem``, ``low``, ``high`` (Newcombe's hybrid score interval), ``p_in``, ``p_out``, and the
        counts ``n_in``, ``n_out``, ``correct_in``, ``correct_out``: arrays [n].

    Raises:
        BadInput: arrays that do not fit, or a confidence outside (0, 1).
    """
    return _memorization.memorization(
        *arguments.pair(membership, correct), confidence=arguments.level("confidence", confidence)
    )


def mean_memorization(
    membership: ArrayLike, correct: ArrayLike, *, confidence: Number = 0.95
) -> Estimate:
    """Mean memorization; interval by the jackknife over models, ``n`` counts models.

    Raises:
        BadInput: arrays that do not fit.
    """
    return _memorization.mean_memorization(
        *arguments.pair(membership, correct), confidence=arguments.level("confidence", confidence)
    )


def share_memorized(
    membership: ArrayLike,
    correct: ArrayLike,
    *,
    threshold: Number = 0.25,
    confidence: Number = 0.95,
) -> Estimate:
    """Share of the examples with mem ≥ ``threshold`` (.25: Feldman & Zhang 2020, §3.1).

    The interval allows for the noise of each mem, which lifts more examples over a threshold than
    it takes below; ``n`` counts models.

    Raises:
        BadInput: arrays that do not fit.
    """
    return _memorization.share_above(
        *arguments.pair(membership, correct),
        float(threshold),
        confidence=arguments.level("confidence", confidence),
    )


def largest_memorization(
    membership: ArrayLike, correct: ArrayLike, *, confidence: Number = 0.95
) -> Estimate:
    """Largest memorization, with limits for the largest *true* one; ``n`` counts models.

    The value is the largest of many noisy ones and is large by chance; the limits allow for it.

    Raises:
        BadInput: arrays that do not fit.
    """
    return _memorization.mem_max(
        memorization(membership, correct), confidence=arguments.level("confidence", confidence)
    )


def influence(membership: ArrayLike, test_correct: ArrayLike) -> Float64[np.ndarray, "n n_test"]:
    """Influence of every training example on every test example (Feldman & Zhang 2020, §2).

    infl(i → j) = P[right on j | i in] − P[right on j | i out]. Higher means that j is right thanks
    to i. The whole matrix is held: for large data take :func:`influential_pairs`, which also
    corrects for having looked at all of them. NaN where every model has seen i, or none.

    Raises:
        BadInput: arrays that do not fit.
    """
    return _influence.influence_matrix(
        *arguments.pair(membership, test_correct, second="test_correct", same_width=False)
    )


def influential_pairs(
    membership: ArrayLike,
    correct: ArrayLike,
    test_correct: ArrayLike,
    *,
    min_influence: Number = 0.15,
    min_mem: Number = 0.25,
    fdr: Number = 0.1,
) -> _influence.InfluencePairs:
    """Pairs with influence ≥ ``min_influence`` and mem ≥ ``min_mem`` that are no chance finds.

    Fisher's exact test per pair, Benjamini–Hochberg at ``fdr`` over all n × n_test pairs; the cuts
    are those of Feldman & Zhang 2020, §3.2.

    Raises:
        BadInput: arrays that do not fit, fdr outside (0, 1), a cut that is not positive.
    """
    member, right = arguments.pair(membership, correct)
    _, of_test = arguments.pair(membership, test_correct, second="test_correct", same_width=False)
    return _influence.influential_pairs(
        member,
        right,
        of_test,
        min_influence=float(min_influence),
        min_mem=float(min_mem),
        fdr=float(fdr),
    )


def dp_test(
    membership: ArrayLike,
    correct: ArrayLike,
    *,
    epsilon: Number,
    delta: Number,
    alpha: Number = 0.05,
) -> DpTest:
    """Is (ε, δ) refuted? The exact test of every example, both outcomes, both directions, Holm.

    ``verdict``: *violates*; *consistent* (nothing refuted, and an example memorized outright would
    have been with 80 % power); *could_not_tell* (too few models; ``models_needed`` says how many).
    ``epsilon`` and ``delta`` are those of "in" against "out": with subsets of fixed size that is a
    swap, (2ε, (1 + e^ε)δ).

    Raises:
        BadInput: arrays that do not fit, ε < 0, δ outside [0, 1], α outside (0, 1).
    """
    return dp_verdict(
        *_counts(membership, correct),
        alpha=arguments.level("alpha", alpha),
        **arguments.claim(epsilon, delta),
    )


def certified_epsilon(
    membership: ArrayLike, correct: ArrayLike, *, delta: Number, confidence: Number = 0.95
) -> Estimate:
    """Empirical ε: the largest that some example refutes, paid for over all examples.

    With probability ≥ ``confidence`` the true ε (at this δ) is not below ``low``; ``high`` is +∞,
    since no test bounds ε from above. 0 where nothing is refuted. ``n`` counts models.

    Raises:
        BadInput: arrays that do not fit, δ outside [0, 1], a confidence outside (0, 1).
    """
    return _certified_epsilon(
        *_counts(membership, correct),
        delta=arguments.claim(0, delta)["delta"],
        confidence=arguments.level("confidence", confidence),
    )


def power(
    models: int, n: int, *, epsilon: Number, delta: Number, p: Number = 0.7, alpha: Number = 0.05
) -> float:
    """Chance that :func:`dp_test` refutes one example with p_in = .99 and p_out = .01.

    Before any training: with ``models`` models, ``n`` examples, inclusion probability ``p``. Below
    .8 a test that finds nothing says *could not tell*.

    Raises:
        BadInput: no models, no examples, ε < 0, δ outside [0, 1], p or α outside (0, 1).
    """
    _at_least_one(models=models, n=n)
    share, alpha = arguments.level("p", p), arguments.level("alpha", alpha)
    return power_to_refute(models, n, share, alpha=alpha, **arguments.claim(epsilon, delta))


def dp_bound(
    p_out: ArrayLike | Number, *, epsilon: Number, delta: Number
) -> Float64[np.ndarray, "*shape"]:
    """Largest p_in that (ε, δ) allows at ``p_out``: min(e^ε p_out + δ, 1 − e^{−ε}(1 − δ − p_out)).

    Raises:
        BadInput: ε < 0, δ outside [0, 1], or a p_out outside [0, 1].
    """
    return _bounds.in_probability_bound(
        arguments.shares("p_out", p_out), **arguments.claim(epsilon, delta)
    )


def tradeoff_bound(
    p_out: ArrayLike | Number, curve_epsilon: ArrayLike, curve_delta: ArrayLike
) -> Float64[np.ndarray, "*shape"]:
    """Largest p_in that a whole privacy curve δ(ε) allows at ``p_out``; tighter than one (ε, δ).

    The curve of DP-SGD: ``audit.privacy_curve`` (Dong, Roth & Su 2022, Prop. 2.12).

    Raises:
        BadInput: a curve that is none, or a p_out outside [0, 1].
    """
    curve = (np.asarray(part, dtype=np.float64) for part in (curve_epsilon, curve_delta))
    return _bounds.tradeoff_bound(arguments.shares("p_out", p_out), *curve)


def memorization_cap(*, epsilon: Number, delta: Number) -> float:
    """Largest mem that (ε, δ) allows any example: (e^ε − 1 + 2δ)/(e^ε + 1), at most 1."""
    return _bounds.memorization_cap(**arguments.claim(epsilon, delta))


def _counts(membership: ArrayLike, correct: ArrayLike) -> tuple[Int64[np.ndarray, " n"], ...]:
    found = memorization(membership, correct)
    return found.n_in, found.correct_in, found.n_out, found.correct_out


def _at_least_one(**sizes: int) -> None:
    for name, value in sizes.items():
        if value < 1:
            raise BadInput(name, value, "must be 1 or more", "Give how many there are")
