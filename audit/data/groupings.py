"""From what the user asks for ("sex,race,sex×race,class") to partitions of the examples."""

from __future__ import annotations

import csv
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32

from audit.data.dataset import NOT_RECORDED, Dataset, Grouping
from audit.data.examples import Examples
from audit.data.names import did_you_mean, distinct_names, printable
from audit.data.subpopulations import DEFAULT_CLUSTERS_PER_CLASS, subpopulations
from audit.data.subpopulations import NAME as SUBPOPULATIONS_NAME
from audit.errors import BadInput

MOST_SUBGROUPS = 1_000
_CROSS = "×"
_SUBPOPULATIONS = {"subpopulations", "subpopulation", "styles", SUBPOPULATIONS_NAME}


def parse_subgroups(text: str) -> tuple[str, ...]:
    """Splits ``sex,race,sex×race`` at its commas; ``*`` crosses like ``×``.

    A column name that has a comma goes into double quotes: ``"last, first",sex``. Empty text means
    no request (the data set's own groupings).

    Raises:
        BadInput: an item is empty, or a quote is not closed.
    """
    if not text.strip():
        return ()
    try:
        items = next(csv.reader([text], skipinitialspace=True, strict=True))
    except (csv.Error, StopIteration) as error:
        raise BadInput(
            "subgroups",
            text,
            "cannot be read as a list of columns",
            "Write for example sex,race,sex×race.",
        ) from error
    names = tuple(item.strip() for item in items)
    if not all(names):
        raise BadInput(
            "subgroups", text, "has an empty item", "Write for example sex,race,sex×race."
        )
    return tuple(dict.fromkeys(names))


def group(
    examples: Examples, specs: Sequence[str], *, clusters_per_class: int, seed: int
) -> Dataset:
    """The data set with the groupings asked for (``examples.default_subgroups`` if none are).

    A spec is a column, ``A×B`` or ``A*B`` (a crossing of any of these), ``class`` (or the label's
    own name), or ``subpopulations`` (k-means styles inside each class). A column that is called
    like one of the words wins over the word.

    Raises:
        BadInput: a spec names nothing, or makes more than 1,000 subgroups.
    """
    chosen = tuple(dict.fromkeys(specs)) or _defaults(examples, clusters_per_class)
    found = build_groupings(examples, chosen, clusters_per_class=clusters_per_class, seed=seed)
    return examples.with_groupings(*found)


def build_groupings(
    examples: Examples, specs: Sequence[str], *, clusters_per_class: int, seed: int
) -> tuple[tuple[Grouping, ...], tuple[str, ...]]:
    """The groupings that ``specs`` name, as :func:`group`, and warnings about how they were made.

    Raises:
        BadInput: as :func:`group`.
    """
    builder = _Builder(examples, clusters_per_class, seed)
    groupings: dict[str, Grouping] = {}
    for spec in dict.fromkeys(specs):
        grouping = builder.build(spec)
        groupings.setdefault(grouping.name, grouping)
    return tuple(groupings.values()), tuple(builder.warnings)


def _defaults(examples: Examples, clusters_per_class: int) -> tuple[str, ...]:
    """The data set's own groupings; no styles where its many classes alone fill the limit."""
    usual = min(clusters_per_class, DEFAULT_CLUSTERS_PER_CLASS)
    too_many = usual * len(examples.class_names) > MOST_SUBGROUPS
    own = examples.default_subgroups
    return tuple(spec for spec in own if not (too_many and spec == "subpopulations"))


