"""What a loader hands to the grouping step: numbers, labels and columns to group by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Int64

from audit.data.dataset import Dataset, Grouping
from audit.data.names import printable
from audit.data.rows import Rows
from audit.errors import BadInput


@dataclass(frozen=True)
class GroupColumns:
    """Columns that examples can be grouped by, built only when asked for (tables may be wide)."""

    names: tuple[str, ...] = ()
    build: Callable[[str], Grouping] | None = None

    def grouping(self, name: str) -> Grouping:
        """The grouping of column ``name``, which must be one of ``names``."""
        if self.build is None or name not in self.names:
            raise KeyError(name)
        return self.build(name)


@dataclass(frozen=True)
class Examples:
    """Training and test examples before they are grouped; fields as in :class:`Dataset`.

    ``label_name`` is what the label is called ("income"; "class" where it has no name).
    ``default_subgroups`` are the groupings built when the user asks for none. ``rows`` gives the
    values before they became features, of tables and flat arrays; built only when asked for.
    """

    name: str
    x_train: Float32[np.ndarray, "n features"]
    y_train: Int64[np.ndarray, " n"]
    x_test: Float32[np.ndarray, "n_test features"]
    y_test: Int64[np.ndarray, " n_test"]
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    input_shape: tuple[int, ...]
    source: str
    licence: str
    label_name: str = "class"
    columns: GroupColumns = field(default_factory=GroupColumns)
    default_subgroups: tuple[str, ...] = ("class", "subpopulations")
    fitted_on_train: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)
    rows: Callable[[], Rows] | None = None

    def with_groupings(self, groupings: tuple[Grouping, ...], warnings: tuple[str, ...]) -> Dataset:
        """The finished data set.

        Raises:
            BadInput: nothing to learn or to test on (no test example, one class, no feature).
        """
        self._refuse_degenerate()
        return Dataset(
            name=printable(self.name),
            x_train=self.x_train,
            y_train=self.y_train,
            x_test=self.x_test,
            y_test=self.y_test,
            class_names=self.class_names,
            feature_names=self.feature_names,
            input_shape=self.input_shape,
            groupings=groupings,
            source=printable(self.source),
            licence=self.licence,
            fitted_on_train=self.fitted_on_train,
            warnings=(*self.warnings, *warnings),
            notes=self.notes,
        )

    def _refuse_degenerate(self) -> None:
        def refuse(value: object, rule: str, next_step: str) -> BadInput:
            return BadInput(self.source, value, rule, next_step)

        classes_seen = len(np.unique(self.y_train))
        if classes_seen < 2:
            raise refuse(
                self.class_names[:3],
                f"the {len(self.y_train):,} training rows have {classes_seen} class(es); "
                "an audit needs at least 2",
                "Choose another label or add rows of another class.",
            )
        if not len(self.y_test):
            raise refuse(0, "there is no test example", "Mark some rows as test rows.")
        if not self.x_train.shape[1]:
            raise refuse(0, "no feature is left to learn from", "Add feature columns.")
