"""Empirical ε of an arm: what each procedure certifies, and whether it refutes the claim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from audit.claims import ALPHA, Claim
from audit.config import CanaryKind, Design
from audit.estimates.bounds import curve_bound
from audit.estimates.coin_audit import CoinAudit, audit_coins, score_level
from audit.estimates.dp_test import DpTest
from audit.estimates.epsilon_power import (
    gaussian_curve_bound,
    ideal_attack,
    pooled_epsilon,
    would_refute,
)
from audit.estimates.result import Estimate
from audit.estimates.tradeoff import curve_profile, dp_profile

WITNESS, EXAMPLES, CANARIES = "witness", "examples", "canaries"
_FDP = "Mahloujifar, Melis & Chaudhuri 2024; Steinke, Nasr & Jagielski 2023"
_GAUSSIAN = "the trade-off function is that of a Gaussian mechanism"
_POOLED = "pooled one-run audit (f-DP)"


@dataclass(frozen=True)
class CanaryOutputs:
    """What all models of an arm say of their canaries, in order of models.

    ``coins``: who was in. ``statistic``: a score whose distribution is fitted: margins on planted
    examples, sums of projections of gradient canaries. ``llr``: log-likelihood ratio of gradient
    canaries; None of others. ``copies``: rows of each planted example.
    """

    kind: CanaryKind
    coins: Bool[np.ndarray, "models canaries"]
    statistic: Float[np.ndarray, "models canaries"]
    llr: Float[np.ndarray, "models canaries"] | None = None
    copies: int = 1


@dataclass(frozen=True)
class Coins:
    """How membership was drawn: the design, and P[in] where it was fixed before drawing."""

    design: Design
    p: float | None


def empirical_epsilon(
    witness: Estimate,
    test: DpTest,
    membership: Bool[np.ndarray, "models n"],
    margin: Float[np.ndarray, "models n"] | None,
    canaries: CanaryOutputs | None,
    *,
    coins: Coins,
    claim: Claim | None,
    judged_by: Claim,
) -> dict[str, Any]:
    """Every procedure on one arm, as in results/summary.json.

    ``witness``: the witness bound, and ``test`` the exact test of the claim, on the training
    examples. ``claim``: the arm's own; without one nothing can be refuted, and ε is certified at
    the δ of ``judged_by``. The headline is fixed beforehand: canaries where there are any, else the
    training examples, else the witness bound.
    """
    delta = (claim or judged_by).delta
    found = [
        _witness(witness, test, claim),
        _on_examples(membership, margin, coins, claim, delta),
    ]
    if canaries is not None:
        found.append(_on_canaries(canaries, claim, delta))
    known = [entry["id"] for entry in found if entry["epsilon"] is not None]
    headline = next((i for i in (CANARIES, EXAMPLES, WITNESS) if i in known), None)
    return {"delta": delta, "headline": headline, "procedures": found}


def _witness(bound: Estimate, test: DpTest, claim: Claim | None) -> dict[str, Any]:
    known = np.isfinite(bound.value)
    return {
        "id": WITNESS,
        "procedure": "witness bound",
        "source": "exact test of four inequalities per example, Bonferroni over all",
        "on": "training examples",
        "threat": "black box: right or wrong",
        "epsilon": bound.to_json() if known else None,
        "assumes": None,
        "coins": None,
        "guesses": None,
        "correct": None,
        "alpha": ALPHA,
        "refutes_claim": None if claim is None else test.n_refuted > 0,
        "why_not": None if known else "no example was both in and out",
    }


def _on_examples(
    membership: np.ndarray,
    margin: np.ndarray | None,
    coins: Coins,
    claim: Claim | None,
    delta: float,
) -> dict[str, Any]:
    why_not = None
    if coins.design == "fixed":
        why_not = "in subsets of a fixed size memberships are not independent coins"
    elif margin is None:
        why_not = "there are no margins"
    elif coins.p is None:
        why_not = "the probability of being in was not stated"
    found = None
    if why_not is None and margin is not None and coins.p is not None:
        found = audit_coins(
            membership, p=coins.p, delta=delta, statistic=margin, **_tested(claim), alpha=ALPHA
        )
    what = {
        "id": EXAMPLES,
        "on": "training examples",
        "threat": "black box: margins",
        "score": "likelihood ratio of Gaussians fitted on the other half of the models (LiRA)",
    }
    return _entry(what, found, why_not, delta)


def _on_canaries(canaries: CanaryOutputs, claim: Claim | None, delta: float) -> dict[str, Any]:
    gradient = canaries.kind == "gradient"
    tested: dict[str, Any] = _tested(claim)
    if canaries.copies > 1 and tested and claim is not None:
        # c copies in or out together are c neighbours away (Dwork & Roth 2014, Theorem 2.2).
        allowed = group_delta(claim.epsilon, delta, canaries.copies)
        tested = {"claim": (canaries.copies * claim.epsilon, allowed)}
    found = audit_coins(
        canaries.coins,
        p=0.5,
        delta=delta,
        statistic=canaries.statistic,
        llr=canaries.llr,
        **tested,
        alpha=ALPHA,
    )
    what = {
        "id": CANARIES,
        "on": f"{canaries.kind} canaries",
        "threat": "white box: every step" if gradient else "black box: margins",
        "score": "likelihood ratio of the steps, and a Gaussian fitted on the other half"
        if gradient
        else "likelihood ratio of Gaussians fitted on the other half of the models (LiRA)",
        "copies": canaries.copies,
        "planted": canaries.coins.shape[1],
        "claimed": list(tested["claim"]) if "claim" in tested else None,
    }
    entry = _entry(what, found, found.why_not, delta)
    if claim is not None and gradient:
        # By the score that an ideal attacker would use, at its share of the level. How near an
        # attack on margins comes to the ideal one is not known, so neither is its power.
        level = score_level(len(canaries.coins), ALPHA)
        entry |= _power(canaries.coins.size, claim, level)
    return entry


def group_delta(epsilon: float, delta: float, copies: int) -> float:
    """δ of a group of ``copies`` under (ε, δ): δ (e^{cε} − 1)/(e^ε − 1), at most 1."""
    return float(min(0.999, delta * np.exp(epsilon * np.arange(copies)).sum()))


def _tested(claim: Claim | None) -> dict[str, Any]:
    """What of a claim speaks about coins, which add or remove one example."""
    if claim is None or claim.adjacency != "add_remove":
        return {}
    own: dict[str, Any] = {"claim": (claim.epsilon, claim.delta)}
    if claim.coin_curve is not None:
        own["claim_curve"] = (claim.coin_curve.epsilon, claim.coin_curve.delta)
    return own


def _entry(
    what: dict[str, Any], found: CoinAudit | None, why_not: str | None, delta: float
) -> dict[str, Any]:
    assumes = _GAUSSIAN if delta > 0 else None
    entry = {"procedure": _POOLED, "source": _FDP, "assumes": assumes, **what}
    if found is None:
        return {**entry, "epsilon": None, "refutes_claim": None, "why_not": why_not}
    told = found.to_json()
    if not np.isfinite(found.epsilon.value):
        told |= {"epsilon": None, "epsilon_any": None}
    curve, bare = told["refutes_claim"], told["refutes_epsilon_delta"]
    refutes = None if curve is None and bare is None else bool(curve or bare)
    if told["epsilon"] is None:
        refutes = None
    return {**entry, **told, "refutes_curve": curve, "refutes_claim": refutes}


def _power(coins: int, claim: Claim, level: float) -> dict[str, Any]:
    """What the best attack could certify of the claim itself, and whether twice its ε would show.

    Both from the coins' number and the level alone, at 80 % power.
    """
    epsilon, delta, curve = claim.epsilon, claim.delta, claim.coin_curve
    if coins == 0 or not 0 < delta < 1:
        return {}
    if curve is None:
        bound, profile = gaussian_curve_bound(epsilon, delta), dp_profile(epsilon, delta)
    else:
        bound = curve_bound(curve.epsilon, curve.delta)
        profile = curve_profile(curve.epsilon, curve.delta)
    twice = ideal_attack(gaussian_curve_bound(2 * epsilon, delta), 0.5)
    best = ideal_attack(bound, 0.5)
    return {
        "certifiable": pooled_epsilon(best, coins, p=0.5, delta=delta, level=level),
        "would_refute_twice": would_refute(profile, twice, coins, level=level),
    }
