"""How the arms of controls are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CONTROL = "control"


def control_label(arm: str, facts: Mapping[str, Any]) -> str:
    """In tables: "clipping alone", "noise alone (that of ε = 2)", "90 % of the weights pruned"."""
    control = facts.get("control") or {}
    share = f"{100 * (control.get('share') or 0.0):.3g} %"
    made = {
        "clip-only": "clipping alone",
        "neither": "private settings, neither clipped nor noised",
        "noise-only": f"noise alone (that of ε = {arm.rpartition('-')[2]})",
        "pruned": f"{share} of the weights pruned",
        "random-labels": f"{share} of the labels at random",
    }
    return made.get(str(control.get("name")), "a control")
