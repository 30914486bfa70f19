"""The calibration that every run carries: its own procedures where the answer is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from audit.analysis.empirical import Coins
from audit.claims import ALPHA, Claim
from audit.estimates.calibration import Setting, quick_calibration
from audit.seeds import Purpose, generator

# Coins of one trial: more would only make it slower, since what is calibrated are rules that do not
# change with the number of coins.
_MOST_COINS = 500_000


def run_calibration(
    arms: Mapping[str, Any], coins: Coins, judged_by: Claim, *, models: int, n: int, seed: int
) -> dict[str, Any] | None:
    """False alarms and certified share of the procedures that certified something in ``arms``
    (summaries by arm), at the run's K, n, p, canaries and δ, and at the ε of ``judged_by``.

    Large runs are calibrated at fewer examples; ``setting`` says how many. None where no δ in (0,
    1) is known, which the Gaussian mechanisms need.
    """
    entries = [e for arm in arms.values() for e in arm["empirical_epsilon"]["procedures"]]
    used = {entry["id"] for entry in entries if entry["epsilon"] is not None}
    if not used or not 0 < judged_by.delta < 1:
        return None
    canaries = max((e["planted"] for e in entries if e["id"] == "canaries"), default=0)
    most = max(1, _MOST_COINS // models)
    setting = Setting(
        models=models,
        examples=min(n, most),
        # Where nobody drew coins only canaries and single examples are calibrated.
        p=coins.p if coins.p is not None and coins.design == "poisson" else 0.5,
        canaries=min(canaries, most),
        delta=judged_by.delta,
        alpha=ALPHA,
    )
    found = quick_calibration(
        setting, generator(seed, Purpose.CALIBRATION), epsilon=judged_by.epsilon
    )
    return {
        "setting": asdict(setting),
        "examples_of_run": n,
        "canaries_of_run": canaries,
        "procedures": [entry for entry in found if entry["id"] in used],
    }
