"""What a page with scripts carries: the library of the charts, inert JSON, and hashes."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache

import vl_convert

from audit.report.address_space import require_addresses
from audit.report.charts import VEGA_LITE
from audit.report.words import Json

# Inside a script element only these end it, open a comment, or end a line of JavaScript.
_ESCAPED = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
# The parser of HTML leaves a script at the first, and treats what follows the second as a comment.
_ENDS = ("</script", "<!--")


@cache
def bundle() -> str:
    """Vega-Embed with Vega-Lite and Vega as one script: ``vegaEmbed`` on the window.

    The same with the same version of vl-convert. Raises ``ValueError`` if its text could not stand
    in a page.
    """
    require_addresses()
    return inline_script(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", VEGA_LITE))


def inline_script(text: str) -> str:
    """``text`` if it can stand in a script element; raises ``ValueError`` where it would end it."""
    for end in _ENDS:
        if end in text.lower():
            raise ValueError(f"a script of the page contains {end!r}, which would end it early")
    return text


def inert_json(value: Json) -> str:
    """``value`` as JSON that can stand in a script element, whatever its strings say."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.translate(_ESCAPED)


def content_hash(text: str) -> str:
    """The hash by which a Content-Security-Policy names an inline style sheet or script."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
