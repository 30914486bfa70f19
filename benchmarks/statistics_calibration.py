"""Coverage, false alarms and power of every procedure in ``audit.estimates``, by simulation.

    python benchmarks/statistics_calibration.py [--trials 1000] [--seed 0] [--only trend]

Each line: what, the share found, its standard error, the number of trials, what is nominal. The
suite has small twins of these with fixed seeds; this is the large study.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator

import numpy as np

from audit.estimates.bounds import line_bound
from audit.estimates.corrections import holm
from audit.estimates.crossed import rest_contrasts
from audit.estimates.dp_test import refutation_p_values
from audit.estimates.epsilon import certified_epsilon
from audit.estimates.heterogeneity import heterogeneity
from audit.estimates.influence import influential_pairs
from audit.estimates.memorization import mean_memorization, mem_max, memorization, share_above
from audit.estimates.power import Form, average_power
from audit.estimates.result import Estimate
from audit.estimates.subgroups import subgroup_loss
from audit.estimates.trend import trend

Row = tuple[str, list[bool], str]


def covers(estimate: Estimate, truth: float) -> bool:
    return estimate.low <= truth <= estimate.high


def long_tail(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(p_in, p_out): most examples easy, a tail that only a model that saw them gets right."""
    p_out = 1 - 0.98 * rng.beta(0.4, 4, n)
    return 1 - (1 - p_out) * rng.random(n) ** 2, p_out


