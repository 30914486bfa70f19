"""The report's charts, one by one, as objects that a notebook shows without JavaScript or network.

What is shown is the report's own SVG, rebuilt from an allow-list (``audit.report.svg``): names from
the data are text in it, whatever they say. Vega-Lite's own notebook output would run a group called
``</script><script>…`` as code, so no Altair object is handed out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

from markupsafe import Markup, escape

from audit.data.names import did_you_mean
from audit.errors import BadInput

# Notebooks have themes of their own: the colours are the light ones, on their own ground.
_GROUND, _INK, _FONT = "#ffffff", "#1c2330", "Arial, 'Liberation Sans', sans-serif"
_BOX = (
    "display:inline-block;vertical-align:top;margin:0 8px 8px 0;padding:8px;"
    f"background:{_GROUND};color:{_INK};font-family:{_FONT}"
)
_SOURCE = "The captions are the report's, which has the tables and tests they speak of."


@dataclass(frozen=True, repr=False)
class Chart:
    """One chart of the report; a notebook shows it, :attr:`svg` is a picture of its own.

    ``kind``: histogram, plane, certified, power, roc, trend, forest, controls, exposure, frontier
    or removal.
    ``title`` and ``description`` say what is shown, ``data`` are its numbers as plain JSON (binned:
    no single training example is drawn).
    """

    kind: str
    title: str
    description: str
    data: Mapping[str, Any]
    colour: str

    def __repr__(self) -> str:
        return f"<Chart {self.kind}: {self.title}>"

    @cached_property
    def svg(self) -> str:
        """The chart as an SVG file: white ground, no script, nothing loaded."""
        from audit.report.charts import picture

        return picture(
            {
                "kind": self.kind,
                "title": self.title,
                "description": self.description,
                "data": self.data,
                "colour": self.colour,
            }
        )

    def _repr_html_(self) -> str:
        return str(
            Markup('<figure style="{}"><figcaption><b>{}</b></figcaption>{}</figure>').format(
                _BOX, self.title, Markup(self.svg)
            )
        )

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """HTML for notebooks; the picture for what shows no HTML."""
        return {
            "text/html": self._repr_html_(),
            "image/svg+xml": self.svg,
            "text/plain": repr(self),
        }


class Charts(Sequence[Chart]):
    """The charts of a run in the order of its report; a notebook shows them all.

    ``charts[0]`` is the first one, ``charts["trend"]`` those of a kind.
    """

    def __init__(self, charts: Sequence[Chart], captions: Sequence[tuple[str, int]]) -> None:
        """``captions``: of each figure, its caption and how many charts it has."""
        self._charts = tuple(charts)
        self._captions = tuple(captions)

    @overload
    def __getitem__(self, index: int) -> Chart: ...
    @overload
    def __getitem__(self, index: slice | str) -> Charts: ...
    def __getitem__(self, index: int | slice | str) -> Chart | Charts:
        """One chart by its number, or those of a kind or a slice.

        Raises:
            BadInput: no chart is of that kind.
        """
        if isinstance(index, int):
            return self._charts[index]
        if isinstance(index, slice):
            return self._some(self._charts[index])
        kinds = {chart.kind for chart in self._charts}
        if index not in kinds:
            raise BadInput(
                "charts", index, "is no kind of chart in this run", did_you_mean(index, kinds)
            )
        return self._some([chart for chart in self._charts if chart.kind == index])

    def __len__(self) -> int:
        return len(self._charts)

    def __iter__(self) -> Iterator[Chart]:
        return iter(self._charts)

    def __repr__(self) -> str:
        return "\n".join([f"{len(self)} charts", *map(repr, self._charts)])

    def _repr_html_(self) -> str:
        parts, rest = [], iter(self._charts)
        for caption, size in self._captions:
            parts += [next(rest)._repr_html_() for _ in range(size)]
            if caption:
                parts.append(f'<p style="max-width:760px">{escape(caption)}</p>')
        if any(caption for caption, _ in self._captions):
            parts.append(f"<p>{escape(_SOURCE)}</p>")
        return f"<div>{''.join(parts)}</div>"

    def _some(self, charts: Sequence[Chart]) -> Charts:
        return Charts(charts, [("", len(charts))])


def charts_of(document: Mapping[str, Any]) -> Charts:
    """The charts of a report's document (:func:`audit.report.document.document`)."""
    figures = [
        block
        for section in document["sections"]
        for block in section["blocks"]
        if block["type"] == "figure" and block["charts"]
    ]
    charts = [
        Chart(c["kind"], c["title"], c["description"], c["data"], c["colour"])
        for figure in figures
        for c in figure["charts"]
    ]
    return Charts(charts, [(figure["caption"], len(figure["charts"])) for figure in figures])