class _Builder:
    """Builds each grouping once, however often it is asked for on its own or in crossings."""

    def __init__(self, examples: Examples, clusters_per_class: int, seed: int) -> None:
        self.examples, self.clusters_per_class, self.seed = examples, clusters_per_class, seed
        self.warnings: list[str] = []
        self._built: dict[str, Grouping] = {}

    def build(self, spec: str) -> Grouping:
        parts = self._parts(spec)
        grouping = self._single(parts[0]) if len(parts) == 1 else self._crossing(parts)
        if len(grouping.subgroups) > MOST_SUBGROUPS:
            raise BadInput(
                "subgroups",
                spec,
                f"makes {len(grouping.subgroups):,} subgroups; the most is {MOST_SUBGROUPS:,}",
                "Merge rare values or choose a coarser column.",
            )
        return grouping

    def _parts(self, spec: str) -> list[str]:
        """The names a spec crosses; a spec that is itself a known name is not cut."""
        if self._known(spec):
            return [spec]
        parts = [part.strip() for part in spec.replace("*", _CROSS).split(_CROSS)]
        for part in parts:
            if not self._known(part):
                raise self._unknown(part)
        return list(dict.fromkeys(parts))

    def _known(self, name: str) -> bool:
        examples = self.examples
        return name in examples.columns.names or name in {
            "class",
            examples.label_name,
            *_SUBPOPULATIONS,
        }

    def _unknown(self, name: str) -> BadInput:
        examples = self.examples
        words = (*examples.columns.names, examples.label_name, "class", "subpopulations")
        return BadInput(
            "subgroups",
            name,
            "is no column of the data, nor class, nor subpopulations",
            did_you_mean(name, words),
        )

    def _single(self, name: str) -> Grouping:
        if name not in self._built:
            self._built[name] = self._new(name)
        return self._built[name]

    def _new(self, name: str) -> Grouping:
        examples = self.examples
        if name in examples.columns.names:
            grouping = examples.columns.grouping(name)
            if grouping.uses_training_data:
                self.warnings.append(
                    f"column {name!r} has many numeric values: grouped by the quartiles of its "
                    "training rows"
                )
            return grouping
        if name in _SUBPOPULATIONS:
            if not examples.x_train.shape[1]:
                raise BadInput(
                    "subgroups",
                    name,
                    "are found from features, and none are known here",
                    "Name columns, or class.",
                )
            return subpopulations(
                examples.x_train,
                examples.y_train,
                examples.x_test,
                examples.y_test,
                class_names=examples.class_names,
                clusters_per_class=self.clusters_per_class,
                seed=self.seed,
            )
        if examples.class_names == (NOT_RECORDED,):
            raise BadInput(
                "subgroups", name, "needs labels, and none are known here", "Add --label COLUMN."
            )
        return class_grouping(examples)

    def _crossing(self, parts: list[str]) -> Grouping:
        return crossing([self._single(part) for part in parts])


def class_grouping(examples: Examples) -> Grouping:
    """The partition by label; a class without examples stays visible as an empty subgroup."""
    return Grouping(
        printable(examples.label_name),
        "class",
        distinct_names(examples.class_names),
        examples.y_train.astype(np.int32),
        examples.y_test.astype(np.int32),
    )


def crossing(groupings: Sequence[Grouping]) -> Grouping:
    """Each combination of subgroups that occurs in training or test, in the order of the parts."""
    codes = np.zeros(len(groupings[0].train) + len(groupings[0].test), dtype=np.int64)
    tables = []
    for grouping in groupings:
        codes *= len(grouping.subgroups)
        codes += np.concatenate([grouping.train, grouping.test])
        # Renumbered after each factor, so that many factors cannot overflow the code.
        used, codes = np.unique(codes, return_inverse=True)
        tables.append(np.divmod(used, len(grouping.subgroups)))
    names = [""] * len(tables[-1][0])
    rows = np.arange(len(names))
    for grouping, (previous, own) in zip(reversed(groupings), reversed(tables), strict=True):
        for at, row in enumerate(rows):
            level = grouping.subgroups[own[row]]
            names[at] = f"{level} {_CROSS} {names[at]}" if names[at] else level
        rows = previous[rows]
    n = len(groupings[0].train)
    return Grouping(
        _CROSS.join(grouping.name for grouping in groupings),
        "crossing",
        distinct_names(names),
        codes[:n].astype(np.int32),
        codes[n:].astype(np.int32),
        uses_training_data=any(grouping.uses_training_data for grouping in groupings),
    )


def column_grouping(
    name: str,
    levels: Sequence[str],
    train: Int32[np.ndarray, " n"],
    test: Int32[np.ndarray, " n_test"],
    *,
    uses_training_data: bool = False,
) -> Grouping:
    """The partition by a column whose values are ``levels``; codes index them."""
    return Grouping(
        printable(name), "column", distinct_names(levels), train, test, uses_training_data
    )
