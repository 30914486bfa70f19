"""Privacy claims: what an arm says of itself, and what that means between "in" and "out".

PURE. A claim is all that the analysis and the report need to know of an arm's privacy. It may come
from the accountant of DP-SGD, with the whole privacy curve, or be just a pair (ε, δ) that a person
or a library states.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from audit.accounting import PrivacyCurve, swap_curve
from audit.config import Adjacency, Design
from audit.inclusion import neighbour_guarantee

STANDARD = "standard"
"""The arm that claims nothing; the others' accuracy loss is measured against it."""
ALPHA = 0.05
"""Family-wise error rate of the test of a claim."""


@dataclass(frozen=True)
class Claim:
    """A claim of (ε, δ)-DP.

    Attributes:
        epsilon, delta: as claimed.
        in_out_epsilon, in_out_delta: what that says of "i in" against "i out" under the run's
            inclusion design: the same under ``poisson``, that of a swap under ``fixed``. This is
            what is tested.
        source: who says so, in words for the report: the accountant, or "claimed by …".
        curve: the whole privacy curve between "in" and "out"; None where only (ε, δ) is known.
        adjacency: the neighbours it is a claim about: data sets that differ by one example more or
            less, or by one example replaced.
    """

    epsilon: float
    delta: float
    in_out_epsilon: float
    in_out_delta: float
    source: str
    curve: PrivacyCurve | None = None
    adjacency: Adjacency = "add_remove"

    @property
    def coin_curve(self) -> PrivacyCurve | None:
        """The curve of adding or removing one example, which is what a coin decides; None where
        none is known, or only that of a swap."""
        return self.curve if self.in_out_epsilon == self.epsilon else None


def make_claim(
    epsilon: float,
    delta: float,
    *,
    design: Design,
    source: str,
    curve: PrivacyCurve | None = None,
    adjacency: Adjacency = "add_remove",
) -> Claim:
    """The claim of (``epsilon``, ``delta``) by ``source`` under an inclusion design.

    ``curve``: the mechanism's own, for its ``adjacency``; one of add/remove is turned into that of
    a swap where the design needs it (:func:`audit.inclusion.neighbour_guarantee`).

    Raises:
        BadInput: a claim about replacing an example under the ``poisson`` design.
    """
    if curve is not None and design == "fixed" and adjacency == "add_remove":
        curve = swap_curve(curve)
    in_out = neighbour_guarantee(epsilon, delta, design, adjacency)
    return Claim(epsilon, delta, *in_out, source=source, curve=curve, adjacency=adjacency)


def strictest(claims: Iterable[Claim | None], *, asked: Claim) -> Claim:
    """The claim of the smallest ε, the first of equals; ``asked`` where no arm claims anything.

    The standard arm is held against it: what that ε would have forbidden.
    """
    made = [claim for claim in claims if claim is not None]
    return min(made, key=lambda claim: claim.in_out_epsilon) if made else asked
