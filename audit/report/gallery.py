"""Which single examples a report shows where asked: most memorized, typical, influence pairs.

That follows from the results alone; the pixels or values of the examples come from outside
(``ReportInputs.gallery``), and ``gallery_blocks`` puts both on the page.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from audit.report.frames import records, rows_known, rows_of, values
from audit.report.inputs import ReportInputs
from audit.report.words import STANDARD, has_test, private_arms

MOST, PAIRS = 16, 12
# Private arms share MOST, but each shows a few.
_FEWEST = 4
# What the page counts as memorized (Feldman & Zhang 2020); a typical example lies below.
_MEMORIZED = 0.25


@dataclass(frozen=True)
class Pair:
    """A training example, and a test example that it carries in an arm."""

    arm: str
    train: int
    test: int


@dataclass(frozen=True)
class Wanted:
    """The examples that the galleries show, by their number from 0.

    ``memorized``: by arm the most memorized training examples, most first; before them, in a
    private arm, those that refute its claim. ``typical``: for those of the arm ``reference`` one of
    the same class each, as far as there are any. ``pairs``: strongest influence first.
    """

    memorized: Mapping[str, tuple[int, ...]]
    reference: str
    typical: tuple[int, ...]
    pairs: tuple[Pair, ...]

    @property
    def train(self) -> tuple[int, ...]:
        """Every training example shown, in ascending order."""
        of_arms = {i for numbers in self.memorized.values() for i in numbers}
        return tuple(sorted(of_arms | set(self.typical) | {pair.train for pair in self.pairs}))

    @property
    def test(self) -> tuple[int, ...]:
        """Every test example shown, in ascending order."""
        return tuple(sorted({pair.test for pair in self.pairs}))


def wanted(inputs: ReportInputs) -> Wanted:
    """Which examples the galleries of a report show; the same for the same results.

    At most 16 for each of: the most memorized in the reference arm (standard training if the run
    has it), typical ones of the same classes, the most memorized over all private arms (at least
    four of each); and 12 influence pairs. Undefined memorization is never among them.
    """
    summary, run = inputs.summary, inputs.run
    private = private_arms(summary, run)
    arms = list(summary["arms"])
    reference = STANDARD if STANDARD in arms else arms[0]
    most = dict.fromkeys(arms, MOST)
    most |= {a: max(_FEWEST, MOST // len(private)) for a in private if a != reference}
    memorized = {}
    for arm in arms:
        witnesses = summary["arms"][arm].get("witnesses") or [] if arm in private else []
        rows = rows_of(inputs.examples, "arm", arm)
        memorized[arm] = _most_memorized(rows, most[arm], witnesses, claims=arm in private)
    rows = rows_of(inputs.examples, "arm", reference)
    return Wanted(memorized, reference, _typical(rows, memorized[reference]), _pairs(inputs))


def _most_memorized(
    rows: pd.DataFrame, most: int, witnesses: Sequence[int], *, claims: bool
) -> tuple[int, ...]:
    """The numbers of the examples that are memorized most in one arm.

    Ordered by the lower end of the interval, so that an estimate from few models does not come
    first by luck; then by the estimate, then by number. Where the arm ``claims`` (ε, δ), first the
    ``witnesses`` that the exact test names, then the other examples that refute the claim.
    """
    mem, low, numbers = (values(rows, c) for c in ("mem", "mem_low", "example"))
    refutes = np.asarray(rows["verdict"] == "violates") & claims
    place = {int(number): i for i, number in enumerate(witnesses)}
    named = np.array([place.get(int(i), len(place)) for i in numbers])
    low = np.where(np.isnan(low), -np.inf, low)
    order = np.lexsort((numbers, -mem, -low, ~refutes, named))
    shown = ~np.isnan(mem) & ((mem > 0) | refutes)
    return tuple(int(numbers[i]) for i in order if shown[i])[:most]


def _typical(rows: pd.DataFrame, memorized: Sequence[int]) -> tuple[int, ...]:
    """For each of ``memorized`` an example of the same class that models know from its like.

    Taken are those that models get right most often, whichever is less often, with or without
    having seen them; of equals the one whose estimate is closest to 0, then the one with the
    narrowest interval, then the lowest number. None is itself memorized by 0.25 or more.
    """
    rows = rows_known(rows, "mem")
    mem, numbers = values(rows, "mem"), values(rows, "example")
    right = np.minimum(values(rows, "p_in"), values(rows, "p_out"))
    width = values(rows, "mem_high") - values(rows, "mem_low")
    label = [str(x) for x in rows["label"]]
    order = np.lexsort((numbers, width, np.abs(mem), -right))
    free = (np.abs(mem) < _MEMORIZED) & ~np.isin(numbers, memorized)
    of_class: defaultdict[str, list[int]] = defaultdict(list)
    for i in order[free[order]]:
        of_class[label[i]].append(int(numbers[i]))
    waiting: dict[str, Iterator[int]] = {key: iter(found) for key, found in of_class.items()}
    label_of = dict(zip(numbers.astype(int).tolist(), label, strict=True))
    labels = [label_of[i] for i in memorized if i in label_of]
    found = (next(waiting.get(key, iter(())), None) for key in labels)
    return tuple(i for i in found if i is not None)


def _pairs(inputs: ReportInputs) -> tuple[Pair, ...]:
    """The strongest pairs over all arms; equals in the order of arms and numbers."""
    arms = [arm for arm, result in inputs.summary["arms"].items() if result.get("influence")]
    if not has_test(inputs.run):
        return ()
    rows = rows_known(inputs.influence, "influence")
    rows = rows.loc[rows["arm"].isin(arms)]
    rows = rows.assign(place=rows["arm"].map({arm: i for i, arm in enumerate(arms)}))
    order = ["influence", "place", "train_example", "test_example"]
    strongest = rows.sort_values(order, ascending=[False, True, True, True]).head(PAIRS)
    return tuple(
        Pair(r["arm"], int(r["train_example"]), int(r["test_example"])) for r in records(strongest)
    )
