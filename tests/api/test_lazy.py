"""``import audit`` is quick: names are there, nothing heavy is loaded before it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import audit

HEAVY = {"torch", "opacus", "fairlearn", "sklearn", "pandas", "numpy", "scipy", "altair"}
# A run that is opened brings tables, and nothing that trains or draws.
NOT_TO_LOAD = HEAVY - {"pandas", "numpy"}


def loaded_after(code: str) -> set[str]:
    """Top-level modules in a fresh process after ``code``."""
    program = f"{code}\nimport sys\nprint(' '.join({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_import_audit_loads_nothing_heavy():
    assert not loaded_after("import audit; dir(audit)") & HEAVY


def test_looking_at_every_name_and_the_estimates_need_no_torch():
    code = (
        "import audit, numpy as np\n"
        "[getattr(audit, name) for name in audit.__all__]\n"
        "m = np.array([[1, 0], [0, 1]])\n"
        "audit.memorization(m, m); audit.dp_test(m, m, epsilon=2, delta=0)\n"
        "audit.subgroup_memorization(m, m, ['a', 'b'])"
    )
    modules = loaded_after(code)
    assert {"numpy", "pandas"} <= modules
    assert not modules & {"torch", "opacus", "altair", "fairlearn"}


def test_a_finished_run_is_opened_without_torch(finished: audit.Run):
    """Seconds of import for a table in a notebook; charts need Altair, and torch neither."""
    code = f"import audit\nrun = audit.load({str(finished.path)!r})\n"
    assert not loaded_after(code + "run.summary; run.findings; run.verdicts") & NOT_TO_LOAD
    looked = "repr(run); run._repr_html_(); run.outputs('standard').membership; run.charts[0].svg"
    assert not loaded_after(code + looked) & {"torch", "opacus", "sklearn", "fairlearn"}


def test_every_name_leads_home_and_is_seen_by_type_checkers_and_completion():
    for name in audit.__all__:
        assert getattr(audit, name) is not None
    assert set(audit.__all__) == set(audit._HOME_OF)
    assert set(audit.__all__) <= set(dir(audit))
    tree = ast.parse(Path(audit.__file__).read_text(encoding="utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    homes = {
        alias.name: node.module
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert homes == audit._HOME_OF


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="memorisation"):
        _ = audit.memorisation  # pyright: ignore[reportAttributeAccessIssue]
