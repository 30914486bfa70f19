"""What one column of a table is: numbers, categories, or nothing a model should learn from."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute
from jaxtyping import Float64, Int32

from audit.data.table_reader import MISSING_MARKS

# pyarrow generates most of these functions at import, out of sight of type checkers.
pc: Any = pyarrow.compute

_SECONDS_PER_DAY = 86_400
_IDENTIFIER_SHARE = 0.9
_IDENTIFIER_ROWS = 20
_IDENTIFIER_NAME = re.compile(r"(^|[_\s.-])(id|uuid|guid|index|rownum)$", re.IGNORECASE)

# A text column is read as numbers if this share of its recorded values are numbers.
_NUMERIC_SHARE = 0.95
_PLAIN = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"
_COMMA_CANNOT_BE_THOUSANDS = r"(,\d{1,2}$|,\d{4,}$|^[+-]?\d{4,},|^[+-]?,|^[+-]?0\d*,)"
_THOUSANDS = r"^[+-]?\d{1,3}(,\d{3})+(\.\d*)?$"
_UNITS_BEFORE, _UNITS_AFTER = r"^([+-]?)[$€£]\s*", r"\s*[%$€£]$"
# A code, not a quantity: a postcode, a personnel number.
_LEADING_ZERO = r"^[+-]?0\d"


@dataclass(frozen=True)
class Numbers:
    """A numeric column: numbers, days since 1970-01-01, or 0 and 1 for false and true."""

    name: str
    source: pa.ChunkedArray | np.ndarray
    unit: Literal["", "day", "truth"] = ""
    warning: str | None = None

    def values(self) -> Float64[np.ndarray, " rows"]:
        """The numbers as float64; missing and infinite ones are NaN."""
        if isinstance(self.source, np.ndarray):
            values = self.source
        else:
            values = self.source.cast(pa.float64(), safe=False).to_numpy()
        if np.isinf(values).any():
            values = np.where(np.isinf(values), np.nan, values)
        return values

    def show(self, value: float) -> str:
        """One value for people."""
        if self.unit == "truth":
            return "true" if value else "false"
        if self.unit == "day":
            return str(np.datetime64(round(value * _SECONDS_PER_DAY), "s")).removesuffix(
                "T00:00:00"
            )
        return f"{value:.10g}"


@dataclass(frozen=True)
class Categories:
    """A categorical column: codes index ``levels``; a missing value has the code −1."""

    name: str
    codes: Int32[np.ndarray, " rows"]
    levels: tuple[str, ...]
    warning: str | None = None


@dataclass(frozen=True)
class LeftOut:
    """A column no model should learn from, and why; ``reason`` completes "left out as …"."""

    name: str
    reason: str


Column = Numbers | Categories | LeftOut


def read_column(name: str, column: pa.ChunkedArray) -> Column:
    """Decides what a column is. Dates and times become numbers (days, seconds)."""
    if pa.types.is_dictionary(column.type) and not is_text(column):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind):
        return _no_use(name, kind)
    if pa.types.is_null(kind) or column.null_count == len(column):
        return LeftOut(name, "empty")
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        seconds = column.cast(pa.timestamp("s"), safe=False).cast(pa.int64()).cast(pa.float64())
        return Numbers(name, pc.divide(seconds, _SECONDS_PER_DAY), unit="day")
    if pa.types.is_time(kind) or pa.types.is_duration(kind):
        # Arrow has no direct way from a time of day to float64.
        width = pa.int32() if pa.types.is_time32(kind) else pa.int64()
        return Numbers(name, column.cast(width))
    if pa.types.is_boolean(kind):
        return Numbers(name, column.cast(pa.int8()), unit="truth")
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _numbers(name, column)
    if is_text(column):
        return _text(name, column)
    return _no_use(name, kind)


def _no_use(name: str, kind: pa.DataType) -> LeftOut:
    return LeftOut(name, f"of a type no table model can use ({kind})")


def as_categories(column: Column, *, most: int) -> Categories | None:
    """A column as categories, each distinct value a level; None if there are more than ``most``.

    Numbers are levels in ascending order, written as short as possible ("1", not "1.0").
    """
    if isinstance(column, LeftOut):
        return None
    if isinstance(column, Categories):
        return column if len(column.levels) <= most else None
    source = column.source
    if not isinstance(source, np.ndarray) and pa.types.is_integer(source.type):
        if pc.count_distinct(source).as_py() > most:
            return None
        if not column.unit:
            # Not through float64, which takes neighbouring 64-bit integers for one.
            return text_categories(column.name, source, order=int)
    values = column.values()
    recorded = ~np.isnan(values)
    distinct, inverse = np.unique(values[recorded], return_inverse=True)
    if len(distinct) > most:
        return None
    codes = np.full(len(values), -1, dtype=np.int32)
    codes[recorded] = inverse
    names = tuple(column.show(float(value)) for value in distinct)
    return Categories(column.name, codes, names)


def text_categories(
    name: str, column: pa.ChunkedArray, *, order: Callable[[str], Any] = str
) -> Categories:
    """A column as categories whatever its text; blanks and marks missing, levels by ``order``."""
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    # Of each text once: a long one in every row would take all memory.
    encoded = column.unify_dictionaries().combine_chunks()
    found = pc.utf8_trim_whitespace(encoded.dictionary.cast(pa.string())).to_pylist()
    missing = {*MISSING_MARKS, None}
    levels = tuple(sorted((value for value in found if value not in missing), key=order))
    place = {level: code for code, level in enumerate(levels)}
    # One entry more than there are values: code −1 (null) reads the last, which stays −1.
    renumbered = np.array([place.get(value, -1) for value in found] + [-1], dtype=np.int32)
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return Categories(name, renumbered[codes], levels)


def is_text(column: pa.ChunkedArray) -> bool:
    """Whether the column holds text, directly or as a dictionary."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _numbers(name: str, column: pa.ChunkedArray) -> Column:
    recorded = len(column) - column.null_count
    numbers = Numbers(name, column)
    if recorded > _IDENTIFIER_ROWS and pa.types.is_integer(column.type):
        distinct = pc.count_distinct(column).as_py()
        bounds = pc.min_max(column).as_py()
        if distinct == len(column) == bounds["max"] - bounds["min"] + 1:
            return LeftOut(name, "a row number")
        if _IDENTIFIER_NAME.search(name) and distinct > _IDENTIFIER_SHARE * recorded:
            return LeftOut(name, "an identifier")
    if pa.types.is_floating(column.type):
        infinite = pc.sum(pc.is_inf(column)).as_py() or 0
        if infinite == recorded:
            return LeftOut(name, "empty")
        if infinite:
            warning = f"column {name!r}: {infinite:,} infinite values count as missing"
            return Numbers(name, column, warning=warning)
    return numbers