def draw(
    rng: np.random.Generator, models: int, p_in: np.ndarray, p_out: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    membership = rng.random((models, p_in.size)) < 0.7
    return membership, rng.random(membership.shape) < np.where(membership, p_in, p_out)


def study_memorization(trials: int, rng: np.random.Generator) -> Iterator[Row]:
    for models in (100, 200, 500):
        mean, share, largest = [], [], []
        for _ in range(trials // 5):
            p_in, p_out = long_tail(rng, 600)
            mem = p_in - p_out
            data = draw(rng, models, p_in, p_out)
            mean.append(covers(mean_memorization(*data), float(mem.mean())))
            share.append(covers(share_above(*data, 0.25), float((mem >= 0.25).mean())))
            largest.append(covers(mem_max(memorization(*data)), float(mem.max())))
        yield f"mean mem covers, K={models}", mean, "95 %"
        yield f"share of mem ≥ .25 covers, K={models}", share, "95 %"
        yield f"largest mem covers, K={models}", largest, "≥ 95 %"


def paired_arms(
    rng: np.random.Generator, models: int, codes: np.ndarray, group_effect: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Two arms of the same expected accuracy but for ``group_effect`` of each group."""
    difficulty = 0.1 + 0.8 * rng.beta(3, 1, codes.size)
    luck = rng.normal(0, 0.03, (2, models, 1))
    first = rng.random((models, codes.size)) < difficulty + luck[0]
    return first, rng.random(first.shape) < difficulty - group_effect[codes] + luck[1]


def study_subgroups(trials: int, rng: np.random.Generator) -> Iterator[Row]:
    sizes = np.array([3, 5, 10, 30, 100, 300])
    codes = np.repeat(np.arange(sizes.size), sizes)
    for models in (10, 50):
        covered = []
        for _ in range(trials):
            arms = paired_arms(rng, models, codes, np.zeros(sizes.size))
            loss = subgroup_loss(*arms, codes, sizes.size)
            covered.append((loss.low <= 0) & (loss.high >= 0))
        for size, column in zip(sizes, np.array(covered).T, strict=True):
            yield f"loss covers, {size} examples, K={models}", column.tolist(), "95 % (92–96)"


def study_disparity(trials: int, rng: np.random.Generator) -> Iterator[Row]:
    for groups, models in ((10, 25), (40, 25)):
        for tau in (0.0, 0.05):
            alarms, shown, by_q = [], [], []
            for _ in range(trials // 4):
                sizes = (5 * 2 ** rng.uniform(0, 5, groups)).astype(int)
                codes = np.repeat(np.arange(groups), sizes)
                arms = paired_arms(rng, models, codes, rng.normal(0, tau, groups))
                result = heterogeneity(*arms, codes, groups, rng=rng)
                loss = result.loss
                alarms.append(trend(loss.mean, loss.pooled_error, 3 * sizes).verdict == "shown")
                shown.append(result.verdict == "shown")
                by_q.append(bool(result.q_p_value <= 0.05))
            name = f"{groups} groups of 5–160, K={models}, τ={tau}"
            yield f"trend shown without one, {name}", alarms, "5 %"
            if tau == 0:
                yield f"disparity shown without one (max-t), {name}", shown, "≤ 5 %"
                yield f"Cochran Q ≤ .05 without spread, {name}", by_q, "≤ 5 %"


# Test examples of the 39 styles of `digits` that have any (four styles per class, seed 0).
DIGITS_STYLES = np.array([
    36, 11, 2, 1, 26, 11, 9, 5, 16, 14, 17, 2, 25, 15, 4, 7, 24, 18, 7, 1,
    17, 19, 14, 1, 20, 19, 7, 4, 30, 11, 6, 3, 21, 9, 12, 6, 42, 3, 5,
])  # fmt: skip


def skewed_arms(
    rng: np.random.Generator, models: int, codes: np.ndarray, loss: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Two arms whose losses are as skewed as real ones: few examples bear nearly all of the loss.

    ``loss``: mean loss of each group; models are better or worse as a whole, too.
    """
    mean = np.clip(loss, 0.001, 0.9)[codes]
    lost = rng.beta(0.4 * mean, 0.4 * (1 - mean))
    luck = rng.normal(0, 0.01, (2, models, 1))
    first = rng.random((models, codes.size)) < 0.98 + luck[0]
    return first, first & (rng.random(first.shape) >= lost + luck[1])


def study_permuted_labels(trials: int, rng: np.random.Generator) -> Iterator[Row]:
    """Skewed losses whose labels mean nothing; "own errors" is what the package did before."""
    for name, draw_sizes in {
        "digits' 39 styles": lambda: DIGITS_STYLES,
        "20 groups of 10–100": lambda: np.exp(rng.uniform(np.log(10), np.log(100), 20)).astype(int),
        "12 groups of 30–200": lambda: np.exp(rng.uniform(np.log(30), np.log(200), 12)).astype(int),
    }.items():
        for models in (10, 100):
            found: dict[str, list[bool]] = {
                key: [] for key in ("trend", "trend, own errors", "disparity",
                                    "disparity, own errors", "Cochran Q")
            }  # fmt: skip
            for _ in range(trials // 2):
                sizes = draw_sizes()
                codes = np.repeat(np.arange(sizes.size), sizes)
                arms = skewed_arms(rng, models, codes, np.full(sizes.size, 0.05))
                result = heterogeneity(*arms, codes, sizes.size, rng=rng, relabellings=499)
                loss = result.loss
                own = np.where(loss.standard_error > 0, loss.standard_error, np.nan)
                cells = arms[0].astype(np.int8) - arms[1].astype(np.int8)
                contrasts = rest_contrasts(cells, codes, sizes.size, limits=(-1.0, 1.0))
                for key, shown in (
                    ("trend", trend(loss.mean, loss.pooled_error, sizes).verdict == "shown"),
                    ("trend, own errors", trend(loss.mean, own, sizes).verdict == "shown"),
                    ("disparity", result.verdict == "shown"),
                    ("disparity, own errors", bool((holm(contrasts.p_values()) <= 0.05).any())),
                    ("Cochran Q", result.q_p_value <= 0.05),
                ):
                    found[key].append(shown)
            for key, alarms in found.items():
                nominal = "5 %" if "own" not in key else "5 %, given up"
                yield f"{key} shown, skewed null, {name}, K={models}", alarms, nominal


def study_trend_coverage(trials: int, rng: np.random.Generator) -> Iterator[Row]:
    """Rare groups do lose more: loss falls by 1.5 points per doubling, and groups differ by τ."""
    slope = -0.015
    for name, low, high, groups in (("2–64", 2, 64, 39), ("10–100", 10, 100, 20),
                                    ("30–200", 30, 200, 12)):  # fmt: skip
        for tau in (0.0, 0.03):
            covered, power = [], []
            for _ in range(trials):
                sizes = np.exp(rng.uniform(np.log(low), np.log(high), groups)).astype(int)
                codes = np.repeat(np.arange(groups), sizes)
                truth = 0.16 + slope * np.log2(sizes) + rng.uniform(-1, 1, groups) * tau
                arms = skewed_arms(rng, 50, codes, truth)
                loss = subgroup_loss(*arms, codes, groups)
                found = trend(loss.mean, loss.pooled_error, sizes)
                covered.append(covers(found.slope, slope * 0.98))
                power.append(found.verdict == "shown")
            yield f"slope covers, {groups} groups of {name}, half-width {tau}", covered, "95 %"
            yield f"that slope is shown, {groups} groups of {name}, half-width {tau}", power, "–"


def study_dp_test(trials: int, rng: np.random.Generator) -> Iterator[Row]:
    for epsilon, p_out in ((1.0, 0.05), (2.0, 0.02), (4.0, 0.002)):
        accused = []
        for _ in range(trials):
            n_in = rng.binomial(200, 0.7, 200)
            right_in = rng.binomial(n_in, math.exp(epsilon) * p_out + 1e-5)
            right_out = rng.binomial(200 - n_in, p_out)
            p, _ = refutation_p_values(
                n_in, right_in, 200 - n_in, right_out, epsilon=epsilon, delta=1e-5
            )
            accused.append(bool((holm(p) <= 0.05).any()))
        yield f"private algorithm on the boundary accused, ε={epsilon}, n=200", accused, "≤ 5 %"
    for truth in (0.5, 1.5):
        right, wrong = (math.exp(s * truth / 2) for s in (1, -1))
        above = []
        for _ in range(trials // 4):
            n_in = rng.binomial(200, 0.7, 50)
            p = right / (right + wrong)
            counts = (n_in, rng.binomial(n_in, p), 200 - n_in, rng.binomial(200 - n_in, 1 - p))
            above.append(certified_epsilon(*counts, delta=0.0).value > truth)
        yield f"certified ε above the true {truth} (randomized response)", above, "≤ 5 %"


def study_influence(trials: int, rng: np.random.Generator) -> Iterator[Row]:
    reported, false = [], []
    for _ in range(trials // 10):
        membership = rng.random((100, 60)) < 0.7
        # Memorized to the letter, so that every example passes the cut on mem.
        noise = rng.random((100, 60)) < 0.5
        reported.append(influential_pairs(membership, membership, noise).train.size > 0)
        p = np.full((100, 60), 0.5)
        p[:, :10] = np.where(membership[:, :10], 0.85, 0.25)
        pairs = influential_pairs(membership, membership, rng.random(p.shape) < p)
        planted = (pairs.train == pairs.test) & (pairs.train < 10)
        false += (~planted).tolist()
    yield "any pair reported on pure noise", reported, "≤ 10 %"
    yield "reported pairs that are false, 10 planted", false, "≤ 10 %"


def print_power() -> None:
    """Power of both forms: exact by computation, so without a standard error."""
    bound, level = line_bound(2.0, 1e-5), 0.05 / (4 * 1297)
    print("\npower at ε=2, δ=1e-5, p=.7, Holm over 1,297 × 4 (computed)")
    for models, p_in, p_out in (
        (100, 0.99, 0.01),
        (150, 0.99, 0.01),
        (200, 0.99, 0.01),
        (200, 0.98, 0.05),
        (400, 0.98, 0.05),
        (400, 0.95, 0.10),
    ):
        found = [
            average_power(
                models, 0.7, bound, level, p_in=p_in, p_out=p_out, test=Form(exact=exact), slices=25
            )
            for exact in (False, True)
        ]
        print(f"  K={models} {p_in}/{p_out}: Fisher {found[0]:.1%}, exact {found[1]:.1%}")


STUDIES: dict[str, Callable[[int, np.random.Generator], Iterator[Row]]] = {
    "memorization": study_memorization,
    "subgroups": study_subgroups,
    "disparity": study_disparity,
    "permuted_labels": study_permuted_labels,
    "trend_coverage": study_trend_coverage,
    "dp_test": study_dp_test,
    "influence": study_influence,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[*STUDIES, "power"])
    options = parser.parse_args()
    for index, (name, study) in enumerate(STUDIES.items()):
        if options.only not in (None, name):
            continue
        seeds = np.random.SeedSequence(options.seed, spawn_key=(index,))
        for what, found, nominal in study(options.trials, np.random.default_rng(seeds)):
            n = len(found)
            share = sum(found) / n if n else math.nan
            error = math.sqrt(share * (1 - share) / n) if n else math.nan
            print(f"{what:70s} {share:6.1%} ± {error:5.1%}  (n={n})  nominal {nominal}", flush=True)
    if options.only in (None, "power"):
        print_power()


if __name__ == "__main__":
    main()
