"""Charts: plain data (``chart_data``) → Vega-Lite (Altair) → inline SVG, drawn without a browser.

Colours are fixed hexadecimal values that the style sheet exchanges in dark mode; no meaning rests
on colour alone (shape, size, dash and label repeat it).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import altair as alt
import vl_convert

from audit.report import (
    charts_attacks,
    charts_controls,
    charts_examples,
    charts_frontier,
    charts_longtail,
    charts_removal,
    charts_subgroups,
)
from audit.report.address_space import require_addresses
from audit.report.chart_parts import FONT, theme
from audit.report.colours import PAPER
from audit.report.svg import inline_svg
from audit.report.words import Json

VEGA_LITE = "_".join(alt.SCHEMA_VERSION.split(".")[:2])
# More digits than anyone sees, and than an axis of 360 units can show.
_DIGITS = 7

_KINDS: dict[str, Callable[[Json, str], alt.LayerChart]] = {
    "histogram": charts_examples.histogram,
    "plane": charts_examples.plane,
    "roc": charts_attacks.roc,
    "certified": charts_attacks.certified,
    "power": charts_attacks.power,
    "trend": charts_subgroups.trend,
    "forest": charts_subgroups.forest,
    "exposure": charts_subgroups.exposure,
    "frontier": charts_frontier.frontier,
    "controls": charts_controls.controls,
    "longtail": charts_longtail.longtail,
    "removal": charts_removal.removal,
}


def specification(chart: Json) -> Json:
    """The Vega-Lite specification of one chart of a document, as plain JSON.

    ``chart`` has ``kind``, ``title``, ``description``, ``colour`` and ``data``. Strings from the
    data stand in data values only; the same chart gives the same specification.
    """
    spec = _KINDS[chart["kind"]](chart["data"], chart["colour"])
    plain = spec.to_dict()
    del plain["$schema"]
    plain["config"] = theme()
    _share_rows(plain)
    return _rounded(plain)


def svg(spec: Json, *, ident: str, title: str, description: str) -> str:
    """A specification drawn; sanitised (``audit.report.svg``), to be put into a page as it is."""
    require_addresses()
    drawn = vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE, allowed_base_urls=[])
    return inline_svg(drawn, ident=ident, title=title, description=description)


def draw(chart: Json) -> str:
    """The SVG of one chart of a document (``id`` and what :func:`specification` needs)."""
    return svg(
        specification(chart),
        ident=chart["id"],
        title=chart["title"],
        description=chart["description"],
    )


def picture(chart: Json) -> str:
    """A chart as an SVG file of its own: white ground, no script, nothing loaded.

    Ids are taken from what is drawn: many may stand in one page, a notebook.
    """
    text = json.dumps(chart, sort_keys=True)
    drawn = draw({**chart, "id": f"audit-{hashlib.sha256(text.encode()).hexdigest()[:12]}"})
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" font-family="{FONT}" style="background:{PAPER}" '
    )
    return head + drawn.removeprefix("<svg ")


def _share_rows(spec: Json) -> None:
    """Keep of each layer's rows the fields it draws, and write down the same rows once.

    Layers are made from the same points, of which each draws a few fields only; a layer without
    rows is left out (Vega warns of its empty axes). The names of the data sets are numbers in the
    order of the layers, whatever Altair called them.
    """
    given, kept = spec["datasets"], {}
    spec["layer"] = [part for part in spec["layer"] if given[part["data"]["name"]]]
    for drawn in spec["layer"]:
        fields = set(_fields(drawn["encoding"]))
        given_rows = given[drawn["data"]["name"]]
        rows = [{k: row[k] for k in sorted(row) if k in fields} for row in given_rows]
        text = json.dumps(rows, ensure_ascii=False)
        kept.setdefault(text, (f"rows-{len(kept)}", rows))
        drawn["data"] = {"name": kept[text][0]}
    spec["datasets"] = dict(kept.values())


def _fields(encoding: Any) -> Iterator[str]:
    """Every field that an encoding names."""
    if isinstance(encoding, dict):
        for key, value in encoding.items():
            if key in ("field", "fields"):
                yield from [value] if isinstance(value, str) else value
            else:
                yield from _fields(value)
    elif isinstance(encoding, list):
        for value in encoding:
            yield from _fields(value)


def _rounded(value: Any) -> Any:
    """``value`` with every number cut to a few digits: a page does not carry what nobody sees."""
    if isinstance(value, dict):
        return {key: _rounded(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.{_DIGITS}g}")
    return value
