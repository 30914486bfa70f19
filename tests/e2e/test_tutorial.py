"""docs/tutorial.md, word for word: what it shows is written, what it gives is run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(
    r"(?:<!-- exits (?P<codes>[\d or]+) -->\n)?```(?P<kind>sh|python)\n(?P<text>.*?)```", re.DOTALL
)
NAMED = re.compile(r"Save this as `([\w.]+)`")


def blocks() -> Iterator[re.Match[str]]:
    yield from BLOCK.finditer(TUTORIAL.read_text(encoding="utf-8"))


def test_the_tutorial_works_word_for_word(tmp_path: Path) -> None:
    names = iter(NAMED.findall(TUTORIAL.read_text(encoding="utf-8")))
    # The commands and the Python of the environment that runs this.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    said = ""
    for block in blocks():
        if block["kind"] == "python":
            (tmp_path / next(names)).write_text(block["text"])
            continue
        allowed = [int(code) for code in (block["codes"] or "0").split(" or ")]
        for command in block["text"].splitlines():
            done = subprocess.run(
                ["bash", "-c", command], cwd=tmp_path, env={**os.environ, "PATH": path},
                capture_output=True, text=True, check=False, timeout=900,
            )  # fmt: skip
            assert done.returncode in allowed, (command, done)
            assert "Traceback" not in done.stderr, (command, done)
            said += done.stdout
    run = tmp_path / "loans-audit"
    assert {"report.html", "report-public.html", "report.json"} <= {p.name for p in run.iterdir()}
    page = (run / "report.html").read_text(encoding="utf-8")
    # What was attested is there, and the chapters that the page promises.
    assert "Sorts applications for review by clerks" in page
    assert "A. Example" in page
    assert "region 40" in page
    assert "0 of 40 subgroups are seen once" in said
