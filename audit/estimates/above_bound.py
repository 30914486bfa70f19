"""How many examples lie above what ε and the privacy curve allow, and how many beyond chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import hypergeom

from audit.estimates.bounds import Bound, curve_bound, dp_bound, is_informative
from audit.estimates.corrections import holm
from audit.estimates.dp_test import bound_p_values
from audit.estimates.memorization import Memorization


@dataclass(frozen=True)
class AboveBound:
    """Point estimates above the two bounds, counted. With few models, noise alone gives many.

    ``count`` / ``above_tradeoff``: examples with p_in above the bound at p_out. ``by_chance`` /
    ``tradeoff_by_chance``: how many of them :func:`expected_by_chance` gives.
    ``above_tradeoff_significant``: those that the exact test refutes after Holm over both
    directions of all examples. ``informative_share``: share of the ``n`` examples with a defined
    mem at whose p_out the e^ε bound excludes anything. The trade-off fields are None without a
    privacy curve.
    """

    count: int
    by_chance: float
    informative_share: float
    above_tradeoff: int | None
    tradeoff_by_chance: float | None
    above_tradeoff_significant: int | None
    memorization_cap: float
    tradeoff_cap: float | None
    n: int


def above_bound(
    estimate: Memorization,
    epsilon: float,
    delta: float,
    *,
    curve: tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]] | None = None,
    alpha: float = 0.05,
) -> AboveBound:
    """Compare every example with the e^ε bound and the trade-off bound of ``curve`` (ε', δ)."""
    plain = dp_bound(epsilon, delta)
    defined = ~np.isnan(estimate.mem)
    p_in, p_out = estimate.p_in[defined], estimate.p_out[defined]
    counts = (estimate.n_in, estimate.n_out, estimate.correct_in + estimate.correct_out)
    above = above_significant = cap = chance = None
    if curve is not None:
        tradeoff = curve_bound(*curve)
        above, cap = int((p_in > tradeoff(p_out)).sum()), tradeoff.cap()
        chance = expected_by_chance(*counts, tradeoff)
        p_values, _ = bound_p_values(
            estimate.n_in,
            estimate.correct_in,
            estimate.n_out,
            estimate.correct_out,
            bound=tradeoff,
            alpha=alpha,
        )
        above_significant = int((holm(p_values) <= alpha).any(axis=1).sum())
    return AboveBound(
        count=int((p_in > plain(p_out)).sum()),
        by_chance=expected_by_chance(*counts, plain),
        informative_share=float(is_informative(p_out, plain).mean()) if defined.any() else np.nan,
        above_tradeoff=above,
        tradeoff_by_chance=chance,
        above_tradeoff_significant=above_significant,
        memorization_cap=plain.cap(),
        tradeoff_cap=cap,
        n=int(defined.sum()),
    )


def expected_by_chance(
    n_in: Int[np.ndarray, " n"],
    n_out: Int[np.ndarray, " n"],
    correct: Int[np.ndarray, " n"],
    bound: Bound,
) -> float:
    """Examples whose estimates would lie above ``bound`` if having seen an example changed nothing.

    Given that ``correct`` of an example's n_in + n_out models are right, and that training on it
    made no difference, how many of the right ones are among those that saw it is hypergeometric,
    whatever the true share: the conditioning of Fisher's exact test (Fisher 1935). The sum of the
    probabilities is therefore an unbiased estimate of the expected count; no share is plugged in.
    Counts scatter around it by more than independent ones, as examples share their models.
    Examples in every model or in none are left out.
    """
    defined = (n_in > 0) & (n_out > 0)
    # Few tables are different: models are few, and most examples are easy.
    tables, times = np.unique(
        np.stack([n_in, n_out, correct])[:, defined].astype(np.int64), axis=1, return_counts=True
    )
    if tables.shape[1] == 0:
        return 0.0
    inside, outside, right = tables
    # p_in − bound(p_out) grows with the right answers among "in": the least that lies above.
    low = np.maximum(0, right - outside)
    high = np.minimum(inside, right) + 1
    while (low < high).any():
        middle = (low + high) // 2
        above = middle / inside > bound((right - middle) / outside)
        undecided = low < high
        high = np.where(undecided & above, middle, high)
        low = np.where(undecided & ~above, middle + 1, low)
    chance = hypergeom.sf(low - 1, inside + outside, right, inside)
    return float(np.clip(chance, 0.0, 1.0) @ times)
