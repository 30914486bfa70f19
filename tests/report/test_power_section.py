"""The section on power, and what open questions would need."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from audit.claims import ALPHA, make_claim
from audit.detectable import Design, Groups, power_tables
from audit.estimates.coin_audit import score_level
from audit.estimates.epsilon_power import gaussian_curve_bound, ideal_attack, would_refute
from audit.estimates.subgroup_power import LossVariance, smallest_excess
from audit.estimates.tradeoff import gaussian_mu, gaussian_profile
from audit.report import needed
from audit.report.charts import draw
from audit.report.power_section import power_section, smallest_by_models
from audit.report.verdicts import with_needed
from tests.report.helpers import found
from tests.report.synthetic import HOSTILE, Run

VARIANCE = LossVariance(0.03, 0.05, 0.001)


@pytest.fixture(scope="module")
def power() -> dict:
    claim = make_claim(1.0, 1e-4, design="poisson", source="a test")
    design = Design(
        n=300,
        n_test=100,
        p=0.7,
        poisson=True,
        canaries={"dp-1": 50},
        claims={"dp-1": claim},
        judged_by=claim,
        groups=[Groups(HOSTILE[0], np.array([60, 30, 10, 0]))],
        variance=VARIANCE,
        variance_from="measured",
    )
    return power_tables(design, [10, 100, 400])


def test_more_models_find_smaller_effects(power: dict):
    for part, key in (("excess", "memorization"), ("influence", "influence"),
                      ("difference", "excess")):  # fmt: skip
        for entry in power[part]:
            sizes = [np.inf if row[key] is None else row[key] for row in entry["rows"]]
            assert sizes == sorted(sizes, reverse=True)
    for entry in power["epsilon"]:
        bounds = [row["epsilon"] or 0.0 for row in entry["rows"]]
        assert bounds == sorted(bounds)
        # Nothing certifies more than what is true of a mechanism that is as bad as its claim.
        if entry["procedure"].startswith("pooled"):
            assert bounds[-1] < 1.0


def test_the_section_shows_the_tables_and_draws_a_line(power: dict, quiet: Run):
    summary = {**quiet.summary, "power": power}
    made = power_section(quiet.run, summary)
    assert made is not None
    tables = [b.get("table", b) for b in made["blocks"] if b["type"] in ("table", "figure")]
    assert len(tables) == 4
    figure = next(b for b in made["blocks"] if b["type"] == "figure")
    svg = draw({**figure["charts"][0], "id": "chart-1"})
    assert "<svg" in svg
    assert "<script" not in svg
    assert power_section(quiet.run, {**quiet.summary, "power": None}) is None


def test_a_run_that_could_find_nothing_has_no_chart(power: dict, quiet: Run):
    blind = copy.deepcopy(power)
    for entry in blind["excess"]:
        for row in entry["rows"]:
            row |= {"memorization": None, "excess": None, "p_in": None}
    assert smallest_by_models(blind) == {"points": []}
    made = power_section(quiet.run, {**quiet.summary, "power": blind})
    assert made is not None
    assert not next(b for b in made["blocks"] if b["type"] == "figure")["charts"]


def disparity(excess: float, n: int) -> dict:
    return {
        "n_groups": 5,
        "worst_minus_rest": {"value": excess},
        "worst_loss": {"value": excess, "n": n},
    }


def test_what_a_difference_needs_is_enough(power: dict):
    summary, run = {"models": 10, "power": power}, {"data": {"n_test": 500}}
    text = needed.for_disparity(disparity(0.07, 100), summary, run)
    models = int(text.split()[1].replace(",", "")) if "models" in text else None
    assert models is not None
    assert smallest_excess(VARIANCE, models, np.array([100]), 500, n_groups=5)[0] <= 0.07
    assert smallest_excess(VARIANCE, 10, np.array([100]), 500, n_groups=5)[0] > 0.07
    few = needed.for_disparity(disparity(0.05, 10), summary, run)
    assert "no number of models is enough" in few
    assert "cannot be said" in needed.for_disparity(disparity(-0.01, 10), summary, run)
    unmeasured = {"models": 10, "power": None}
    assert "cannot be said" in needed.for_disparity(disparity(0.1, 100), unmeasured, run)


def test_a_trend_needs_subgroups_in_proportion_to_its_uncertainty():
    flat = {"n_groups": 20, "slope": {"value": 0.01, "low": -0.01, "high": 0.03}}
    steep = {"n_groups": 20, "slope": {"value": 0.015, "low": -0.005, "high": 0.035}}
    counts = [int(needed.for_trend(t).split()[1]) for t in (flat, steep)]
    assert counts[0] > counts[1] > 20
    assert "at least 8" in needed.for_trend({"n_groups": 3})
    assert "cannot be said" in needed.for_trend({"n_groups": 9, "slope": None})


def test_canaries_need_as_many_models_as_show_twice_the_claim():
    text = needed.for_canaries({"planted": 50}, 1.0, 1e-4, 2)
    models = int(text.split()[1])
    profile = gaussian_profile(gaussian_mu(1.0, 1e-4))
    attack = ideal_attack(gaussian_curve_bound(2.0, 1e-4), 0.5)
    enough, half = score_level(models, ALPHA), score_level(models // 2, ALPHA)
    assert would_refute(profile, attack, 50 * models, level=enough)
    assert not would_refute(profile, attack, 25 * models, level=half)


def test_every_open_question_says_what_it_would_need(quiet: Run):
    run = copy.deepcopy(quiet)
    run.summary["arms"]["dp-2"] |= {"verdict": "could_not_tell"}
    run.summary["arms"]["dp-2"]["test"] |= {"power": 0.1, "models_needed": 900}
    findings = found(run)
    assert "900 models" in findings["claim-dp-2"]["needed"]
    opened = [
        f
        for ident, f in findings.items()
        if f["verdict"] in ("could_not_tell", "inconclusive", "too_few_groups")
        and not ident.startswith(("self-check", "cross-check", "diverged"))
    ]
    assert opened
    for finding in opened:
        assert finding["needed"], finding["id"]
        assert finding["needed"] in with_needed(finding)
    decided = [f for f in findings.values() if f["verdict"] in ("consistent", "holds", "shown")]
    assert all(f["needed"] is None for f in decided)
