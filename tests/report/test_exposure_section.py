"""The section on attack exposure: its words, its tables, and what stands there without attacks."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

from audit.report.exposure_findings import exposures
from audit.report.exposure_section import exposure_section, not_attacked
from tests.report.synthetic import HOSTILE, Run
from tests.report.test_document import strings
from tests.report.test_sections import tables


def test_every_attack_stands_with_every_arm_and_the_claim_beside_it(quiet: Run) -> None:
    found = tables(exposure_section(quiet.run, quiet.summary, quiet.subgroups, {}))["Attacks"]
    assert [row[:2] for row in found["rows"]] == [
        [attack, arm]
        for attack in ("LiRA, online", "One threshold for all")
        for arm in ("standard training", "private training, ε = 2")
    ]
    # At 1 %, e² · .01 + δ, less than what the other direction leaves.
    assert [row[-1] for row in found["rows"]] == ["no claim", "7.4 %"] * 2
    assert "needs margins on test examples" in found["note"]
    assert "RMIA, online" in found["note"]


def test_the_words_say_what_a_coin_would_do(quiet: Run) -> None:
    said = " ".join(strings(exposure_section(quiet.run, quiet.summary, quiet.subgroups, {})))
    assert "is right in 56.3 % (56.0 to 56.6) of cases, a coin in 50 %" in said
    assert "finds 7.2 % (7.0 to 7.3) of the members; a coin finds 1 %" in said
    page = quiet.document()
    tested = " ".join(page["page_one"]["tested"])
    assert "standard training 56.3 % and private training 52.1 %" in tested
    assert "Attacks" not in " ".join(page["page_one"]["not_covered"])


def test_the_drawn_limits_are_what_the_claim_allows_any_test(quiet: Run) -> None:
    """The oracle: the best test against the worst pair of outputs that (ε, δ) allows.

    Such a pair has four outcomes (Kairouz, Oh & Viswanath 2015, theorem 3.4); a test accuses in the
    order of their likelihood ratios.
    """
    blocks = [b for section in quiet.document()["sections"] for b in section["blocks"]]
    drawn = [c["data"] for b in blocks for c in b.get("charts", []) if c["kind"] == "roc"]
    [[limit]] = [data["limits"] for data in drawn]
    facts = quiet.run["arms"]["dp-2"]
    epsilon, delta = facts["in_out_epsilon"], facts["in_out_delta"]
    likely = (1 - delta) * math.exp(epsilon) / (1 + math.exp(epsilon))
    inside, outside = np.array([delta, likely, 1 - delta - likely, 0]), np.zeros(4)
    outside[1:] = [1 - delta - likely, likely, delta]
    fpr, tpr = np.append(0, np.cumsum(outside)), np.append(0, np.cumsum(inside))
    drawn = limit["points"]
    assert [p["tpr"] for p in drawn] == pytest.approx(
        np.interp([p["fpr"] for p in drawn], fpr, tpr)
    )
    assert (drawn[0]["fpr"], drawn[-1]["fpr"]) == pytest.approx((1e-4, 1.0))
    assert limit["name"] == "allowed at ε = 2"


def test_without_attacks_page_one_says_why(quiet: Run) -> None:
    run = copy.deepcopy(quiet)
    for arm, result in run.summary["arms"].items():
        result["exposure"] = {"attack": None, "why_not": f"{HOSTILE[0]} of {arm}"}
    assert exposure_section(run.run, run.summary, run.subgroups, {}) is None
    page = run.document()
    [item] = [i for i in page["page_one"]["not_covered"] if i.startswith("Attacks")]
    assert "not run (" in item
    assert HOSTILE[0] in item
    del run.summary["arms"]["standard"]["exposure"]  # results of an older version
    assert not_attacked(run.summary).endswith("dp-2).")


def test_one_arm_without_attacks_is_named(quiet: Run) -> None:
    run = copy.deepcopy(quiet)
    run.summary["arms"]["dp-2"]["exposure"] = {"attack": None, "why_not": "no margins"}
    assert not_attacked(run.summary) == (
        "Attacks that guess who was in the training data: not run on dp-2 (no margins)."
    )


def test_a_finding_is_shown_only_beyond_the_interval_and_fails_nothing(quiet: Run) -> None:
    run = copy.deepcopy(quiet)
    run.summary["arms"]["dp-2"]["exposure"]["auc"]["low"] = 0.499
    shown, open_ = exposures(run.summary, run.run)
    assert (shown["verdict"], open_["verdict"]) == ("shown", "inconclusive")
    assert open_["inconclusive"]
    assert not shown["fails"]
    assert not open_["fails"]


def test_undefined_rates_are_said_and_names_are_text(hostile: Run) -> None:
    run = copy.deepcopy(hostile)
    for result in run.summary["arms"].values():
        for key in ("auc", "balanced_accuracy", "tpr_at_0.01"):
            result["exposure"][key] = {"value": None, "low": None, "high": None, "n": 1}
    said = " ".join(strings(exposure_section(run.run, run.summary, run.subgroups, {})))
    assert "cannot be judged (too few models or scores)" in said
    assert "\\u202e" in said
    assert all(f["verdict"] == "inconclusive" for f in exposures(run.summary, run.run))
