"""How numbers, intervals and names are written: the same everywhere in the report.

Fractions are shown as percentages, differences of fractions as percentage points; ``None`` and NaN
are "not estimable" with their count, never 0 and never blank.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

from audit.report.control_words import CONTROL, control_label

Json = dict[str, Any]

STANDARD = "standard"
LONGEST_NAME = 80
NO_INTERVAL = "no interval"
_MINUS = "\u2212"
_UNITS = {"number": "", "percent": " %", "points": " points"}
# Joiners that real names need (Persian, Hindi, emoji); every other invisible character is spelled.
_JOINERS = frozenset("\u200c\u200d")


def finite(x: object) -> bool:
    """Whether ``x`` is a number that can be printed (not ``None``, NaN or infinite)."""
    return isinstance(x, Real) and not isinstance(x, bool) and math.isfinite(x)


def plain_number(x: object) -> float | None:
    """``x`` as a JSON number; ``None`` where it is undefined."""
    return float(x) if finite(x) else None  # pyright: ignore[reportArgumentType]


def number(x: Any, digits: int = 3) -> str:
    """``x`` with ``digits`` decimals and a real minus sign; "not estimable" where undefined."""
    if not finite(x):
        return "not estimable"
    text = f"{x:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", _MINUS)


def at_least(x: Any, digits: int = 2) -> str:
    """A lower bound with ``digits`` decimals, rounded down: more than was shown is never said."""
    if not finite(x):
        return "not estimable"
    step = 10**digits
    # What a bound is short of a last digit by rounding of doubles alone is given to it.
    return number(math.floor(x * step + 1e-6) / step, digits)


def general(x: Any, digits: int = 3) -> str:
    """``x`` with ``digits`` significant digits: for ε, δ and learning rates."""
    return f"{x:.{digits}g}".replace("-", _MINUS) if finite(x) else "not estimable"


def count(x: Any) -> str:
    """A whole number with thousands separated: 1,297."""
    return f"{int(x):,}" if finite(x) else "not recorded"


def counted(n: Any, noun: str) -> str:
    """A count with its noun: "1 model", "1,297 training examples"."""
    return f"{count(n)} {noun}{'' if n == 1 else 's'}"


def percent(x: Any, digits: int = 1) -> str:
    """A fraction as a percentage: .968 → "96.8 %"."""
    return f"{number(100 * x, digits)} %" if finite(x) else "not estimable"


def points(x: Any, digits: int = 1) -> str:
    """A difference of fractions in percentage points: .023 → "2.3 points"."""
    if not finite(x):
        return "not estimable"
    text = number(100 * x, digits)
    return f"{text} {'point' if text.lstrip(_MINUS) == '1' else 'points'}"


def p_value(p: Any) -> str:
    """A p-value in a sentence: "p = 0.013", "p < 0.0001"."""
    bare = bare_p(p)
    return f"p {bare}" if bare[0] in "<n" else f"p = {bare}"


def bare_p(p: Any) -> str:
    """A p-value in a column of p-values: "0.013", "< 0.0001"."""
    if not finite(p):
        return "not estimable"
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def probability(p: Any) -> str:
    """A power in whole per cent that never rounds to a certainty."""
    if not finite(p):
        return "an unknown"
    if p < 0.005:
        return "under 1 %"
    return "over 99 %" if p > 0.995 else f"{100 * p:.0f} %"


def interval(low: Any, high: Any, scale: float = 1.0, digits: int = 3) -> str:
    """ "0.91 to 0.97"; "at least 0.91" where only a lower limit exists."""
    ends = [number(scale * x, digits) if finite(x) else "" for x in (low, high)]
    if all(ends):
        return f"{ends[0]} to {ends[1]}"
    if not any(ends):
        return NO_INTERVAL
    return f"at least {ends[0]}" if ends[0] else f"at most {ends[1]}"


def not_estimable(n: Any) -> str:
    """What stands in the place of an undefined number: "not estimable (n=0)"."""
    return f"not estimable (n={count(n)})" if finite(n) else "not estimable"


def estimate(e: Mapping[str, Any] | None, unit: str = "number", digits: int | None = None) -> str:
    """An estimate with its interval: "96.8 % (96.1 to 97.4)".

    ``unit``: "number" | "percent" | "points". ``e`` has value, low, high, n (see
    ``audit.estimates.result.Estimate``); undefined → "not estimable (n=…)". Without a value but
    with both limits (a unanimous rate of the public profile): the interval, "97.1 to 100.0 %".
    """
    scale = 1.0 if unit == "number" else 100.0
    digits = (3 if unit == "number" else 1) if digits is None else digits
    if not e or not finite(e.get("value")):
        if e and finite(e.get("low")) and finite(e.get("high")):
            return interval(e["low"], e["high"], scale, digits) + _UNITS[unit]
        return not_estimable((e or {}).get("n"))
    write = {"number": number, "percent": percent, "points": points}[unit]
    text = write(e["value"], digits)
    if not finite(e.get("low")) and not finite(e.get("high")):
        return text
    return f"{text} ({interval(e.get('low'), e.get('high'), scale, digits)})"


def part(e: Mapping[str, Any] | None, key: str) -> Any:
    """One field of an estimate that may be absent; ``None`` where undefined."""
    return plain_number((e or {}).get(key))


def span(e: Mapping[str, Any] | None, digits: int = 1) -> str:
    """The interval of a difference of fractions: "1.9 to 2.7 points"."""
    ends = interval(part(e, "low"), part(e, "high"), 100.0, digits)
    return ends if ends == NO_INTERVAL else f"{ends} points"


def name(text: object, longest: int = LONGEST_NAME) -> str:
    """A name from the data as it may be shown: invisible characters spelled out, shortened.

    Control and direction-changing characters could forge what a reader sees (or end an SVG), so
    each becomes its escape (``\\x1b``, ``\\u202e``).
    """
    shown = "".join(
        c if c.isprintable() or c in _JOINERS else ascii(c)[1:-1] for c in str(text)[: longest + 1]
    )
    if not shown.strip():
        return "(empty name)"
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def arm_label(arm: str, run: Mapping[str, Any]) -> str:
    """How an arm is called in tables: "standard training", "private training, ε = 2"."""
    facts = run.get("arms", {}).get(arm, {})
    if facts.get("kind") == STANDARD or arm == STANDARD:
        return "standard training"
    if facts.get("kind") == CONTROL:
        return control_label(arm, facts)
    if finite(facts.get("epsilon")):
        return f"private training, ε = {general(facts['epsilon'])}"
    return name(arm)


def arm_words(arm: str, run: Mapping[str, Any]) -> str:
    """How an arm is called in sentences: ε is named only where several private arms need it."""
    label = arm_label(arm, run)
    several = sum(facts.get("kind") == "dp" for facts in run.get("arms", {}).values()) > 1
    plain, _, epsilon = label.partition(", ε")
    return plain if not epsilon or not several else f"{plain} (ε{epsilon})"


def private_arms(summary: Mapping[str, Any], run: Mapping[str, Any]) -> list[str]:
    """The arms that claim (ε, δ), in the order of the run."""
    arms = run.get("arms", {})
    return [arm for arm in summary.get("arms", {}) if arms.get(arm, {}).get("kind") == "dp"]


def has_standard(summary: Mapping[str, Any], run: Mapping[str, Any]) -> bool:
    """Whether an arm without a claim is there, against which accuracy losses are measured."""
    return len(private_arms(summary, run)) < len(summary.get("arms", {}))


def has_loss(summary: Mapping[str, Any], run: Mapping[str, Any]) -> bool:
    """Whether accuracy losses can be estimated: two kinds of arms, and test outputs of both."""
    both = bool(private_arms(summary, run)) and has_standard(summary, run)
    return both and has_test(run)


def no_loss_because(summary: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """What is missing for losses, after "there are": "no test outputs", "no standard models"."""
    if not has_standard(summary, run):
        return "no standard models to compare with"
    if not private_arms(summary, run):
        return "no private models to compare with"
    return "no test outputs"


def has_test(run: Mapping[str, Any]) -> bool:
    """Whether there are outputs on test examples."""
    return (run.get("data") or {}).get("n_test") != 0


def is_swap(run: Mapping[str, Any]) -> bool:
    """Whether "in" against "out" exchanges examples (``fixed`` design), so that 2ε is tested."""
    return (run.get("inclusion") or {}).get("design") == "fixed"


def joined(items: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))
