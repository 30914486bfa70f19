"""Empirical ε from error counts at a threshold that was fixed before looking."""

from __future__ import annotations

import numpy as np
from scipy import stats

from audit.errors import BadInput


def clopper_pearson_epsilon(
    *, tp: int, n_in: int, fp: int, n_out: int, delta: float, level: float = 0.05
) -> float:
    """Lower bound on ε from ``tp`` hits among ``n_in`` and ``fp`` false alarms among ``n_out``.

    log((lower limit of the true positive rate − δ) / upper limit of the false positive rate), each
    limit Clopper & Pearson's (1934) at level/2; at least 0, NaN without trials (Jagielski, Ullman &
    Oprea 2020, §3). Trials must be *independent*: models, or one canary over models, never the
    canaries of one model. With probability ≥ 1 − ``level`` the true ε is not below it, if the
    threshold was not chosen on these counts.

    Raises:
        BadInput: impossible counts.
    """
    for name, count, n in (("tp", tp, n_in), ("fp", fp, n_out)):
        if not 0 <= count <= n:
            raise BadInput(name, count, f"must be from 0 to its number of trials, {n}", "Check it")
    if n_in == 0 or n_out == 0:
        return float("nan")
    hits = 0.0 if tp == 0 else float(stats.beta.ppf(level / 2, tp, n_in - tp + 1))
    alarms = 1.0 if fp == n_out else float(stats.beta.ppf(1 - level / 2, fp + 1, n_out - fp))
    if hits - delta <= 0:
        return 0.0
    return max(0.0, float(np.log((hits - delta) / alarms)))
