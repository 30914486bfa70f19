"""The long-tail model: what not fitting rare subpopulations costs (Feldman 2020).

Points of a domain have frequencies drawn from a prior; a learner that leaves points unfitted which
occur in its sample ℓ times pays at least τ_ℓ for each (theorem 2.3): the expected frequency of a
point, given that it was seen ℓ times. A data set's own subgroup counts serve as a prior here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class LongTail:
    """What one grouping's counts say under the long-tail model.

    ``singletons``: subgroups with one training example. ``weight_near_1_over_n``: the share of the
    training set in subgroups of one or two examples, that is with a frequency within a factor of
    two of 1/n. ``unseen_mass``: Good–Turing's estimate of the probability that the next example
    belongs to a subgroup not seen yet (Good 1953). ``tau``: expected frequency of a subgroup that
    was seen once; NaN where the counts give no chance to that. ``price``: error added by leaving
    all singletons unfitted, at least (a lower bound in expectation; 0 without singletons).
    """

    n: int
    groups: int
    smallest: int
    singletons: int
    weight_near_1_over_n: float
    unseen_mass: float
    tau: float
    price: float


def tau(
    frequencies: Float[np.ndarray, " groups"],
    n: int,
    seen: int = 1,
    weights: Float[np.ndarray, " groups"] | None = None,
) -> float:
    """Expected frequency of a point that occurs ``seen`` times in ``n`` draws (Feldman 2020, §2.3).

    τ_ℓ = E[α^{ℓ+1}(1−α)^{n−ℓ}] / E[α^ℓ(1−α)^{n−ℓ}] over the marginal of a point's frequency α:
    ``frequencies``, shares in (0, 1], in proportion to ``weights`` (uniform without). NaN if no
    frequency could have been seen so.

    Raises:
        ValueError: a frequency outside (0, 1], or not 0 ≤ ``seen`` ≤ ``n``.
    """
    weight = _log_weight(frequencies, n, seen)
    top = weight.max(initial=-math.inf)
    if top == -math.inf:
        return math.nan
    relative = np.exp(weight - top) * (1.0 if weights is None else weights)
    return float((relative * frequencies).sum() / relative.sum())


def expected_seen(
    frequencies: Float[np.ndarray, " groups"],
    n: int,
    seen: int,
    weights: Float[np.ndarray, " groups"] | None = None,
) -> float:
    """Expected number of points that occur ``seen`` times in ``n`` draws with ``frequencies``.

    With ``weights`` each counts as so many points.
    """
    choose = math.lgamma(n + 1) - math.lgamma(seen + 1) - math.lgamma(n - seen + 1)
    chance = np.exp(_log_weight(frequencies, n, seen) + choose)
    return float((chance if weights is None else chance * weights).sum())


def unseen_mass(frequencies: Float[np.ndarray, " groups"], n: int) -> float:
    """Expected probability of a point that does not occur in ``n`` draws with ``frequencies``."""
    return float((frequencies * np.exp(_log_weight(frequencies, n, 0))).sum())


def price_unfitted(
    frequencies: Float[np.ndarray, " groups"], n: int, wrong_if_unfitted: float
) -> float:
    """Expected error added by fitting no point that occurs once: τ_1 · E[their number] · error.

    ``wrong_if_unfitted``: probability that an unfitted point is labelled wrongly (.9 for a guess
    among ten balanced classes).
    """
    return tau(frequencies, n) * expected_seen(frequencies, n, 1) * wrong_if_unfitted


def from_counts(counts: Int[np.ndarray, " groups"], wrong_if_unfitted: float) -> LongTail:
    """The model's predictions from the training counts of a grouping's subgroups.

    ``counts``: training examples per subgroup; subgroups without any do not enter. The prior is
    that of the counts themselves, so the prediction is about the tail at this resolution: a finer
    one has more of it. ``wrong_if_unfitted`` as in ``price_unfitted``.
    """
    counts = counts[counts > 0]
    n = int(counts.sum())
    frequencies = counts / n
    singletons = int((counts == 1).sum())
    of_one = tau(frequencies, n) if len(counts) else math.nan
    return LongTail(
        n=n,
        groups=len(counts),
        smallest=int(counts.min(initial=n)),
        singletons=singletons,
        weight_near_1_over_n=float(counts[counts <= 2].sum() / n) if n else math.nan,
        unseen_mass=singletons / n if n else math.nan,
        tau=of_one,
        price=of_one * singletons * wrong_if_unfitted if singletons else 0.0,
    )


def _log_weight(
    frequencies: Float[np.ndarray, " groups"], n: int, seen: int
) -> Float[np.ndarray, " groups"]:
    """log α^ℓ (1−α)^{n−ℓ}, which underflows long before it is irrelevant."""
    if not 0 <= seen <= n:
        raise ValueError(f"seen = {seen}: must lie between 0 and n = {n}")
    if len(frequencies) and not ((frequencies > 0) & (frequencies <= 1)).all():
        raise ValueError("frequencies: must be shares above 0 and at most 1")
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = (n - seen) * np.log1p(-frequencies)
    # α = 1 is seen every time: 0 · log 0 is 0.
    rest = np.where(n == seen, 0.0, rest)
    return seen * np.log(frequencies) + rest
