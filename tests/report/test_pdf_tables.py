"""Widths of the columns of printed tables, counted from their texts."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from audit.report.pdf_tables import (
    ACROSS,
    FEW_LINES,
    GAP,
    LINE,
    NARROWEST,
    SMALLER,
    lay_out_tables,
    layout,
)

INTERVAL = "56.3 % (56.0 to 56.6)"


def widths(found, line: float) -> list[float]:
    return [share * found.width * line for share in found.shares]


def test_a_small_table_is_no_wider_than_its_texts() -> None:
    found = layout(["Name", "n"], [["a", "1"], ["b", "2"]], [False, True])
    assert found.width == NARROWEST
    assert sum(found.shares) == pytest.approx(1)
    assert not found.small
    assert not found.across
    assert found.lines == 3


def test_numbers_stay_on_one_line_where_they_can() -> None:
    head = ["Subgroup", *(f"rate {i}" for i in range(5))]
    found = layout(head, [["class 4", *[INTERVAL] * 5]] * 3, [False, *[True] * 5])
    line = LINE / (SMALLER if found.small else 1)
    assert min(widths(found, line)[1:]) >= len(INTERVAL)
    assert found.lines == 4


def test_long_texts_share_the_line_and_one_long_cell_does_not_starve_the_rest() -> None:
    rows = [["a question of some length", "a finding in many words " * 20, "0.25"]] * 20
    found = layout(["Question", "Finding", "Value"], rows, [False, False, True])
    assert found.width == 1.0
    assert found.shares[1] > 0.5
    once = [["label", "short"]] * 19 + [["label", "a much longer text than all others " * 10]]
    assert layout(["Name", "Value"], once, [False, False]).width == NARROWEST


def test_too_many_columns_go_on_a_page_laid_across() -> None:
    head = ["Subgroup", *(f"Exposure of arm {i}" for i in range(16))]
    found = layout(head, [["class 4 · style 1", *[INTERVAL] * 16]] * 3, [False, *[True] * 16])
    assert found.across
    longest = max(len(word) for word in ("class", "Exposure", "(56.0"))
    assert min(widths(found, LINE * ACROSS / SMALLER)) >= longest + GAP - 1


def test_wide_characters_count_twice() -> None:
    latin = layout(["a", "b"], [["x" * 10, "y" * 10]], [False, False])
    wide = layout(["a", "b"], [["x" * 10, "字" * 10]], [False, False])
    assert latin.shares == [0.5, 0.5]
    assert wide.shares[1] > 0.6


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="argument"):
        layout(["a", "b"], [["1", "2"], ["1"]], [False, False])


def test_an_empty_table_keeps_its_head() -> None:
    assert layout(["a", "b"], [], [False, True]).lines == 1


def test_a_table_and_its_note_move_together() -> None:
    cells = "".join(f"<td>{INTERVAL}</td>" for _ in range(16))
    heads = "".join(f"<th>Exposure of arm {i}</th>" for i in range(16))
    table = (
        f"<table><caption>c</caption><thead><tr><th class='text'>Name</th>{heads}</tr></thead>"
        f"<tbody>{f'<tr><th>a</th>{cells}</tr>' * (FEW_LINES + 1)}</tbody></table>"
    )
    root = ET.fromstring(
        f"<section><div class='scroll'>{table}</div><p class='note'>n</p><p>other</p></section>"
    )
    lay_out_tables(root)
    box, note, other = root
    assert box.get("class") == "scroll across"
    assert note.get("class") == "note across"
    assert other.get("class") is None
    laid = box[0]
    assert [child.tag for child in laid] == ["caption", "colgroup", "thead", "tbody"]
    assert len(laid[1]) == 17
    assert "whole" not in laid.get("class", "")
