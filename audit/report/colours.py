"""The colours of the charts; light values, which the style sheet exchanges in dark mode.

Orange and blue stay apart for all common kinds of colour blindness (Okabe & Ito 2008). Sand is
what a claim forbids, in every chart that shows a limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STANDARD, PRIVATE = "#b4541a", "#2b6ca3"
PAPER, INK, MUTED, GRID = "#ffffff", "#1c2330", "#59626f", "#e1e5ea"
FORBIDDEN_BY_CURVE, FORBIDDEN, BAND, BAND_STANDARD = "#f7f0e6", "#ecdcc8", "#d3e3f0", "#f3ddd0"
# Five shades, light to dark; the size of a mark repeats them.
LEVELS = ("#b9cde0", "#8fb0d0", "#5f8fbd", "#36699b", "#173f6b")


def arm_colour(arm: str, run: Mapping[str, Any]) -> str:
    """Blue for private arms, orange for all others."""
    return PRIVATE if run["arms"].get(arm, {}).get("kind") == "dp" else STANDARD
