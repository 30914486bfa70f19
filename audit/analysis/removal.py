"""What test accuracy the memorized examples are worth: the removal experiment's outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from audit.analysis.arms import ArmOutputs
from audit.conditions import AT_RANDOM, BY_MEMORIZATION, NONE
from audit.estimates.accuracy import accuracy, paired_loss


def removal_summary(
    facts: Mapping[str, Any], outputs: Callable[[str], ArmOutputs], n: int
) -> dict[str, Any]:
    """``removal`` of results/summary.json.

    Args:
        facts: ``removal`` of run.json.
        outputs: of the models of a condition, by its name.
        n: training examples of the data set.

    Every loss is paired by model (subset, start, minibatches) and test example, and its interval is
    over both. ``all``: on all test examples; ``filtered``: without those that are nearly training
    examples, None where nothing was to be filtered.
    """
    whole = outputs(NONE).test_correct
    kept = np.ones(whole.shape[1], dtype=bool)
    kept[facts["left_out"]] = False
    filters = {"all": np.ones_like(kept), "filtered": kept}
    if facts["settings"].get("near_duplicates") is None:
        del filters["filtered"]
    rows = []
    for threshold in facts["thresholds"]:
        removed = facts["removed"][f"{threshold:g}"]
        row: dict[str, Any] = {"threshold": threshold, "removed": removed, "share": removed / n,
                               "all": None, "filtered": None}  # fmt: skip
        if removed:
            memorized, random = (
                outputs(f"{how}-{threshold:g}").test_correct for how in (BY_MEMORIZATION, AT_RANDOM)
            )
            for name, chosen in filters.items():
                row[name] = _losses(whole[:, chosen], memorized[:, chosen], random[:, chosen])
        rows.append(row)
    return {
        "models": facts["models"],
        "weight_decay": facts["settings"].get("weight_decay"),
        "near_duplicates": facts["settings"].get("near_duplicates"),
        "left_out": len(facts["left_out"]),
        "n_test": whole.shape[1],
        **{f"accuracy_{name}": accuracy(whole[:, chosen]).to_json()
           for name, chosen in filters.items()},
        "thresholds": rows,
    }  # fmt: skip


def _losses(whole: np.ndarray, memorized: np.ndarray, random: np.ndarray) -> dict[str, Any]:
    """What is lost with the memorized, with as many at random, and how much more with the first."""
    return {
        "accuracy_memorized": accuracy(memorized).to_json(),
        "accuracy_random": accuracy(random).to_json(),
        "loss_memorized": paired_loss(whole, memorized).to_json(),
        "loss_random": paired_loss(whole, random).to_json(),
        "difference": paired_loss(random, memorized).to_json(),
    }
