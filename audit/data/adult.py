"""``adult``: 48,842 people from the 1994 US census, embedded, encoded with public constants only.

Ranges and category lists are those of the UCI documentation (``adult.names``; Becker & Kohavi
1996), not of the rows: nothing is fitted, so nothing here lies outside a guarantee.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, Int32

from audit.data.dataset import NOT_RECORDED, Grouping
from audit.data.examples import Examples, GroupColumns
from audit.data.groupings import column_grouping
from audit.data.rows import Rows

MISSING = "(missing)"

# Lowest and highest value a column can take, none of them looked up in the rows: UCI extracted
# people over 16 who work at least an hour; the 1994 Current Population Survey top-codes age at 90
# and hours at 99, and holds dollars in five digits; the 16 school levels are numbered 1 to 16.
_RANGES: dict[str, tuple[float, float]] = {
    "age": (17, 90),
    "education_num": (1, 16),
    "capital_gain": (0, 99_999),
    "capital_loss": (0, 99_999),
    "hours_per_week": (1, 99),
}
# Mostly 0 with a few amounts over several powers of ten.
_LOGARITHMIC = ("capital_gain", "capital_loss")

_LEVELS: dict[str, tuple[str, ...]] = {
    "workclass": (
        "Private",
        "Self-emp-not-inc",
        "Self-emp-inc",
        "Federal-gov",
        "Local-gov",
        "State-gov",
        "Without-pay",
        "Never-worked",
    ),
    "marital_status": (
        "Married-civ-spouse",
        "Divorced",
        "Never-married",
        "Separated",
        "Widowed",
        "Married-spouse-absent",
        "Married-AF-spouse",
    ),
    "occupation": (
        "Tech-support",
        "Craft-repair",
        "Other-service",
        "Sales",
        "Exec-managerial",
        "Prof-specialty",
        "Handlers-cleaners",
        "Machine-op-inspct",
        "Adm-clerical",
        "Farming-fishing",
        "Transport-moving",
        "Priv-house-serv",
        "Protective-serv",
        "Armed-Forces",
    ),
    "relationship": (
        "Wife",
        "Own-child",
        "Husband",
        "Not-in-family",
        "Other-relative",
        "Unmarried",
    ),
    "race": ("White", "Asian-Pac-Islander", "Amer-Indian-Eskimo", "Other", "Black"),
    "sex": ("Female", "Male"),
    "native_country": (
        *("United-States", "Cambodia", "England", "Puerto-Rico", "Canada", "Germany"),
        *("Outlying-US(Guam-USVI-etc)", "India", "Japan", "Greece", "South", "China", "Cuba"),
        *("Iran", "Honduras", "Philippines", "Italy", "Poland", "Jamaica", "Vietnam", "Mexico"),
        *("Portugal", "Ireland", "France", "Dominican-Republic", "Laos", "Ecuador", "Taiwan"),
        *("Haiti", "Columbia", "Hungary", "Guatemala", "Nicaragua", "Scotland", "Thailand"),
        *("Yugoslavia", "El-Salvador", "Trinadad&Tobago", "Peru", "Hong", "Holand-Netherlands"),
    ),
}
_EDUCATION = (
    *("Preschool", "1st-4th", "5th-6th", "7th-8th", "9th", "10th", "11th", "12th", "HS-grad"),
    *("Some-college", "Assoc-voc", "Assoc-acdm", "Bachelors", "Masters", "Prof-school"),
    "Doctorate",
)
_AGE_EDGES = (17, 25, 35, 45, 55, 65)
_INCOME = ("<=50K", ">50K")
# The columns in which UCI marks missing values (with "?").
_MAY_BE_MISSING = ("workclass", "occupation", "native_country")


def adult() -> Examples:
    """UCI Adult (1994 census income), UCI's own split: 32,561 to train on, 16,281 to test."""
    table = _read()
    train = _codes(table["split"], ("train", "test")) == 0
    income = _codes(table["income"], _INCOME)
    x, names = _encode(table)
    return Examples(
        name="adult",
        x_train=x[train],
        y_train=income[train].astype(np.int64),
        x_test=x[~train],
        y_test=income[~train].astype(np.int64),
        class_names=_INCOME,
        feature_names=names,
        input_shape=(len(names),),
        source="adult",
        licence="CC BY 4.0 (UCI Adult; Becker & Kohavi 1996, doi:10.24432/C5XW20)",
        label_name="income",
        columns=GroupColumns(
            (*_LEVELS, "education", "age"), lambda name: _grouping(table, train, name)
        ),
        default_subgroups=("sex", "race", "sex×race", "income"),
        notes={
            "split": "UCI's own (adult.data to train, adult.test to test)",
            "scaling": "numeric columns to [0, 1] by fixed ranges, capital gain and loss after "
            "log(1+x); category levels from UCI's documentation (public constants)",
            "missing": 'UCI\'s "?" is the level (missing) of workclass, occupation, native_country',
            "fnlwgt": "left out: a survey weight, not a property of the person",
            "education": "left out as a feature: education_num numbers the same 16 levels in "
            "order; still available as a grouping",
            "age": "as a grouping in fixed bands: 17–24, 25–34, 35–44, 45–54, 55–64, 65 and over",
        },
        # education says in words what education_num numbers.
        rows=lambda: Rows(
            table.drop_columns(["education_num", "fnlwgt", "income", "split"]),
            train,
            income.astype(np.int64),
        ),
    )


def _read() -> pa.Table:
    with as_file(files("audit.data") / "embedded" / "adult.parquet") as path:
        return pq.read_table(path)


def _encode(table: pa.Table) -> tuple[Float32[np.ndarray, "rows features"], tuple[str, ...]]:
    """Features [rows, features] in [0, 1] and their names."""
    levels = {
        name: (*known, MISSING) if name in _MAY_BE_MISSING else known
        for name, known in _LEVELS.items()
    }
    names = [*_RANGES, *(f"{name}={level}" for name, known in levels.items() for level in known)]
    x = np.zeros((table.num_rows, len(names)), dtype=np.float32)
    for column, (name, (low, high)) in enumerate(_RANGES.items()):
        values = table[name].to_numpy().astype(np.float64)
        x[:, column] = (
            np.log1p(values) / np.log1p(high)
            if name in _LOGARITHMIC
            else (values - low) / (high - low)
        )
    start, rows = len(_RANGES), np.arange(table.num_rows)
    for name, known in levels.items():
        x[rows, start + _codes(table[name], known)] = 1
        start += len(known)
    return x, tuple(names)


def _codes(column: pa.ChunkedArray, levels: tuple[str, ...]) -> Int32[np.ndarray, " rows"]:
    """Index of each value in ``levels``; a missing value is the last of them."""
    place = {level: code for code, level in enumerate(levels)} | {None: len(levels) - 1}
    encoded = column.combine_chunks()
    code_of = np.array([place[level] for level in encoded.dictionary.to_pylist()] + [place[None]])
    return code_of[encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)].astype(np.int32)


def _grouping(table: pa.Table, train: np.ndarray, name: str) -> Grouping:
    if name == "age":
        bands = [f"{low}–{high - 1}" for low, high in pairwise(_AGE_EDGES)]
        levels = (*bands, f"{_AGE_EDGES[-1]} and over")
        codes = np.digitize(table["age"].to_numpy(), _AGE_EDGES[1:]).astype(np.int32)
    else:
        levels = _EDUCATION if name == "education" else _LEVELS[name]
        if name in _MAY_BE_MISSING:
            levels = (*levels, NOT_RECORDED)
        codes = _codes(table[name], levels)
    return column_grouping(name, levels, codes[train], codes[~train])
