"""How many examples lie above what ε and the privacy curve allow, and how many beyond chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from audit.estimates.bounds import curve_bound, dp_bound, is_informative
from audit.estimates.corrections import holm
from audit.estimates.dp_test import bound_p_values
from audit.estimates.memorization import Memorization


@dataclass(frozen=True)
class AboveBound:
    """Point estimates above the two bounds, counted. With few models, noise alone gives many.

    ``count`` / ``above_tradeoff``: examples with p_in above the bound at p_out.
    ``above_tradeoff_significant``: those that the exact test refutes after Holm over both
    directions of all examples. ``informative_share``: share of the ``n`` examples with a defined
    mem at whose p_out the e^ε bound excludes anything. The trade-off fields are None without a
    privacy curve.
    """

    count: int
    informative_share: float
    above_tradeoff: int | None
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
    above = above_significant = cap = None
    if curve is not None:
        tradeoff = curve_bound(*curve)
        above, cap = int((p_in > tradeoff(p_out)).sum()), tradeoff.cap()
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
        informative_share=float(is_informative(p_out, plain).mean()) if defined.any() else np.nan,
        above_tradeoff=above,
        above_tradeoff_significant=above_significant,
        memorization_cap=plain.cap(),
        tradeoff_cap=cap,
        n=int(defined.sum()),
    )
