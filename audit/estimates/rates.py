"""Rates by group as fairlearn defines them, averaged over the models: point values to reproduce.

The K models' predictions enter as weights: model predictions on a test example are its label with
weight q (the share of models that are right) and, for two classes, the other label with weight
1 − q. All denominators (group sizes, positives, negatives) are the same for every model, so each
weighted rate *is* the average of the models' rates. No interval is fairlearn's (method §7): those
are in :mod:`audit.estimates.subgroups`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int

from audit.errors import BadInput

Record = dict[str, object]


def group_rates(
    correct: Bool[np.ndarray, "models n_test"],
    y_test: Int[np.ndarray, " n_test"],
    codes: Int[np.ndarray, " n_test"],
    subgroups: tuple[str, ...],
    *,
    n_classes: int,
    grouping: str,
    arm: str,
) -> list[Record]:
    """Plain records for one grouping and arm.

    ``accuracy`` always; for two classes (positive = 1) also ``selection_rate``,
    ``true_positive_rate`` and ``false_positive_rate``, each with ``difference`` (largest minus
    smallest), ``ratio`` (smallest over largest) and ``by_group``; then one record with a ``value``
    for demographic parity and equalized odds, difference and ratio. None where undefined: a
    subgroup without test examples, or without positives for the true positive rate (fairlearn says
    0 there, which would read as total failure), or fewer than two such subgroups.

    Raises:
        BadInput: no models, or a code without a subgroup.
    """
    if correct.shape[0] == 0:
        raise BadInput("models", 0, "rates need at least one model", "Train models.")
    if codes.size and (codes.min() < 0 or codes.max() >= len(subgroups)):
        raise BadInput(
            "codes",
            (int(codes.min()), int(codes.max())),
            f"must lie between 0 and {len(subgroups) - 1}",
            'Give a missing group its own code, named "(not recorded)".',
        )
    from fairlearn.metrics import false_positive_rate, selection_rate, true_positive_rate
    from sklearn.metrics import accuracy_score

    frames = [_Frame("accuracy", accuracy_score, np.ones(y_test.size, dtype=bool))]
    if n_classes == 2:
        frames += [
            _Frame("selection_rate", selection_rate, np.ones(y_test.size, dtype=bool)),
            _Frame("true_positive_rate", true_positive_rate, y_test == 1),
            _Frame("false_positive_rate", false_positive_rate, y_test == 0),
        ]
    share = correct.mean(axis=0)
    records = [_record(frame, share, y_test, codes, subgroups, n_classes) for frame in frames]
    if n_classes == 2:
        records += _parity({str(record["metric"]): record for record in records})
    return [{"grouping": grouping, "arm": arm} | record for record in records]


@dataclass(frozen=True)
class _Frame:
    """One metric and the test examples that its denominator counts."""

    name: str
    function: Callable[..., float]
    counted: Bool[np.ndarray, " n_test"]


def _record(
    frame: _Frame,
    share: Float64[np.ndarray, " n_test"],
    y_test: Int[np.ndarray, " n_test"],
    codes: Int[np.ndarray, " n_test"],
    subgroups: tuple[str, ...],
    n_classes: int,
) -> Record:
    from fairlearn.metrics import MetricFrame

    by_group: dict[str, float | None] = dict.fromkeys(subgroups)
    difference = ratio = None
    # Only what the denominator counts: a subgroup without any is then absent instead of 0.
    y, q, group = y_test[frame.counted], share[frame.counted], codes[frame.counted]
    if y.size:
        fairlearn = MetricFrame(
            metrics=frame.function,
            y_true=np.concatenate([y, y]),
            # For more than two classes only accuracy is asked: any wrong label will do. A single
            # class stands for labels that are not known.
            y_pred=np.concatenate([y, (y + 1) % max(n_classes, 2)]),
            sensitive_features=np.concatenate([group, group]),
            sample_params={"sample_weight": np.concatenate([q, 1 - q])},
        )
        present = np.unique(group)
        rates = fairlearn.by_group.loc[present].to_numpy()
        by_group |= {subgroups[c]: float(r) for c, r in zip(present, rates, strict=True)}
        if present.size > 1:
            difference, ratio = _number(fairlearn.difference()), _number(fairlearn.ratio())
    return {"metric": frame.name, "difference": difference, "ratio": ratio, "by_group": by_group}


def _parity(by_metric: dict[str, Record]) -> list[Record]:
    """Demographic parity and equalized odds, by fairlearn's definitions, from the frames above.

    Equalized odds takes the worse of true and false positive rate; undefined if either is.
    """
    records: list[Record] = []
    odds = (by_metric["true_positive_rate"], by_metric["false_positive_rate"])
    for kind, worse in (("difference", max), ("ratio", min)):
        parity = by_metric["selection_rate"][kind]
        values = [v for record in odds if isinstance(v := record[kind], float)]
        odds_value = worse(values) if len(values) == len(odds) else None
        records.append({"metric": f"demographic_parity_{kind}", "value": parity})
        records.append({"metric": f"equalized_odds_{kind}", "value": odds_value})
    return records


def _number(value: object) -> float | None:
    """A plain float; None where fairlearn's value is not finite (0/0)."""
    return float(value) if isinstance(value, float) and np.isfinite(value) else None
