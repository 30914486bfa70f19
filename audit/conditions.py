"""What the models of the removal experiment are called in shards and ``run.json``. PURE."""

from __future__ import annotations

from collections.abc import Mapping

NONE, BY_MEMORIZATION, AT_RANDOM = "removal-none", "removal-mem", "removal-random"


def condition_names(removed: Mapping[str, int]) -> list[str]:
    """All conditions, where ``removed`` says how many examples reach each threshold."""
    return [NONE] + [
        f"{how}-{threshold}"
        for threshold, count in removed.items()
        for how in (BY_MEMORIZATION, AT_RANDOM)
        if count
    ]
