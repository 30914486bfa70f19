"""Limits for thresholds, made from the 95 % limits of one estimate.

For many estimates at once, and for few examples.

A threshold on the worst of many groups has two sides, with different corrections:

- *Every* group lies under it (intersection–union, Berger 1982): each group's own upper limit must.
  Nothing is to correct, since all must hold: the chance that all do where one truly lies above is
  at most the chance that this one's does.
- *Some* group lies above it: the lower limit of any may say so, each at its share of the level
  (Bonferroni). :func:`widened` stretches a stored Student interval without its standard error.

Upper limits of a loss need more than Student's interval where few examples are lost outright: a
sample without any of them has next to no variance and looks sure of itself. With 20 examples, of
which 2 % are lost and the others almost never, 65 % of the upper limits lie below the truth.
:func:`upper_limit` adds what n examples cannot exclude: at most 8 % in the hardest case simulated
(tests/estimates/test_limits.py), mostly none.
"""

from __future__ import annotations

import math

from scipy import stats

Number = float | int

_TAIL = 0.025
"""One side of a 95 % interval."""


def stretch(degrees: Number, comparisons: int) -> float:
    """How much longer a 95 % Student half-width gets, at 95 % for ``comparisons`` at once.

    Falls as ``degrees`` rise: with the fewest degrees an interval may have, it is long enough for
    any. NaN without degrees of freedom.
    """
    if not degrees >= 1 or comparisons < 1:
        return math.nan
    many, one = (float(stats.t.ppf(1 - _TAIL / m, degrees)) for m in (comparisons, 1))
    return many / one


def fewest_degrees(*units: Number) -> Number:
    """The fewest degrees of freedom that a crossed interval over ``units`` (models, examples) has.

    Satterthwaite's never fall below those of the smallest term (``audit.estimates.crossed``).
    """
    return min(units) - 1


def widened(
    value: Number, low: Number, high: Number, *, degrees: Number, comparisons: int
) -> tuple[Number, Number]:
    """Limits that hold for ``comparisons`` estimates at once (Bonferroni), from 95 % ones.

    ``degrees``: of freedom, or fewer. Limits cut off at the end of the scale count as long as the
    other side. NaN where there is no interval to widen.
    """
    half = stretch(degrees, comparisons) * max(value - low, high - value)
    return value - half, value + half


def widened_share(
    value: Number, low: Number, high: Number, *, degrees: Number, comparisons: int
) -> tuple[Number, Number]:
    """The same for a share in [0, 1] whose limits are Student's on the logit scale or on its own.

    Which of the two was used is not stored, so the wider of both is taken. An end at 0 or 1 stays.
    """
    plain = widened(value, low, high, degrees=degrees, comparisons=comparisons)
    if math.isnan(plain[0]) or not 0 < value < 1:
        return max(0.0, plain[0]), min(1.0, plain[1])
    by = stretch(degrees, comparisons)
    ends = []
    for limit, end in ((low, 0.0), (high, 1.0)):
        if not 0 < limit < 1:
            ends.append(end)
            continue
        logit = _logit(value) + by * (_logit(limit) - _logit(value))
        ends.append(1 / (1 + math.exp(-max(-700.0, min(700.0, logit)))))
    return max(0.0, min(plain[0], ends[0])), min(1.0, max(plain[1], ends[1]))


def unseen_share(n: Number) -> float:
    """Largest share of examples of which ``n`` examples may well contain none (97.5 %).

    (1 − w)ⁿ = 0.025, about 3.7 / n: the "rule of three" (Hanley & Lippman-Hand 1983) at this level.
    1 without examples.
    """
    return 1 - _TAIL ** (1 / n) if n >= 1 else 1.0


def upper_limit(value: Number, high: Number, n: Number) -> Number:
    """Upper 97.5 % limit of a mean loss: Student's, or what ``n`` examples cannot exclude.

    If a share w of all examples were lost outright (loss 1) and none of them is among the ``n``,
    the mean would be (1 − w)·value + w.
    """
    return max(high, value + (1 - value) * unseen_share(n))


def _logit(share: Number) -> float:
    return math.log(share / (1 - share))
