"""How each procedure behaves where the answer is known: pure noise and Gaussian mechanisms.

Scores and answers are drawn at a run's own numbers of models, examples and canaries; the procedures
are the functions that the run uses. A procedure that certifies ε > 0 from noise in more than α of
the trials, or more than the true ε, is wrong; one that certifies nothing is useless.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from scipy import special

from audit.errors import BadInput
from audit.estimates.clopper_pearson import clopper_pearson_epsilon
from audit.estimates.coin_audit import CoinAudit, audit_coins
from audit.estimates.combining import average_e_value, twice_the_mean
from audit.estimates.corrections import holm
from audit.estimates.dp_test import refutation_p_values
from audit.estimates.epsilon import certified_epsilon
from audit.estimates.guessing import correct_guesses, most_confident
from audit.estimates.intervals import student, wilson
from audit.estimates.one_run import one_run_epsilon, one_run_p_value
from audit.estimates.result import Estimate
from audit.estimates.tradeoff import gaussian_mu

EPSILONS = (1.0, 2.0, 4.0, 8.0)
"""True ε of the mechanisms that are audited."""
_GUESSED = 0.2


@dataclass(frozen=True)
class Setting:
    """What a run has: K models, n examples in with probability p, canaries per model, δ, α."""

    models: int = 200
    examples: int = 1347
    p: float = 0.7
    canaries: int = 1000
    delta: float = 3.6e-4
    alpha: float = 0.05


@dataclass(frozen=True)
class Trial:
    """What one procedure says in one trial: certified ε (NaN: it certifies none), and whether it
    accuses the mechanism of breaking the ε that it keeps."""

    epsilon: float
    accuses: bool


@dataclass(frozen=True)
class AtEpsilon:
    """``wrong``: share of trials that certify more than ``epsilon`` or refute it; ``share``: mean
    certified ε as a share of it, NaN at ε = 0 and for tests that certify nothing."""

    epsilon: float
    wrong: Estimate
    share: Estimate


@dataclass(frozen=True)
class Calibrated:
    """One procedure: on pure noise (``at`` ε = 0) and on mechanisms of known ε."""

    id: str
    procedure: str
    at: tuple[AtEpsilon, ...]

    @property
    def false_alarms(self) -> Estimate:
        """Share of the trials on pure noise that say there is a leak."""
        return self.at[0].wrong

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "id": self.id,
            "procedure": self.procedure,
            "false_alarms": self.false_alarms.to_json(),
            "known_epsilon": [
                {"epsilon": a.epsilon, "wrong": a.wrong.to_json(), "share": a.share.to_json()}
                for a in self.at[1:]
            ],
        }


def calibrate_procedures(
    setting: Setting,
    rng: np.random.Generator,
    *,
    trials: int,
    known_trials: int,
    epsilons: tuple[float, ...] = EPSILONS,
    procedures: tuple[str, ...] | None = None,
) -> list[Calibrated]:
    """Run ``procedures`` (all by default) in ``trials`` on noise, ``known_trials`` per known ε.

    Raises:
        BadInput: no trials, an unknown procedure, δ outside (0, 1), or K or n below 1.
    """
    _check(setting, trials, known_trials)
    chosen = tuple(PROCEDURES) if procedures is None else procedures
    found = []
    for name in chosen:
        if name not in PROCEDURES:
            raise BadInput("procedure", name, "is not known", f"One of: {', '.join(PROCEDURES)}")
        if name.startswith("canaries") and setting.canaries == 0:
            continue
        at = [
            at_epsilon(name, setting, epsilon, n, rng)
            for epsilon, n in ((0.0, trials), *((e, known_trials) for e in epsilons))
            if n
        ]
        found.append(Calibrated(name, PROCEDURES[name][0], tuple(at)))
    return found


def quick_calibration(setting: Setting, rng: np.random.Generator, *, epsilon: float) -> list[Any]:
    """What a run can afford: the procedures of its report, on noise and at the claimed ``epsilon``.

    The number of trials depends on the numbers of coins alone: some seconds at 200 models with
    1,347 examples and 1,000 canaries, at least 10 trials.
    """
    found: list[dict[str, Any]] = []
    for name in ("witness", "examples", "canaries"):
        cells = setting.models * (setting.canaries if name == "canaries" else setting.examples)
        # The witness bound tests every example by itself, which takes longer.
        affordable = 4e6 if name == "witness" else 1e7
        trials = int(np.clip(affordable / max(cells, 1), 10, 60))
        found += [
            entry.to_json()
            for entry in calibrate_procedures(
                setting,
                rng,
                trials=trials,
                known_trials=max(2, trials // 8),
                epsilons=(epsilon,),
                procedures=(name,),
            )
        ]
    return found


def at_epsilon(
    name: str, setting: Setting, epsilon: float, trials: int, rng: np.random.Generator
) -> AtEpsilon:
    """``trials`` of procedure ``name`` on mechanisms of this ``epsilon``; 0 is pure noise."""
    said = [PROCEDURES[name][1](setting, epsilon, rng) for _ in range(trials)]
    wrong = np.array([t.accuses or t.epsilon > epsilon for t in said])
    low, high = wilson(np.array([wrong.sum()]), np.array([trials]))
    rate = Estimate(float(wrong.mean()), float(low[0]), float(high[0]), trials)
    shares = np.array([t.epsilon for t in said]) / epsilon if epsilon else np.full(trials, np.nan)
    mean = float(shares.mean())
    error = float(shares.std(ddof=1) / np.sqrt(trials)) if trials > 1 else np.nan
    ends = student(np.array([mean]), np.array([error]), np.array([float(trials - 1)]))
    return AtEpsilon(epsilon, rate, Estimate(mean, float(ends[0][0]), float(ends[1][0]), trials))


def _mu(setting: Setting, epsilon: float) -> float:
    return gaussian_mu(epsilon, setting.delta) if epsilon > 0 else 0.0


def _coins(
    models: int, n: int, p: float, mu: float, rng: np.random.Generator
) -> tuple[Bool[np.ndarray, "models n"], Float64[np.ndarray, "models n"]]:
    """Independent coins and a Gaussian mechanism's answer about each."""
    coins = rng.random((models, n)) < p
    return coins, rng.standard_normal((models, n)) + mu * coins


