"""One arm: memorization, the test against ε, influence, accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float16

from audit.analysis.attacks import attack_summary, estimate_exposure
from audit.analysis.empirical import CanaryOutputs, Coins, empirical_epsilon
from audit.claims import ALPHA, Claim
from audit.data.dataset import Dataset
from audit.estimates.above_bound import AboveBound, above_bound
from audit.estimates.accuracy import (
    accuracy,
    accuracy_excluded,
    accuracy_included,
    generalization_gap,
    paired_loss,
)
from audit.estimates.bounds import curve_bound, dp_bound
from audit.estimates.dp_test import DpTest, dp_verdict
from audit.estimates.epsilon import certified_epsilon
from audit.estimates.exposure import Exposure
from audit.estimates.influence import InfluencePairs, influential_pairs
from audit.estimates.memorization import (
    Memorization,
    mean_memorization,
    mem_max,
    memorization,
    share_above,
)
from audit.estimates.result import to_json_number

MEMORIZED = 0.25
"""mem from which an example counts as memorized (Feldman & Zhang 2020, §3.1)."""
_MOST_WITNESSES = 10


@dataclass(frozen=True)
class AnalysedArm:
    """What the analysis needs to know of an arm: its name, what it claims if it claims anything,
    the ``native`` parameters of its training that the summary repeats, and whether it is a
    ``control``, which stands beside the arms of the audit and is never judged with them; one with
    ``random_labels`` was trained on, and asked about, others than the data set's."""

    name: str
    claim: Claim | None = None
    native: Mapping[str, float | int | None] = field(default_factory=dict)
    control: bool = False
    random_labels: bool = False


@dataclass(frozen=True)
class ArmOutputs:
    """What all models of an arm did, in order of models."""

    membership: Bool[np.ndarray, "models n"]
    train_correct: Bool[np.ndarray, "models n"]
    test_correct: Bool[np.ndarray, "models n_test"]
    diverged: int = 0
    """Models that ended with parameters that are not finite; they count as wrong everywhere."""
    train_margin: Float16[np.ndarray, "models n"] | None = None
    test_margin: Float16[np.ndarray, "models n_test"] | None = None
    """log(p_y / (1 − p_y)), NaN where undefined; None where nobody has them."""
    canaries: CanaryOutputs | None = None


@dataclass(frozen=True)
class ArmEstimates:
    """The estimates of one arm, and the claim it was held against: its own, or, for an arm that
    claims nothing, the strictest one of the run."""

    memorization: Memorization
    test: DpTest
    above: AboveBound
    influence: InfluencePairs
    judged_by: Claim
    exposure: Exposure | None = None
    """None where no attack can be run: :func:`audit.analysis.attacks.why_not`."""


def estimate_arm(outputs: ArmOutputs, judged_by: Claim) -> ArmEstimates:
    """Memorization, test against ``judged_by``, and influence."""
    mem = memorization(outputs.membership, outputs.train_correct)
    epsilon, delta = judged_by.in_out_epsilon, judged_by.in_out_delta
    test = dp_verdict(
        mem.n_in,
        mem.correct_in,
        mem.n_out,
        mem.correct_out,
        epsilon=epsilon,
        delta=delta,
        alpha=ALPHA,
    )
    curve = judged_by.curve
    above = above_bound(
        mem,
        epsilon,
        delta,
        curve=None if curve is None else (curve.epsilon, curve.delta),
        alpha=ALPHA,
    )
    pairs = influential_pairs(
        outputs.membership, outputs.train_correct, outputs.test_correct, min_mem=MEMORIZED
    )
    exposed = estimate_exposure(outputs.membership, outputs.train_margin, outputs.test_margin)
    return ArmEstimates(mem, test, above, pairs, judged_by, exposed)


def example_rows(arm: AnalysedArm, found: ArmEstimates, data: Dataset) -> pd.DataFrame:
    """One row per training example, as in results/examples.parquet."""
    name = arm.name
    labels = np.asarray(data.class_names, dtype=object)[data.y_train]
    if arm.random_labels:
        # Not the label that p_in and p_out are about, which nothing keeps.
        labels = np.full(len(labels), "(drawn at random)", dtype=object)
    mem = found.memorization
    n = len(mem.mem)
    curve = found.judged_by.curve
    tradeoff = (
        np.full(n, np.nan) if curve is None else curve_bound(curve.epsilon, curve.delta)(mem.p_out)
    )
    columns: dict[str, Any] = {
        "arm": [name] * n,
        "example": np.arange(n),
        "label": labels,
        "n_in": mem.n_in,
        "n_out": mem.n_out,
        "p_in": mem.p_in,
        "p_out": mem.p_out,
        "mem": mem.mem,
        "mem_low": mem.low,
        "mem_high": mem.high,
        "bound": dp_bound(found.judged_by.in_out_epsilon, found.judged_by.in_out_delta)(mem.p_out),
        "tradeoff_bound": tradeoff,
        "verdict": np.where(found.test.refuted, "violates", "not_refuted"),
        "exposure": np.full(n, np.nan) if found.exposure is None else found.exposure.each,
    }
    for grouping in data.groupings:
        names = np.asarray(grouping.subgroups, dtype=object)
        # A grouping may carry the name of a column above ("label"): keep both.
        column = grouping.name
        while column in columns:
            column = f"group {column}"
        columns[column] = names[grouping.train]
    return pd.DataFrame(columns)


