"""Audit what models memorize, what (ε, δ) allows, and which subgroups pay for privacy.

``audit.run`` and ``audit.load`` are the commands in Python; the other names are the estimates as
functions of NumPy arrays (docs/python.md). All are imported when they are first used, so that
``import audit`` and ``audit --help`` stay quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audit.accounting import privacy_curve
    from audit.api.attack_functions import exposure, lira, rmia, roc
    from audit.api.charts import Chart, Charts
    from audit.api.example_functions import (
        certified_epsilon,
        dp_bound,
        dp_test,
        draw_membership,
        influence,
        influential_pairs,
        largest_memorization,
        mean_memorization,
        memorization,
        memorization_cap,
        power,
        share_memorized,
        tradeoff_bound,
    )
    from audit.api.loaded import Outputs, Run, load
    from audit.api.running import run
    from audit.api.subgroup_functions import (
        accuracy,
        accuracy_loss,
        generalization_gap,
        heterogeneity,
        subgroup_accuracy,
        subgroup_loss,
        subgroup_memorization,
        trend,
    )
    from audit.errors import AuditError, BadInput, CheckFailed

__version__ = "0.1.0"

_HOMES = {
    "audit.accounting": ("privacy_curve",),
    "audit.api.attack_functions": ("exposure", "lira", "rmia", "roc"),
    "audit.api.charts": ("Chart", "Charts"),
    "audit.api.example_functions": (
        "certified_epsilon",
        "dp_bound",
        "dp_test",
        "draw_membership",
        "influence",
        "influential_pairs",
        "largest_memorization",
        "mean_memorization",
        "memorization",
        "memorization_cap",
        "power",
        "share_memorized",
        "tradeoff_bound",
    ),
    "audit.api.loaded": ("Outputs", "Run", "load"),
    "audit.api.running": ("run",),
    "audit.api.subgroup_functions": (
        "accuracy",
        "accuracy_loss",
        "generalization_gap",
        "heterogeneity",
        "subgroup_accuracy",
        "subgroup_loss",
        "subgroup_memorization",
        "trend",
    ),
    "audit.errors": ("AuditError", "BadInput", "CheckFailed"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AuditError",
    "BadInput",
    "Chart",
    "Charts",
    "CheckFailed",
    "Outputs",
    "Run",
    "accuracy",
    "accuracy_loss",
    "certified_epsilon",
    "dp_bound",
    "dp_test",
    "draw_membership",
    "exposure",
    "generalization_gap",
    "heterogeneity",
    "influence",
    "influential_pairs",
    "largest_memorization",
    "lira",
    "load",
    "mean_memorization",
    "memorization",
    "memorization_cap",
    "power",
    "privacy_curve",
    "rmia",
    "roc",
    "run",
    "share_memorized",
    "subgroup_accuracy",
    "subgroup_loss",
    "subgroup_memorization",
    "tradeoff_bound",
    "trend",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'audit' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
