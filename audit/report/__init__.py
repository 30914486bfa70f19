"""Numbers into verdicts, verdicts into a page.

``findings`` (numbers → verdicts) → ``document`` (everything on the page, as plain JSON data) →
``render`` (that JSON → one HTML file). Only ``render`` touches the disk, to read its templates.
"""

from __future__ import annotations
