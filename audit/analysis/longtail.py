"""The long-tail model's prediction from a data set's own subgroup counts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from audit.data.dataset import Dataset
from audit.estimates.longtail import from_counts
from audit.estimates.result import to_json_number


def predict(data: Dataset) -> list[dict[str, Any]]:
    """One entry per grouping, as in ``summary.json``; empty without groupings.

    An unfitted singleton counts as wrong as often as a guess among equally likely classes.
    """
    classes = len(data.class_names)
    wrong = 1 - 1 / classes
    return [
        {
            "grouping": grouping.name,
            "kind": grouping.kind,
            "classes": classes,
            **_plain(asdict(from_counts(grouping.train_counts(), wrong))),
        }
        for grouping in data.groupings
    ]


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    return {k: to_json_number(v) if isinstance(v, float) else v for k, v in found.items()}
