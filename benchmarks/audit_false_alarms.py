"""False alarms and certified ε of every procedure, and of the peers' valid ones on the same scores.

    python benchmarks/audit_false_alarms.py [--trials 2000] [--known 1000] [--peers 200] [--seed 0]

Null trials are pure noise: a procedure passes if at most 5 % + 3 standard errors of them certify
anything. Known trials are Gaussian mechanisms of ε = 0.5 … 8: certified ε may be above the true one
in at most 5 % (+ 3 standard errors). The suite has small twins of these with fixed seeds.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from scipy import stats

from audit.estimates.calibration import PROCEDURES, AtEpsilon, Setting, at_epsilon
from audit.estimates.clopper_pearson import clopper_pearson_epsilon
from audit.estimates.coin_audit import audit_coins
from audit.estimates.one_run import one_run_epsilon, one_run_p_value
from audit.estimates.tradeoff import gaussian_mu

EPSILONS = (0.5, 1.0, 2.0, 4.0, 8.0)
SMALL = Setting(models=24, examples=40, p=0.7, canaries=60, delta=1e-3)


def allowed(alpha: float, trials: int) -> float:
    return alpha + 3 * math.sqrt(alpha * (1 - alpha) / trials)


def line(name: str, at: AtEpsilon, alpha: float) -> str:
    verdict = "ok" if at.wrong.value <= allowed(alpha, at.wrong.n) else "FAILS"
    share = "" if math.isnan(at.share.value) else f", certified/true {at.share.value:.2f}"
    wrong = f"wrong {at.wrong.value:6.2%} (n={at.wrong.n}) {verdict}"
    return f"{name:28s} ε={at.epsilon:<4g} {wrong}{share}"


def print_ours(trials: int, known: int, seed: int, only: str | None) -> None:
    cases = [(e, name) for e in (0.0, *EPSILONS) for name in PROCEDURES if only in (None, name)]
    for index, (epsilon, name) in enumerate(cases):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
        at = at_epsilon(name, SMALL, epsilon, known if epsilon else trials, rng)
        print(line(name, at, SMALL.alpha), flush=True)


def thresholds(inside: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives at the thresholds that no other one beats in both.

    jax_privacy counts these alone in its Bonferroni correction: more power for it than with all.
    """
    cuts = np.append(np.union1d(inside, outside), np.inf)
    hits = inside.size - np.searchsorted(np.sort(inside), cuts, side="left")
    alarms = outside.size - np.searchsorted(np.sort(outside), cuts, side="left")
    # Both fall with the cut: a cut is beaten by the next one above if that loses no hit, and by the
    # next one below if that has no more alarms.
    beaten = np.append(hits[1:] == hits[:-1], False) | np.append(False, alarms[1:] == alarms[:-1])
    return hits[~beaten], alarms[~beaten]


def peer_clopper_pearson(inside: np.ndarray, outside: np.ndarray, delta: float) -> float:
    """Clopper–Pearson at every threshold, Bonferroni over them (jax_privacy's rule).

    It takes the scores of one model's canaries for independent, which the others do not.
    """
    hits, alarms = thresholds(inside, outside)
    level = 0.05 / hits.size
    low = np.where(
        hits > 0, stats.beta.ppf(level / 2, np.maximum(hits, 1), inside.size - hits + 1), 0
    )
    some = np.minimum(alarms, outside.size - 1)
    high = np.where(
        alarms < outside.size, stats.beta.ppf(1 - level / 2, some + 1, outside.size - some), 1.0
    )
    best = int(np.argmax(np.log(np.maximum(low - delta, 1e-300)) - np.log(high)))
    return clopper_pearson_epsilon(
        tp=int(hits[best]),
        n_in=inside.size,
        fp=int(alarms[best]),
        n_out=outside.size,
        delta=delta,
        level=level,
    )


def peer_one_run(inside: np.ndarray, outside: np.ndarray, delta: float) -> float:
    """Steinke et al.'s bound with guesses "in" above every threshold, Bonferroni over them."""
    hits, alarms = thresholds(inside, outside)
    level, best = 0.05 / hits.size, 0.0
    for k in np.argsort(-hits / np.maximum(hits + alarms, 1)):
        counts = {
            "coins": inside.size + outside.size,
            "guesses": int(hits[k] + alarms[k]),
            "correct": int(hits[k]),
        }
        # A threshold that does not refute the best ε so far cannot certify more.
        if one_run_p_value(**counts, epsilon=best, delta=delta) < level:
            best = max(best, one_run_epsilon(**counts, delta=delta, level=level))
    return best


def print_peers(trials: int, seed: int) -> None:
    """One model with 1,000 fair coins, the same scores for all."""
    print("\none model, 1,000 fair coins, δ = 1e-5: certified ε, mean; share where ours is no less")
    for epsilon in (0.0, *EPSILONS):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(99, int(10 * epsilon))))
        mu = gaussian_mu(epsilon, 1e-5) if epsilon else 0.0
        rows = []
        for _ in range(trials):
            coins = rng.random((1, 1000)) < 0.5
            x = rng.standard_normal(coins.shape) + mu * coins
            ours = audit_coins(coins, p=0.5, delta=1e-5, llr=(mu or 1) * (x - (mu or 1) / 2))
            inside, outside = x[coins], x[~coins]
            rows.append((
                ours.epsilon.value,
                ours.epsilon_any.value,
                peer_one_run(inside, outside, 1e-5),
                peer_clopper_pearson(inside, outside, 1e-5),
            ))  # fmt: skip
        found = np.array(rows)
        mean, above = found.mean(axis=0), (found > epsilon).mean(axis=0)
        least = [(found[:, 0] >= found[:, k]).mean() for k in (2, 3)]
        print(
            f"ε={epsilon:<4g} f-DP {mean[0]:.3f}, f-DP any {mean[1]:.3f}, peers: "
            f"one-run {mean[2]:.3f} (ours no less in {least[0]:.0%}), "
            f"CP {mean[3]:.3f} ({least[1]:.0%}); above the truth "
            f"{np.array2string(above, precision=3)} (n={trials})",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--known", type=int, default=1000)
    parser.add_argument("--peers", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[*PROCEDURES, "peers"])
    options = parser.parse_args()
    if options.only != "peers":
        print(f"{SMALL}")
        print_ours(options.trials, options.known, options.seed, options.only)
    if options.only in (None, "peers"):
        print_peers(options.peers, options.seed)


if __name__ == "__main__":
    main()
