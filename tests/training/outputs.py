"""Outputs of cohorts, held against each other bit for bit."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from audit.training.cohort_task import CohortOutput


def assert_same(ours: dict[str, CohortOutput], theirs: dict[str, CohortOutput]) -> None:
    assert ours.keys() == theirs.keys()
    for key, one in ours.items():
        other = theirs[key]
        for field in fields(CohortOutput):
            a, b = getattr(one, field.name), getattr(other, field.name)
            if isinstance(a, np.ndarray):
                assert a.dtype == b.dtype
                assert a.tobytes() == b.tobytes(), (key, field.name)
        assert (one.canaries is None) == (other.canaries is None)
        if one.canaries is not None and other.canaries is not None:
            for field in fields(one.canaries):
                a, b = getattr(one.canaries, field.name), getattr(other.canaries, field.name)
                assert (a is None) == (b is None)
                assert a is None or a.tobytes() == b.tobytes(), (key, field.name)
        assert one.cross_check == other.cross_check
