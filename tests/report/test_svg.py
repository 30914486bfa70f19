"""What is put into the page as markup: SVGs rebuilt from an allow-list."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from audit.report import chart_data, charts
from audit.report.frames import rows_of
from audit.report.svg import inline_svg
from audit.resources import resource_dir
from tests.report.synthetic import HOSTILE, Run

NS = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


def rebuilt(inside: str) -> str:
    svg = f'<svg {NS} width="9" height="9" viewBox="0 0 9 9">{inside}</svg>'
    return inline_svg(svg, ident="c", title="<T>", description="&D")


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        '<g onload="alert(1)"><rect width="1" height="1"/></g>',
        '<a href="javascript:alert(1)"><text>x</text></a>',
        '<image href="https://example.org/x.png"/>',
        '<image xlink:href="https://example.org/x.png"/>',
        "<foreignObject><p>x</p></foreignObject>",
        "<style>@import 'https://example.org'</style>",
        '<use href="https://example.org/x.svg#y"/>',
        '<rect style="fill:url(https://example.org)" width="1" height="1"/>',
        '<rect fill="url(https://example.org/x#y)" width="1" height="1"/>',
        '<rect clip-path="url(https://example.org/x#y)" width="1" height="1"/>',
        '<animate attributeName="href" values="javascript:alert(1)"/>',
        '<set attributeName="onclick" to="alert(1)"/>',
    ],
)
def test_nothing_active_survives(attack: str) -> None:
    out = rebuilt(attack)
    assert not re.search(
        r"<script|javascript|onload|onclick|href|example|style|foreign|animate|<set", out
    )
    ET.fromstring(out)


def test_text_stays_text_and_the_image_is_named() -> None:
    root = ET.fromstring(rebuilt("<text>&lt;script&gt;alert(1)&lt;/script&gt;</text>"))
    assert [t.text for t in root.iter("text")] == ["<script>alert(1)</script>"]
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "c-title c-description"
    assert (root.findtext("title"), root.findtext("desc")) == ("<T>", "&D")


def test_clip_paths_are_numbered_anew_and_kept() -> None:
    clip = '<rect clip-path="url(#clip7)" width="1" height="1"/>'
    out = rebuilt(
        f'{clip}<defs><clipPath id="clip7"><rect width="2" height="2"/></clipPath></defs>'
    )
    assert 'clip-path="url(#c-c0)"' in out
    assert 'id="c-c0"' in out
    assert "clip7" not in out


def test_coordinates_are_rounded() -> None:
    assert 'd="M1.2,0L-3,4"' in rebuilt('<path d="M1.2345,-0.01L-2.999,4" fill="#000000"/>')


def drawn(run: Run, kind: str) -> str:
    groups = rows_of(run.subgroups, "grouping", HOSTILE[0])
    data = {
        "forest": {**chart_data.forest(groups, "dp-2", 12), "overall": 2.1},
        "trend": chart_data.loss_by_frequency(groups, "dp-2", run.summary["trends"][0]),
        "exposure": {
            **chart_data.exposed_and_paying(groups, "dp-2", "standard"),
            "losses": [-5.0, 20.0],
        },
    }[kind]
    return charts.draw({
        "id": "c", "kind": kind, "title": "t", "description": "d", "colour": "#2b6ca3",
        "data": data,
    })  # fmt: skip


def test_hostile_names_are_drawn_as_text(hostile: Run) -> None:
    root = ET.fromstring(drawn(hostile, "forest"))
    labels = " ".join(t.text or "" for t in root.iter("text"))
    assert "</script><script>alert(1)" in labels
    assert "javascript:alert(3)" in labels
    assert "\\u202e" in labels
    assert not list(root.iter("script"))


def test_the_same_data_draws_the_same_bytes(hostile: Run) -> None:
    assert drawn(hostile, "forest") == drawn(hostile, "forest")


def test_every_colour_has_a_dark_twin(hostile: Run, quiet_page: str) -> None:
    css = (resource_dir("templates") / "report.css").read_text(encoding="utf-8")
    twins = set(re.findall(r'\[((?:fill|stroke)="#[0-9a-f]{6}")\]', css))
    svgs = [*re.findall(r"<svg.*?</svg>", quiet_page, re.DOTALL), drawn(hostile, "exposure")]
    used = {c for s in svgs for c in re.findall(r'(?:fill|stroke)="[^"]+"', s)}
    assert used - {'fill="none"', 'stroke="none"', 'fill="transparent"'} <= twins


def test_frequency_axis_has_labels_even_over_a_narrow_range(hostile: Run) -> None:
    root = ET.fromstring(drawn(hostile, "trend"))
    assert sum("%" in (t.text or "") for t in root.iter("text")) >= 2
