"""Names that come from files: safe to print on one line, distinct, and findable when mistyped."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

_LONGEST = 120


def printable(name: str) -> str:
    """The name without line breaks, control or direction characters, at most 120 characters."""
    safe = "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)
    return safe if len(safe) <= _LONGEST else safe[: _LONGEST - 1] + "…"


def distinct_names(names: Iterable[str]) -> tuple[str, ...]:
    """The names as :func:`printable`, numbered where two would then read alike."""
    taken: dict[str, None] = {}
    for name in map(printable, names):
        unique, copy = name, 2
        while unique in taken:
            unique, copy = f"{name} ({copy})", copy + 1
        taken[unique] = None
    return tuple(taken)


def did_you_mean(name: str, words: Iterable[str]) -> str:
    """A next step that names the words most like ``name``, or the first few of all."""
    known = list(dict.fromkeys(words))
    lowered = {word.lower(): word for word in known}
    close = [lowered[w] for w in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.5)]
    return f"Did you mean {listed(close)}?" if close else f"There is {listed(known)}."


def listed(names: Sequence[str], most: int = 8) -> str:
    """Up to ``most`` names in quotes, and how many more there are."""
    shown = ", ".join(repr(printable(name)) for name in names[:most])
    return shown + (f" (and {len(names) - most:,} more)" if len(names) > most else "")
