"""Charts under `ulimit -v`: one line instead of the end of the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

resource = pytest.importorskip("resource")

DRAW = """
import resource
from audit.errors import BadInput
from audit.report import address_space, charts
soft, hard = {soft}, {hard}
resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
spec = {{"data": {{"values": [{{"a": 1}}]}}, "mark": "point", "encoding": {{}}}}
try:
    print(charts.svg(spec, ident="c", title="t", description="d")[:4])
except BadInput as error:
    print(error)
"""


def drawn(soft: str, hard: str) -> str:
    program = DRAW.format(soft=soft, hard=hard)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_too_little_address_space_is_one_line():
    assert "ulimit -v = '16777216 KiB': is less than the 72 GiB" in drawn("2**34", "2**34")


def test_a_soft_limit_is_raised():
    assert drawn("2**34", "resource.RLIM_INFINITY") == "<svg\n"


def test_as_much_as_is_asked_for_is_enough():
    assert drawn("address_space.NEEDED", "address_space.NEEDED") == "<svg\n"
