"""Controls: arms that claim nothing and stand beside the private ones, to compare them with. PURE.

Each limits memorization in another way than (ε, δ), or none at all:

- ``clip-only``: DP-SGD whose gradients are clipped and get no noise; ``noise-only``: DP-SGD whose
  gradients get the noise of ``ε`` and are not clipped (Bagdasaryan & Shmatikov 2019, §4);
  ``neither``: the private arm's settings with neither, plain SGD, which tells what of the loss is
  that of its batch size, learning rate and momentum.
- ``pruned-P``: standard training that loses P % of its weights, the smallest, on the way (Zhu &
  Gupta 2018, as Hooker et al. 2019 used it).
- ``random-labels-P``: standard training on a training set of which P % have a label drawn at random
  (Zhang et al. 2017): all that is learnt of those is memorized.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["clip-only", "noise-only", "neither", "pruned", "random-labels"]
PARTS_OF_DP: tuple[Kind, ...] = ("clip-only", "noise-only", "neither")
"""Kinds that have the settings of the private arm; the others have the standard arm's."""

_PERCENT: dict[str, float] = {"pruned": 90.0, "random-labels": 100.0}
"""Kinds that take a percentage, and what stands for none."""
CONTROLS = (*PARTS_OF_DP, "pruned-P", "random-labels-P")
"""As they are asked for; P a percentage above 0, at most 100 (pruned: below)."""


@dataclass(frozen=True)
class Control:
    """A control that was asked for.

    Attributes:
        share: of weights pruned, or of labels drawn at random; 0 for the others.
    """

    kind: Kind
    share: float = 0.0

    @property
    def of(self) -> Literal["dp", "standard"]:
        """Whose settings it has."""
        return "dp" if self.kind in PARTS_OF_DP else "standard"

    @property
    def name(self) -> str:
        """As it is asked for, and the name of its arm: ``pruned-90``."""
        return self.kind if self.share == 0 else f"{self.kind}-{100 * self.share:g}"


def parse_control(text: str) -> Control:
    """The control that ``text`` asks for; ``pruned`` is ``pruned-90``, ``random-labels`` all.

    Raises:
        ValueError: it names none, or a percentage out of range.
    """
    for kind in PARTS_OF_DP:
        if text == kind:
            return Control(kind)
    for kind in ("pruned", "random-labels"):
        rest = text.removeprefix(kind)
        if rest == text:
            continue
        percent = _percent(rest.removeprefix("-")) if rest.startswith("-") else None
        if rest == "":
            percent = _PERCENT[kind]
        most_of_all = percent is not None and (percent < 100 or kind == "random-labels")
        if percent is not None and most_of_all:
            return Control(kind, percent / 100)
        raise ValueError(
            f"{text}: {kind}-P takes a percentage P from 1 to "
            f"{'99.9' if kind == 'pruned' else '100'}"
        )
    raise ValueError(f"must be of {', '.join(CONTROLS)} (docs/controls.md)")


def parse_controls(texts: Iterable[str]) -> tuple[str, ...]:
    """The canonical names of the controls asked for, in their order.

    Raises:
        ValueError: as :func:`parse_control`, or one is named twice.
    """
    found = tuple(parse_control(text).name for text in texts)
    if len(set(found)) < len(found):
        raise ValueError("a control is named twice")
    return found


def _percent(text: str) -> float | None:
    """A percentage from 1 to 100 with at most one decimal, or None."""
    whole, point, tenth = text.partition(".")
    plain = whole.isascii() and whole.isdigit() and len(whole) <= 3
    if not plain or (point and not (len(tenth) == 1 and tenth in "0123456789")):
        return None
    percent = float(text)
    return percent if 1 <= percent <= 100 else None
