"""The tables of results/ as the public profile may see them. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from audit.report.disclosure import rounding
from audit.report.frames import values

# Of an example, what its place in a binned picture takes: no number, no label, no subgroup.
_OF_EXAMPLES = ("arm", "p_in", "p_out", "mem", "bound", "tradeoff_bound")
# Rates of a subgroup that say of all its examples the same where they are 0 or 1.
_RATES = ("accuracy_", "exposure_", "tpr_at_")
_NOT_A_RATE = ("_low", "_high")
_P = ("_p", "_p_holm")


def examples(table: pd.DataFrame) -> pd.DataFrame:
    """Training examples without anything that tells which is which: also their order is gone."""
    columns = [c for c in _OF_EXAMPLES if c in table]
    kept = pd.DataFrame(table[columns])
    return kept.sort_values(columns, kind="stable", ignore_index=True)


def subgroups(table: pd.DataFrame, withheld: Mapping[str, Sequence[str]], n: int) -> pd.DataFrame:
    """Rows of subgroups that are not withheld, rounded; ``n``: training examples in all.

    The frequency bins of a grouping with withheld subgroups are sums of these, so they go too. A
    rate that is 0 or 1 to three decimals is undefined here, and only its interval stays.
    """
    keep = [
        grouping.removesuffix(": frequency") not in withheld
        if kind == "frequency"
        else subgroup not in withheld.get(grouping, ())
        for grouping, kind, subgroup in zip(
            table["grouping"], table["kind"], table["subgroup"], strict=True
        )
    ]
    kept = table.loc[np.array(keep, dtype=bool)].reset_index(drop=True)
    made = {str(c): kept[c] for c in kept.columns}
    for column in ("n_train", "n_test"):
        counts = [rounding.count(x) for x in kept[column]]
        made[column] = pd.Series(counts, index=kept.index, dtype=np.int64)
    made["frequency"] = (made["n_train"] / max(n, 1)).round(rounding.RATES)
    for column in kept.columns[kept.columns.get_indexer_for(["frequency"])[0] + 1 :]:
        made[str(column)] = pd.Series(_rounded(kept, str(column)), index=kept.index)
    for column in [c for c in made if c.startswith(_RATES) and not c.endswith(_NOT_A_RATE)]:
        _unanimous(made, column, values(kept, "n_test" if "accuracy" in column else "n_train"))
    for arm in [c.removeprefix("multiplicity_") for c in made if c.startswith("multiplicity_")]:
        # None of the models disagree: the accuracy is 0 or 1 as well.
        made[f"multiplicity_{arm}"] = made[f"multiplicity_{arm}"].mask(
            made[f"accuracy_{arm}"].isna()
        )
    return pd.DataFrame(made)


def _rounded(table: pd.DataFrame, column: str) -> Float[np.ndarray, " rows"]:
    found = values(table, column)
    if column.endswith(_P):
        return np.array([rounding.significant(p, 2) for p in found], dtype=np.float64)
    step = 10.0**-rounding.RATES
    for end, direction in (("_low", -1), ("_high", 1)):
        if column.endswith(end):
            # An interval that shrank would hold less often than it says.
            ends = [rounding.outward(x, step, direction) if x == x else x for x in found]
            return np.array(ends, dtype=np.float64) + 0.0
    return np.round(found, rounding.RATES) + 0.0  # no −0


def _unanimous(made: dict[str, pd.Series], column: str, n: Float[np.ndarray, " rows"]) -> None:
    """Keep of a rate of 0 or 1 its interval alone; where there is none, what n examples allow.

    Of n examples that all are alike, 3/n bounds the share of others (Hanley & Lippman-Hand 1983).
    """
    value, low, high = (
        made[f"{column}{end}"].to_numpy(dtype=np.float64) for end in ("", *_NOT_A_RATE)
    )
    room = np.round(np.minimum(1.0, 3 / np.maximum(n, 1)), rounding.RATES)
    ones, zeros = value == 1, value == 0
    low = np.where(ones & ~(low < 1), 1 - room, np.where(zeros & np.isnan(low), 0.0, low))
    high = np.where(zeros & ~(high > 0), room, np.where(ones & np.isnan(high), 1.0, high))
    value = np.where(ones | zeros, np.nan, value)
    for end, shown in zip(("", *_NOT_A_RATE), (value, low, high), strict=True):
        made[f"{column}{end}"] = pd.Series(shown, index=made[column].index)
