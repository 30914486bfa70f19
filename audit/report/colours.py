"""The colours of the arms; light values, which the style sheet exchanges in dark mode.

Orange and blue stay apart for all common kinds of colour blindness (Okabe & Ito 2008).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STANDARD, PRIVATE = "#b4541a", "#2b6ca3"


def arm_colour(arm: str, run: Mapping[str, Any]) -> str:
    """Blue for private arms, orange for all others."""
    return PRIVATE if run["arms"].get(arm, {}).get("kind") == "dp" else STANDARD
