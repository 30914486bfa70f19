"""The forms of a report: each a pure function of ``report.json``'s content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from audit.errors import BadInput
from audit.report.document import document_json
from audit.report.inputs import Profile
from audit.report.model_card import render_model_card
from audit.report.pdf import render_pdf
from audit.report.render import render_html

Format = Literal["html", "pdf", "json", "md"]
FORMATS: tuple[Format, ...] = get_args(Format)
_NAMES: dict[Format, tuple[str, str]] = {
    "html": ("report", "html"),
    "pdf": ("report", "pdf"),
    "json": ("report", "json"),
    "md": ("model-card", "md"),
}


def render(contents: Mapping[str, Any], form: str, *, static: bool = False) -> bytes:
    """The file for ``contents`` (``audit.report.document.document``) in one of ``FORMATS``.

    ``static``: HTML without scripts.

    Raises:
        BadInput: there is no such form; what the PDF needs is not installed, or has no font for a
            character; a model card is asked of a run with a planted bug.
    """
    match form:
        case "html":
            return render_html(contents, static=static).encode()
        case "pdf":
            return render_pdf(contents)
        case "json":
            return document_json(contents).encode()
        case "md":
            return render_model_card(contents).encode()
    raise BadInput("format", form, "is no form of a report", f"Use one of {', '.join(FORMATS)}")


def file_name(form: Format, profile: Profile) -> str:
    """The file's name in the run directory: "report.pdf", "model-card-public.md"."""
    stem, ending = _NAMES[form]
    return f"{stem}{'-public' if profile == 'public' else ''}.{ending}"