def influence_rows(name: str, pairs: InfluencePairs) -> pd.DataFrame:
    """One row per reported pair, as in results/influence.parquet."""
    return pd.DataFrame(
        {
            "arm": [name] * len(pairs.train),
            "train_example": pairs.train,
            "test_example": pairs.test,
            "influence": pairs.influence,
            "low": pairs.low,
            "high": pairs.high,
            "q_value": pairs.q_value,
            "mem": pairs.mem,
        }
    )


def arm_summary(
    arm: AnalysedArm, outputs: ArmOutputs, found: ArmEstimates, coins: Coins
) -> dict[str, Any]:
    """One arm's part of results/summary.json."""
    member, correct = outputs.membership, outputs.train_correct
    mem = found.memorization
    certified = certified_epsilon(
        mem.n_in,
        mem.correct_in,
        mem.n_out,
        mem.correct_out,
        delta=found.judged_by.in_out_delta,
    )
    summary: dict[str, Any] = {
        "accuracy_test": accuracy(outputs.test_correct).to_json(),
        "accuracy_included": accuracy_included(member, correct).to_json(),
        "accuracy_excluded": accuracy_excluded(member, correct).to_json(),
        "generalization_gap": generalization_gap(member, correct).to_json(),
        "mem_mean": mean_memorization(member, correct).to_json(),
        "mem_share_above_0.25": share_above(member, correct, MEMORIZED).to_json(),
        "mem_max": mem_max(mem).to_json(),
        "mem_undefined": mem.n_undefined,
        "epsilon_certified": certified.to_json(),
        "verdict": _verdict(found.test, outputs),
        "diverged": outputs.diverged,
        "witnesses": found.test.witnesses[:_MOST_WITNESSES].tolist(),
        "n_refuted": found.test.n_refuted,
        "test": _test_summary(found.test),
        "influence": _influence_summary(found.influence),
        "above_bound": _above_summary(found.above),
        "empirical_epsilon": empirical_epsilon(
            certified,
            found.test,
            member,
            outputs.train_margin,
            outputs.canaries,
            coins=coins,
            claim=arm.claim,
            judged_by=found.judged_by,
        ),
        "exposure": attack_summary(found.exposure, outputs.train_margin),
    }
    if arm.claim is not None:
        summary |= {"epsilon": arm.claim.epsilon, "delta": arm.claim.delta, **arm.native}
    return summary


def loss_summary(standard: ArmOutputs, other: ArmOutputs) -> dict[str, Any]:
    """Overall accuracy loss of a private arm or a control, paired with the standard arm."""
    return paired_loss(standard.test_correct, other.test_correct).to_json()


def _verdict(test: DpTest, outputs: ArmOutputs) -> str:
    """A diverged model is wrong on everything, so nothing can be refuted with it: that is no
    evidence of consistency."""
    if test.verdict == "consistent" and outputs.diverged:
        return "could_not_tell"
    return test.verdict


def _test_summary(test: DpTest) -> dict[str, Any]:
    return {
        "epsilon": test.epsilon,
        "delta": test.delta,
        "alpha": test.alpha,
        "hypotheses": test.hypotheses,
        "correction": "Holm",
        "power": to_json_number(test.power),
        "models_needed": test.models_needed,
        "smallest_p": to_json_number(test.smallest_p),
    }


def _influence_summary(pairs: InfluencePairs) -> dict[str, Any]:
    return {
        "pairs_by_cuts": pairs.n_by_cuts,
        "pairs_reported": len(pairs.train),
        "pairs_one_to_one": pairs.n_one_to_one,
        "pairs_train_examples": pairs.n_train,
        "pairs_test_examples": pairs.n_test,
        "pairs_tested": pairs.n_tested,
        "fdr": pairs.fdr,
        "share_test_touched": pairs.share_touched.to_json(),
        "share_test_touched_once": pairs.share_touched_once.to_json(),
        "mean_selected": to_json_number(pairs.mean_selected),
        "mean_reestimated": to_json_number(pairs.mean_reestimated),
    }


def _above_summary(above: AboveBound) -> dict[str, Any]:
    return {
        "count": above.count,
        "by_chance": above.by_chance,
        "informative_share": to_json_number(above.informative_share),
        "above_tradeoff": above.above_tradeoff,
        "tradeoff_by_chance": above.tradeoff_by_chance,
        "above_tradeoff_significant": above.above_tradeoff_significant,
        "memorization_cap": above.memorization_cap,
        "tradeoff_cap": above.tradeoff_cap,
        "n": above.n,
    }
