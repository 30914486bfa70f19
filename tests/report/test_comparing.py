"""Every leaf of a report is a figure; a change anywhere is found and its place told in words."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np

from audit.report.comparing import differences, figures
from audit.report.document import document_json
from tests.report.synthetic import Run


def leaves(value: Any, path: tuple = ()) -> list[tuple]:
    """The naive oracle: the path of every leaf of a JSON value."""
    if isinstance(value, dict):
        return [p for k, v in value.items() for p in leaves(v, (*path, k))]
    if isinstance(value, list):
        return [p for i, v in enumerate(value) for p in leaves(v, (*path, i))]
    return [path]


def other(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return "other"
    return value * 1.01 + 1 if isinstance(value, int | float) else f"{value}x"


def test_a_report_equals_itself_written_and_read(quiet: Run) -> None:
    made = quiet.document()
    assert differences(json.loads(document_json(made)), made) == []


def test_a_change_of_any_leaf_is_found(quiet: Run) -> None:
    """60 leaves drawn at random, changed one at a time."""
    made = json.loads(document_json(quiet.document()))
    known = copy.deepcopy(made)
    places = leaves(made)
    rng = np.random.default_rng(0)
    for index in rng.choice(len(places), 60, replace=False):
        *path, last = places[index]
        holder = made
        for key in path:
            holder = holder[key]
        was, holder[last] = holder[last], other(holder[last])
        assert differences(made, known), places[index]
        holder[last] = was


def test_the_place_is_told_in_words(quiet: Run) -> None:
    made = quiet.document()
    changed = copy.deepcopy(made)
    memorization = next(s for s in changed["sections"] if s["id"] == "memorization")
    table = next(b for b in memorization["blocks"] if b["type"] == "table")
    row = next(r for r in table["rows"] if r[0] == "Mean memorization")
    was, row[1] = row[1], "0.999"
    [found] = differences(changed, made)
    assert found.where == (
        "3. Memorization against what ε allows, table “Estimates per arm with 95 % intervals”, row "
        "“Mean memorization”, column “standard training”"
    )
    assert (found.stated, found.computed) == ("0.999", was)


def test_rounding_of_doubles_is_no_difference_and_a_millionth_is(quiet: Run) -> None:
    made = quiet.document()
    near, far = copy.deepcopy(made), copy.deepcopy(made)
    near["results"]["arms"]["standard"]["mem_mean"]["value"] *= 1 + 1e-12
    far["results"]["arms"]["standard"]["mem_mean"]["value"] *= 1 + 1e-6
    assert differences(near, made) == []
    assert [d.where for d in differences(far, made)] == ["results.arms.standard.mem_mean.value"]


def test_what_is_missing_or_added_differs(quiet: Run) -> None:
    made = quiet.document()
    fewer = copy.deepcopy(made)
    del fewer["sections"][3]
    order, *lost = differences(fewer, made)
    assert order.where == "order of the sections"
    assert all(d.stated == "(absent)" for d in lost)
    assert len(lost) > 20
    assert {d.computed for d in differences(made, fewer)[1:]} == {"(absent)"}


def test_a_cell_or_row_too_many_and_sections_turned_around_differ(quiet: Run) -> None:
    made = quiet.document()
    claim = made["sections"][0]
    place = next(i for i, b in enumerate(claim["blocks"]) if b["type"] == "table")
    for change in (
        lambda rows: rows[0].append("more"),
        lambda rows: rows.append([]),
        lambda rows: rows.pop(),
    ):
        other = copy.deepcopy(made)
        change(other["sections"][0]["blocks"][place]["rows"])
        assert differences(other, made)
    turned = {**made, "sections": made["sections"][::-1]}
    assert [d.where for d in differences(turned, made)] == ["order of the sections"]


def test_rows_of_the_same_name_are_told_apart() -> None:
    block = {
        "type": "table", "caption": "c", "columns": [{"label": "a"}, {"label": "b"}],
        "rows": [["x", "1"], ["x", "2"]], "note": "",
    }  # fmt: skip
    contents = {"sections": [{"number": "2", "title": "t", "blocks": [block]}]}
    assert sum("row “x”, column" in place for place in figures(contents)) == 4


def test_captions_heads_and_orders_are_compared(quiet: Run) -> None:
    """What says of which arm a table is, and what nobody computed."""
    made = quiet.document()

    def changed(change: Any) -> list[str]:
        copied = copy.deepcopy(made)
        tables = [b for s in copied["sections"] for b in s["blocks"] if b["type"] == "table"]
        change(tables)
        return [d.where for d in differences(copied, made)]

    def exchange(tables: list[Any]) -> None:
        a, b = tables[0], tables[1]
        a["caption"], b["caption"] = b["caption"], a["caption"]

    assert changed(exchange)
    [where] = changed(lambda t: t[0]["rows"].reverse())
    assert where.endswith("order of the rows")
    extra = {"label": "Approved by the supervisory authority", "kind": "text"}
    [where] = changed(lambda t: t[0]["columns"].append(extra))
    assert where.endswith("columns")
    long = "x" * 100
    both = [copy.deepcopy(made) for _ in range(2)]
    for contents, end in zip(both, "ab", strict=True):
        tables = [b for s in contents["sections"] for b in s["blocks"] if b["type"] == "table"]
        tables[0]["caption"] = long + end
    assert differences(*both)