def _text(name: str, column: pa.ChunkedArray) -> Column:
    categories = text_categories(name, column)
    if not categories.levels:
        return LeftOut(name, "empty")
    numbers = _numbers_in_text(categories)
    if numbers is not None:
        return numbers
    recorded = int((categories.codes >= 0).sum())
    if recorded > _IDENTIFIER_ROWS and len(categories.levels) > _IDENTIFIER_SHARE * recorded:
        return LeftOut(name, "an identifier or free text")
    return categories


def _numbers_in_text(categories: Categories) -> Numbers | None:
    """The column as numbers if nearly all its values are ("1,234", "3,5", "$ 12", "7 %").

    A comma is a decimal sign where some value shows it cannot separate thousands ("3,5"), a
    thousands separator otherwise. Values with leading zeros ("01277") are codes and stay text.
    """
    bare = pc.replace_substring_regex(pa.array(categories.levels), _UNITS_BEFORE, r"\1")
    bare = pc.replace_substring_regex(bare, _UNITS_AFTER, "")
    if pc.any(pc.match_substring_regex(bare, _LEADING_ZERO)).as_py():
        return None
    if pc.any(pc.match_substring_regex(bare, _COMMA_CANNOT_BE_THOUSANDS)).as_py():
        without_dots = pc.replace_substring_regex(bare, r"\.(\d{3})", r"\1")
        has_comma = pc.match_substring(bare, ",")
        plain = pc.if_else(has_comma, pc.replace_substring(without_dots, ",", "."), bare)
        how = "decimal commas"
    else:
        thousands = pc.match_substring_regex(bare, _THOUSANDS)
        plain = pc.if_else(thousands, pc.replace_substring(bare, ",", ""), bare)
        how = "commas taken as thousands separators"
    is_number = pc.match_substring_regex(plain, _PLAIN)
    parsed = pc.if_else(is_number, plain, pa.scalar(None, pa.string())).cast(pa.float64())
    recorded = categories.codes[categories.codes >= 0]
    readable = np.asarray(is_number)[recorded]
    if readable.mean() < _NUMERIC_SHARE:
        return None
    values = np.append(parsed.to_numpy(zero_copy_only=False), np.nan)[categories.codes]
    lost = len(readable) - int(readable.sum())
    warning = (
        f"column {categories.name!r}: text read as numbers ({how}, currency and % dropped)"
        + (f"; {lost:,} values that are none count as missing" if lost else "")
    )
    return Numbers(categories.name, values, warning=warning)