def _counts(setting: Setting, mu: float, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """n_in, right_in, n_out, right_out of examples that are right above the middle."""
    n_in = rng.binomial(setting.models, setting.p, setting.examples)
    n_out = setting.models - n_in
    right_in = rng.binomial(n_in, special.ndtr(mu / 2))
    return n_in, right_in, n_out, rng.binomial(n_out, special.ndtr(-mu / 2))


def _witness(setting: Setting, epsilon: float, rng: np.random.Generator) -> Trial:
    counts = _counts(setting, _mu(setting, epsilon), rng)
    confidence = 1 - setting.alpha
    bound = certified_epsilon(*counts, delta=setting.delta, confidence=confidence)
    return Trial(bound.value, False)


def _claim_test(setting: Setting, epsilon: float, rng: np.random.Generator) -> Trial:
    counts = _counts(setting, _mu(setting, epsilon), rng)
    p_values, _ = refutation_p_values(
        *counts, epsilon=epsilon, delta=setting.delta, alpha=setting.alpha
    )
    return Trial(np.nan, bool((holm(p_values) <= setting.alpha).any()))


def _pooled(found: CoinAudit, epsilon: float) -> Trial:
    above = found.epsilon_any.value > epsilon
    return Trial(found.epsilon.value, above or bool(found.refutes_epsilon_delta))


def _examples(setting: Setting, epsilon: float, rng: np.random.Generator) -> Trial:
    coins, x = _coins(setting.models, setting.examples, setting.p, _mu(setting, epsilon), rng)
    found = audit_coins(
        coins,
        p=setting.p,
        delta=setting.delta,
        statistic=x,
        claim=(epsilon, setting.delta),
        alpha=setting.alpha,
    )
    return _pooled(found, epsilon)


def _canaries(setting: Setting, epsilon: float, rng: np.random.Generator) -> Trial:
    mu = _mu(setting, epsilon)
    coins, x = _coins(setting.models, setting.canaries, 0.5, mu, rng)
    # On noise the attacker still believes in some leak: any ratio will do.
    assumed = mu or 1.0
    found = audit_coins(
        coins,
        p=0.5,
        delta=setting.delta,
        statistic=x,
        llr=assumed * x - assumed**2 / 2,
        claim=(epsilon, setting.delta),
        alpha=setting.alpha,
    )
    return _pooled(found, epsilon)


def _surest(
    coins: Bool[np.ndarray, "models n"], x: Float64[np.ndarray, "models n"], mu: float
) -> tuple[int, int]:
    """Guesses and right ones of the surest fifth of fair coins."""
    guesses = max(1, int(_GUESSED * coins.size))
    log_odds = (mu or 1.0) * (x - (mu or 1.0) / 2)
    return guesses, correct_guesses(log_odds, coins, most_confident(log_odds, guesses))


def _one_run(setting: Setting, epsilon: float, rng: np.random.Generator) -> Trial:
    mu = _mu(setting, epsilon)
    coins, x = _coins(setting.models, setting.canaries, 0.5, mu, rng)
    guesses, correct = _surest(coins, x, mu)
    bound = one_run_epsilon(
        coins=coins.size,
        guesses=guesses,
        correct=correct,
        delta=setting.delta,
        level=setting.alpha,
    )
    return Trial(bound, False)


def _combined(rule: Callable[[np.ndarray], float]):
    def run(setting: Setting, epsilon: float, rng: np.random.Generator) -> Trial:
        mu = _mu(setting, epsilon)
        coins, x = _coins(setting.models, setting.canaries, 0.5, mu, rng)
        counts = [_surest(coins[k : k + 1], x[k : k + 1], mu) for k in range(setting.models)]
        known = {
            count: one_run_p_value(
                coins=setting.canaries,
                guesses=count[0],
                correct=count[1],
                epsilon=epsilon,
                delta=setting.delta,
            )
            for count in set(counts)
        }
        return Trial(np.nan, rule(np.array([known[c] for c in counts])) <= setting.alpha)

    return run


def _clopper_pearson(setting: Setting, epsilon: float, rng: np.random.Generator) -> Trial:
    mu = _mu(setting, epsilon)
    coins, x = _coins(setting.models, 1, 0.5, mu, rng)
    says = x > mu / 2
    bound = clopper_pearson_epsilon(
        tp=int((says & coins).sum()),
        n_in=int(coins.sum()),
        fp=int((says & ~coins).sum()),
        n_out=int((~coins).sum()),
        delta=setting.delta,
        level=setting.alpha,
    )
    return Trial(float(np.nan_to_num(bound)), False)


PROCEDURES: dict[str, tuple[str, Callable[[Setting, float, np.random.Generator], Trial]]] = {
    "witness": ("witness bound, training examples", _witness),
    "claim": ("exact test of the claim, training examples", _claim_test),
    "examples": ("pooled one-run audit (f-DP), training examples", _examples),
    "canaries": ("pooled one-run audit (f-DP), gradient canaries", _canaries),
    "canaries, Steinke": ("pooled one-run audit (Steinke et al.), canaries", _one_run),
    "canaries, twice the mean": (
        "one-run p-values per model (Steinke et al.), twice the mean",
        _combined(twice_the_mean),
    ),
    "canaries, e-values": (
        "one-run p-values per model (Steinke et al.), average e-value",
        _combined(average_e_value),
    ),
    "canaries, Clopper-Pearson": (
        "Clopper–Pearson, one canary over the models, fixed threshold",
        _clopper_pearson,
    ),
}
"""What can be calibrated: id → words for the report, one trial."""


def _check(setting: Setting, trials: int, known_trials: int) -> None:
    for name, value, fine, rule in (
        ("trials", trials, trials >= 1, "must be at least 1"),
        ("known_trials", known_trials, known_trials >= 0, "must not be negative"),
        ("models", setting.models, setting.models >= 1, "must be at least 1"),
        ("examples", setting.examples, setting.examples >= 1, "must be at least 1"),
        ("canaries", setting.canaries, setting.canaries >= 0, "must not be negative"),
        ("p", setting.p, 0 < setting.p < 1, "must be between 0 and 1"),
        ("delta", setting.delta, 0 < setting.delta < 1, "must be between 0 and 1"),
        ("alpha", setting.alpha, 0 < setting.alpha < 1, "must be between 0 and 1"),
    ):
        if not fine:
            raise BadInput(name, value, rule, "Use e.g. --trials 200")
