"""What it would take to decide a question that a run left open: models, test examples, subgroups.

Each is told for an effect of a stated size, mostly the one that was estimated: which is itself
uncertain, and for effects picked as the largest too large on average.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from scipy import stats

from audit.claims import ALPHA
from audit.estimates.coin_audit import score_level
from audit.estimates.epsilon_power import gaussian_curve_bound, ideal_attack, would_refute
from audit.estimates.power import ENOUGH_POWER
from audit.estimates.subgroup_power import LossVariance, models_for_excess, needed_test_examples
from audit.estimates.tradeoff import gaussian_mu, gaussian_profile
from audit.estimates.trend import FEWEST_FOR_A_VERDICT
from audit.report.words import count, finite, part, points

_MOST_TIMES = 4096


def for_disparity(
    entry: Mapping[str, Any], summary: Mapping[str, Any], run: Mapping[str, Any]
) -> str:
    """What would show the clearest excess of a subgroup, were it as large as it was estimated."""
    if "worst_loss" in entry.get("withheld", ()):
        return "the internal report says it: the subgroup is withheld in this profile"
    groups, n_test = entry.get("n_groups"), (run.get("data") or {}).get("n_test")
    excess = part(entry.get("worst_minus_rest"), "value")
    own = part(entry.get("worst_loss"), "n")
    known = _variance(summary)
    if not groups or groups < 2:
        return "at least two subgroups with test examples"
    if excess is None or excess <= 0:
        return "it cannot be said: no subgroup was seen to lose more than the rest"
    if known is None or not own or not n_test or own >= n_test:
        return "it cannot be said: how much losses vary was not measured"
    models = models_for_excess(excess, known, int(own), n_test, n_groups=groups)
    size = f"were the clearest excess truly {points(excess)}"
    if models is not None and models > (summary.get("models") or 0):
        return f"about {count(models)} models, {size}"
    if models is not None:
        return f"{size}, this run had 80 % power to show it; a smaller one takes more test examples"
    examples = needed_test_examples(excess, known, summary["models"], own / n_test, n_groups=groups)
    if examples is None:
        return f"more models and more test examples, {size}"
    of_group = math.ceil(examples * own / n_test)
    return (
        f"more test examples, about {count(of_group)} of that subgroup ({count(examples)} in all), "
        f"{size}; no number of models is enough with {count(own)}"
    )


def for_trend(trend: Mapping[str, Any]) -> str:
    """How many subgroups would show the slope, were it as steep as it was estimated."""
    if "slope" in trend.get("withheld", ()):
        return "the internal report says it: the slope is withheld in this profile"
    groups = trend.get("n_groups") or 0
    if groups < FEWEST_FOR_A_VERDICT:
        return f"at least {FEWEST_FOR_A_VERDICT} subgroups with an estimate"
    slope = trend.get("slope")
    value, low, high = (part(slope, key) for key in ("value", "low", "high"))
    if value is None or low is None or high is None or value == 0:
        return "it cannot be said: there is no slope with an interval"
    error = (high - low) / 2 / float(stats.t.ppf(0.975, groups - 2))
    z = float(stats.norm.ppf(0.975) + stats.norm.ppf(ENOUGH_POWER))
    times = (z * error / abs(value)) ** 2
    if times > 1000:
        return "it cannot be said: the estimated slope is next to none"
    many = max(groups + 1, math.ceil(groups * times))
    return (
        f"about {count(many)} subgroups that scatter like these, were the slope truly as "
        "estimated; more models help only as far as they reduce that scatter"
    )


def for_canaries(entry: Mapping[str, Any], epsilon: float, delta: float, models: int) -> str:
    """How many models would show twice the claimed ε on as many canaries each."""
    if "would_refute_twice" not in entry and finite(part(entry.get("epsilon"), "value")):
        return "gradient canaries (--canary-kind gradient), whose power can be computed"
    coins = (entry.get("planted") or 0) * models
    if not coins or not 0 < delta < 1 or not models:
        return "canaries about which something can be guessed"
    per_model = coins / models
    profile = gaussian_profile(gaussian_mu(epsilon, delta))
    attack = ideal_attack(gaussian_curve_bound(2 * epsilon, delta), 0.5)
    times = 1
    while times <= _MOST_TIMES:
        many = models * times
        if would_refute(profile, attack, int(per_model * many), level=score_level(many, ALPHA)):
            return (
                f"about {count(many)} models with as many canaries each, or as many "
                "times more canaries, to find twice the claimed ε with 80 % power"
            )
        times *= 2
    return "more models than can be trained: this procedure cannot tell ε from twice ε here"


def for_loss() -> str:
    """Of an average loss that could be none."""
    return (
        "it cannot be said from the interval alone, which mixes models and test examples; the "
        "section on power tells which differences more of either would show"
    )


def _variance(summary: Mapping[str, Any]) -> LossVariance | None:
    told = (summary.get("power") or {}).get("loss_variance") or {}
    parts = [told.get(key) for key in ("examples", "cells", "models")]
    if not all(finite(x) for x in parts):
        return None
    examples, cells, models = (float(x) for x in parts if x is not None)
    return LossVariance(examples, cells, models)
