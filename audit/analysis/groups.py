"""Subgroups: who loses accuracy, who was memorized, and whether rarity goes with either."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from audit.analysis.arms import ArmOutputs
from audit.analysis.attacks import exposure_columns
from audit.claims import STANDARD
from audit.data.dataset import Dataset, Grouping
from audit.estimates.exposure import Exposure, SubgroupExposure, subgroup_exposure
from audit.estimates.heterogeneity import heterogeneity
from audit.estimates.rates import group_rates
from audit.estimates.result import to_json_number
from audit.estimates.subgroups import (
    SubgroupLoss,
    SubgroupMemorization,
    frequency_bins,
    multiplicity,
    subgroup_accuracy,
    subgroup_loss,
    subgroup_mean_memorization,
)
from audit.estimates.trend import Trend, trend
from audit.seeds import Purpose, generator

EQUIVALENCE_MARGIN = 0.05
"""Groups whose losses differ by less than this count as losing equally, if the data show it."""


@dataclass(frozen=True)
class GroupAnalysis:
    """The subgroup table and the comparisons between subgroups, as stored."""

    table: pd.DataFrame
    trends: list[dict[str, Any]]
    disparity: list[dict[str, Any]]
    rates: list[dict[str, Any]]


def analyse_groups(
    data: Dataset,
    outputs: dict[str, ArmOutputs],
    exposures: dict[str, Exposure | None],
    *,
    seed: int,
) -> GroupAnalysis:
    """Every grouping of ``data``, and its frequency bins, in every arm.

    Without test examples there is no accuracy to compare: losses are NaN, and neither trends of
    losses nor comparisons nor rates are made.

    ``seed``: the run's, for the random relabellings of the test of equal losses.
    """
    tables, trends, disparity, rates = [], [], [], []
    for grouping in data.groupings:
        exposed = _exposed(grouping, outputs, exposures)
        frame, losses, memorizations = _table(grouping, grouping.kind, data, outputs, exposed)
        tables.append(frame)
        losses = losses if grouping.test.size else {}
        trends += _trends(grouping, outputs, losses, memorizations, exposed)
        disparity += [_disparity(grouping, outputs, arm, seed) for arm in losses]
        rates += _rates(grouping, data, outputs) if grouping.test.size else []
        binned = _by_frequency(grouping)
        if len(binned.subgroups) > 1:
            exposed = _exposed(binned, outputs, exposures)
            tables.append(_table(binned, "frequency", data, outputs, exposed)[0])
    table = pd.concat(tables, ignore_index=True) if tables else _no_groups()
    return GroupAnalysis(table, trends, disparity, rates)


def _no_groups() -> pd.DataFrame:
    """The table of a run without groupings: its columns, no rows."""
    text = {name: pd.Series(dtype="str") for name in ("grouping", "kind", "subgroup")}
    counts = {name: pd.Series(dtype=np.int64) for name in ("n_train", "n_test")}
    return pd.DataFrame(text | counts | {"frequency": pd.Series(dtype=np.float64)})


def _by_frequency(grouping: Grouping) -> Grouping:
    """The grouping of examples by how frequent their subgroup is, in powers of two."""
    counts = grouping.train_counts()
    bins = frequency_bins(counts, int(counts.sum()))
    codes = bins.codes.astype(np.int32)
    return Grouping(
        f"{grouping.name}: frequency",
        grouping.kind,
        bins.names,
        codes[grouping.train],
        codes[grouping.test],
        grouping.uses_training_data,
    )


def _exposed(
    grouping: Grouping, outputs: dict[str, ArmOutputs], exposures: dict[str, Exposure | None]
) -> dict[str, SubgroupExposure]:
    """Exposure per subgroup, of each arm that was attacked."""
    return {
        arm: subgroup_exposure(
            found.scores, outputs[arm].membership, grouping.train, len(grouping.subgroups)
        )
        for arm, found in exposures.items()
        if found is not None
    }


def _table(
    grouping: Grouping,
    kind: str,
    data: Dataset,
    outputs: dict[str, ArmOutputs],
    exposed: dict[str, SubgroupExposure],
) -> tuple[pd.DataFrame, dict[str, SubgroupLoss], dict[str, SubgroupMemorization]]:
    """Rows of results/subgroups.parquet for one grouping, and what they were made from."""
    size = len(grouping.subgroups)
    n_train = grouping.train_counts()
    columns: dict[str, Any] = {
        "grouping": [grouping.name] * size,
        "kind": [kind] * size,
        "subgroup": list(grouping.subgroups),
        "n_train": n_train,
        "n_test": grouping.test_counts(),
        "frequency": n_train / len(data.y_train),
    }
    losses, memorizations = {}, {}
    for arm, out in outputs.items():
        accuracy = subgroup_accuracy(out.test_correct, grouping.test, size)
        columns |= _with_limits(f"accuracy_{arm}", accuracy.mean, accuracy.low, accuracy.high)
        mem = subgroup_mean_memorization(out.membership, out.train_correct, grouping.train, size)
        memorizations[arm] = mem
        columns |= _with_limits(f"mem_{arm}", mem.mean, mem.low, mem.high)
        columns |= exposure_columns(arm, exposed.get(arm), size)
        if arm == STANDARD or STANDARD not in outputs:
            continue
        loss = subgroup_loss(outputs[STANDARD].test_correct, out.test_correct, grouping.test, size)
        losses[arm] = loss
        columns |= _with_limits(f"loss_{arm}", loss.mean, loss.low, loss.high)
        columns[f"loss_{arm}_p"] = loss.p_value
        columns[f"loss_{arm}_p_holm"] = loss.p_adjusted
        columns[f"multiplicity_{arm}"] = multiplicity(out.test_correct, grouping.test, size)
    return pd.DataFrame(columns), losses, memorizations


def _with_limits(
    name: str, value: np.ndarray, low: np.ndarray, high: np.ndarray
) -> dict[str, np.ndarray]:
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _trends(
    grouping: Grouping,
    outputs: dict[str, ArmOutputs],
    losses: dict[str, SubgroupLoss],
    memorizations: dict[str, SubgroupMemorization],
    exposed: dict[str, SubgroupExposure],
) -> list[dict[str, Any]]:
    """Trend of each DP arm's loss and of the standard arm's memorization with log₂ frequency.

    And of its attack exposure. Without a standard arm, of each arm's own.
    """
    n_train = grouping.train_counts()
    found = []
    for arm, loss in losses.items():
        error = _positive(loss.pooled_error)
        plain = trend(loss.mean, error, n_train)
        difficulty = _difficulty(grouping, outputs[STANDARD])
        adjusted = trend(loss.mean, error, n_train, difficulty=difficulty)
        found.append(_trend_record(grouping, f"loss_{arm}", arm, plain, adjusted))
    for arm in [STANDARD] if STANDARD in outputs else list(outputs):
        mem = memorizations[arm]
        plain = trend(mem.mean, _positive(mem.pooled_error), n_train)
        found.append(_trend_record(grouping, f"mem_{arm}", arm, plain, None))
        if arm in exposed:
            plain = trend(exposed[arm].mean, _positive(exposed[arm].pooled_error), n_train)
            found.append(_trend_record(grouping, f"exposure_{arm}", arm, plain, None))
    return found


def _difficulty(grouping: Grouping, standard: ArmOutputs) -> np.ndarray:
    """Error of standard models on the training examples they did not see, per subgroup.

    From training examples, so that its noise is not that of the loss it is to explain.
    """
    size = len(grouping.subgroups)
    out = ~standard.membership
    right = (standard.train_correct & out).sum(axis=0)
    seen = np.bincount(grouping.train, weights=out.sum(axis=0), minlength=size)
    correct = np.bincount(grouping.train, weights=right, minlength=size)
    with np.errstate(invalid="ignore"):
        return 1 - correct / np.where(seen > 0, seen, np.nan)


def _positive(standard_error: np.ndarray) -> np.ndarray:
    """An error of 0 (no variation seen at all) carries no weight that could be justified: NaN."""
    return np.where(standard_error > 0, standard_error, np.nan)


def _trend_record(
    grouping: Grouping, outcome: str, arm: str, plain: Trend, adjusted: Trend | None
) -> dict[str, Any]:
    record = {
        "grouping": grouping.name,
        "kind": grouping.kind,
        "outcome": outcome,
        "arm": arm,
        "slope": plain.slope.to_json(),
        "level": plain.level.to_json(),
        "centre": to_json_number(plain.centre),
        "p_value": to_json_number(plain.p_value),
        "tau": to_json_number(plain.tau),
        "n_groups": plain.n_groups,
        "n_given": plain.n_given,
        "verdict": plain.verdict,
        "method": plain.method,
    }
    if adjusted is not None and adjusted.difficulty_slope is not None:
        record["slope_at_equal_difficulty"] = adjusted.slope.to_json()
        record["p_value_at_equal_difficulty"] = to_json_number(adjusted.p_value)
    return record


def _disparity(
    grouping: Grouping, outputs: dict[str, ArmOutputs], arm: str, seed: int
) -> dict[str, Any]:
    """Do all subgroups lose equally?"""

    def subgroup(index: int | None) -> str | None:
        return None if index is None else grouping.subgroups[index]

    found = heterogeneity(
        outputs[STANDARD].test_correct,
        outputs[arm].test_correct,
        grouping.test,
        len(grouping.subgroups),
        rng=generator(seed, Purpose.PERMUTATION, grouping.name, arm),
        margin=EQUIVALENCE_MARGIN,
    )
    return {
        "grouping": grouping.name,
        "kind": grouping.kind,
        "arm": arm,
        "cochran_q": to_json_number(found.cochran_q),
        "q_degrees": found.q_degrees,
        "q_p_value": to_json_number(found.q_p_value),
        "tau": to_json_number(found.tau),
        "worst_subgroup": subgroup(found.worst),
        "worst_loss": found.worst_loss.to_json(),
        "worst_minus_rest": found.worst_minus_rest.to_json(),
        "worst_p_adjusted": to_json_number(found.worst_p_adjusted),
        "largest_subgroup": subgroup(found.largest),
        "largest_loss": found.largest_loss.to_json(),
        "equivalence_margin": found.equivalence_margin,
        "equivalent_within": to_json_number(found.equivalent_within),
        "verdict": found.verdict,
        "smallest_detectable": to_json_number(found.smallest_detectable),
        "n_groups": found.n_groups,
        "n_given": found.n_given,
        "relabellings": found.relabellings,
    }


def _rates(
    grouping: Grouping, data: Dataset, outputs: dict[str, ArmOutputs]
) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    for arm, out in outputs.items():
        records += group_rates(
            out.test_correct,
            data.y_test,
            grouping.test,
            grouping.subgroups,
            n_classes=len(data.class_names),
            grouping=grouping.name,
            arm=arm,
        )
    return records
