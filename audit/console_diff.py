"""What ``audit diff`` prints."""

from __future__ import annotations

import json

from audit.report.diff import Difference
from audit.report.diff_words import markdown, text_lines


def print_diff(found: Difference, how: str) -> None:
    """The difference as ``text``, ``json`` or ``md``."""
    if how == "json":
        print(json.dumps(found.to_json(), indent=1, allow_nan=False))
    elif how == "md":
        print(markdown(found), end="")
    else:
        print("\n".join(text_lines(found)))
