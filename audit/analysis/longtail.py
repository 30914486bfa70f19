"""The long-tail model's prediction from a data set's own subgroup counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from audit.analysis.arms import AnalysedArm
from audit.claims import Claim
from audit.data.dataset import Dataset
from audit.estimates.bounds import curve_bound, dp_bound
from audit.estimates.longtail import LongTail, from_counts
from audit.estimates.result import to_json_number


def predict(data: Dataset, arms: Sequence[AnalysedArm]) -> list[dict[str, Any]]:
    """One entry per grouping, as in ``summary.json``; empty without groupings.

    An unfitted singleton counts as wrong as often as a guess among equally likely classes.
    ``limited``: for each arm with a claim, how far the claim lets an example be memorized that
    would else be guessed, and the error added at least where no singleton is memorized further.
    """
    classes = len(data.class_names)
    wrong = 1 - 1 / classes
    found = []
    for grouping in data.groupings:
        tail = from_counts(grouping.train_counts(), wrong)
        found.append(
            {
                "grouping": grouping.name,
                "kind": grouping.kind,
                "classes": classes,
                **_plain(asdict(tail)),
                "limited": [
                    {"arm": arm.name, **_limited(tail, arm.claim, wrong)}
                    for arm in arms
                    if arm.claim is not None
                ],
            }
        )
    return found


def _limited(tail: LongTail, claim: Claim, wrong: float) -> dict[str, Any]:
    guessed = np.array(1 - wrong)
    allowed = float(dp_bound(claim.in_out_epsilon, claim.in_out_delta)(guessed))
    if claim.curve is not None:
        allowed = min(allowed, float(curve_bound(claim.curve.epsilon, claim.curve.delta)(guessed)))
    memorized = min(allowed - float(guessed), wrong)
    # A model that guesses is never wrong where there is one class: nothing to memorize, no price.
    unlearnt = (wrong - memorized) / wrong if wrong else 0.0
    return {"memorization": memorized, "price": to_json_number(tail.price * unlearnt)}


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    return {k: to_json_number(v) if isinstance(v, float) else v for k, v in found.items()}
