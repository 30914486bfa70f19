"""Empirical ε from all coins of all models: the pooled one-run audit, with every choice paid for.

K independent trainings on independent coins are one mechanism, private in each coin: theorems about
one run hold for the coins of all models together (docs/method-one-run.md). Scores must be functions
of outputs alone; where they are fitted, they are fitted on the models of one half (by parity of the
index) and used on those of the other, both ways.

What is chosen: three numbers of guesses, up to two scores, two halves. All are fixed beforehand,
and each gets its share of the level (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from audit.errors import BadInput
from audit.estimates.guessing import correct_guesses, fitted_log_odds, most_confident
from audit.estimates.one_run_fdp import certified_epsilon_any, certified_mu, refuted
from audit.estimates.result import Estimate, to_json_number
from audit.estimates.tradeoff import curve_profile, dp_profile, gaussian_epsilon

GUESSED = (0.2, 0.05, 0.0125)
"""Shares of the coins that are guessed about: the surest fifth, twentieth, eightieth."""
FEWEST_MODELS_TO_FIT = 16

Score = Literal["likelihood ratio", "fitted, even models", "fitted, odd models"]


@dataclass(frozen=True)
class Row:
    """One of the tests: ``guesses`` about ``coins`` by ``score``, at its share of the level."""

    score: Score
    coins: int
    guesses: int
    correct: int
    level: float


@dataclass(frozen=True)
class CoinAudit:
    """What the coins of all models certify.

    ``epsilon``: lower bound at δ with probability ≥ 1 − ``alpha``, if the trade-off function is
    Gaussian (``mu``); ``epsilon_any``: without that assumption; at δ = 0 both are the same. ``n``
    of both counts models. ``coins``, ``guesses``, ``correct``: of the test that certified most.
    ``undefined``: coins about which no score says anything. ``refutes_claim``: the claimed privacy
    curve is refuted; ``refutes_epsilon_delta``: the bare (ε, δ) is; None where that was not asked
    or not testable.
    """

    epsilon: Estimate
    epsilon_any: Estimate
    mu: float
    coins: int
    guesses: int
    correct: int
    undefined: int
    alpha: float
    refutes_claim: bool | None
    refutes_epsilon_delta: bool | None
    rows: tuple[Row, ...] = field(default=())
    why_not: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "epsilon": self.epsilon.to_json(),
            "epsilon_any": self.epsilon_any.to_json(),
            "mu": to_json_number(self.mu),
            "coins": self.coins,
            "guesses": self.guesses,
            "correct": self.correct,
            "undefined": self.undefined,
            "alpha": self.alpha,
            "refutes_claim": self.refutes_claim,
            "refutes_epsilon_delta": self.refutes_epsilon_delta,
            "why_not": self.why_not,
        }


def audit_coins(
    coins: Bool[np.ndarray, "models coins"],
    *,
    p: float,
    delta: float,
    statistic: Float[np.ndarray, "models coins"] | None = None,
    llr: Float[np.ndarray, "models coins"] | None = None,
    claim: tuple[float, float] | None = None,
    claim_curve: tuple[np.ndarray, np.ndarray] | None = None,
    alpha: float = 0.05,
) -> CoinAudit:
    """Guess the coins, and say what ε so many right guesses refute.

    Args:
        coins: who was in; independent, each with probability ``p``.
        delta: at which ε is certified.
        statistic: a score whose distribution has to be fitted (margins); higher = more likely in.
        llr: a log-likelihood ratio, used as it is. With both, each gets half of ``alpha``.
        claim: (ε, δ) to be tested by itself.
        claim_curve: (ε, δ(ε)) of the claimed mechanism, to be tested as a whole.

    Raises:
        BadInput: no score, shapes that differ, or p, δ or α out of range.
    """
    _check(coins, p, delta, alpha, statistic, llr)
    found: list[Row] = []
    known = np.zeros(coins.shape, dtype=bool)
    for score, log_odds, part, level in _scores(coins, p, statistic, llr, alpha):
        known[part] |= ~np.isnan(log_odds)
        guessed = coins[part]
        for guesses in guess_numbers(guessed.size):
            chosen = most_confident(log_odds, guesses)
            if chosen.size < guesses:
                continue
            right = correct_guesses(log_odds, guessed, chosen)
            found.append(Row(score, guessed.size, guesses, right, level / len(GUESSED)))
    models, undefined = len(coins), int(coins.size - known.sum())
    if not found:
        return _nothing(models, undefined, alpha)
    mu, any_epsilon, best = 0.0, 0.0, max(found, key=lambda row: row.correct / row.guesses)
    for row in found:
        counts: dict[str, Any] = {
            "coins": row.coins,
            "guesses": row.guesses,
            "correct": row.correct,
            "level": row.level,
            "p": p,
        }
        better = certified_mu(**counts, at_least=mu)
        if better > mu:
            mu, best = better, row
        any_epsilon = certified_epsilon_any(**counts, delta=delta, at_least=any_epsilon)
    # No Gaussian mechanism is (ε, 0)-DP: at δ = 0 that assumption would certify ε = ∞.
    epsilon = gaussian_epsilon(mu, delta) if delta > 0 else any_epsilon

    def refutes(profile) -> bool:
        return any(
            refuted(
                profile,
                coins=row.coins,
                guesses=row.guesses,
                correct=row.correct,
                level=row.level,
                p=p,
            )
            for row in found
        )

    return CoinAudit(
        epsilon=Estimate(epsilon, epsilon, np.inf, models),
        epsilon_any=Estimate(any_epsilon, any_epsilon, np.inf, models),
        mu=mu,
        coins=best.coins,
        guesses=best.guesses,
        correct=best.correct,
        undefined=undefined,
        alpha=alpha,
        refutes_claim=None if claim_curve is None else refutes(curve_profile(*claim_curve)),
        refutes_epsilon_delta=None if claim is None else refutes(dp_profile(*claim)),
        rows=tuple(found),
    )


def score_level(models: int, alpha: float) -> float:
    """The share of ``alpha`` that one of two scores has, or one of the halves of a single one: half
    of it, or all where there are too few models to fit a score."""
    return alpha / 2 if models >= FEWEST_MODELS_TO_FIT else alpha


def guess_numbers(coins: int) -> list[int]:
    """The numbers of guesses about ``coins`` coins, most first; each once."""
    return sorted({max(1, round(share * coins)) for share in GUESSED}, reverse=True)


def _scores(
    coins: np.ndarray,
    p: float,
    statistic: np.ndarray | None,
    llr: np.ndarray | None,
    alpha: float,
) -> Iterator[tuple[Score, np.ndarray, slice, float]]:
    """Each score with its log-odds, the models it is about, and its share of ``alpha``."""
    fits = statistic is not None and len(coins) >= FEWEST_MODELS_TO_FIT
    both = fits and llr is not None
    if llr is not None:
        prior = np.float32(np.log(p / (1 - p)))
        yield "likelihood ratio", llr + prior, slice(None), alpha / 2 if both else alpha
    if fits and statistic is not None:
        level = (alpha / 2 if both else alpha) / 2
        halves: tuple[tuple[Score, int], ...] = (
            ("fitted, odd models", 0),
            ("fitted, even models", 1),
        )
        for name, parity in halves:
            own, other = slice(parity, None, 2), slice(1 - parity, None, 2)
            log_odds = fitted_log_odds(statistic[other], coins[other], statistic[own], p=p)
            yield name, log_odds, own, level


def _nothing(models: int, undefined: int, alpha: float) -> CoinAudit:
    unknown = Estimate(np.nan, np.nan, np.nan, models)
    why = (
        f"{models} models are too few to fit scores on one half and guess about the other "
        f"(at least {FEWEST_MODELS_TO_FIT})"
        if models < FEWEST_MODELS_TO_FIT
        else "too few coins have a score"
    )
    # Nothing was tested: neither refuted nor not refuted.
    return CoinAudit(unknown, unknown, np.nan, 0, 0, 0, undefined, alpha, None, None, (), why)


def _check(
    coins: np.ndarray,
    p: float,
    delta: float,
    alpha: float,
    statistic: np.ndarray | None,
    llr: np.ndarray | None,
) -> None:
    for name, value in (("p", p), ("alpha", alpha)):
        if not 0 < value < 1:
            raise BadInput(name, value, "must be between 0 and 1", "Use e.g. 0.5 and 0.05")
    if not 0 <= delta < 1:
        raise BadInput("delta", delta, "must be at least 0 and below 1", "Use the claimed δ")
    given = {"statistic": statistic, "llr": llr}
    if all(scores is None for scores in given.values()):
        raise BadInput("statistic", None, "is missing, and so is llr", "Give a score of the coins")
    for name, scores in given.items():
        if scores is not None and scores.shape != coins.shape:
            raise BadInput(
                name, scores.shape, f"has not the shape of coins, {coins.shape}", "Check the arrays"
            )
