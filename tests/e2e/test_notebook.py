"""The notebook of the documentation runs from top to bottom, and is kept without outputs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "notebooks" / "audit-in-python.ipynb"


@pytest.fixture(scope="module")
def source() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_is_kept_without_outputs(source: Any):
    """Outputs would go stale, hide changes in diffs, and carry times and folders of a machine."""
    nbformat.validate(source)
    assert len(code(source)) > 8
    for cell in code(source):
        assert cell.outputs == []
        assert cell.execution_count is None
    assert set(source.metadata) == {"kernelspec", "language_info"}


# In a process of its own: Jupyter leaves sockets to the garbage collector, which here is an error.
EXECUTE = """
import sys
import nbformat
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

manager = KernelManager(kernel_name="python3")
# This interpreter, whatever kernel of that name somebody has installed.
manager.kernel_spec.argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, km=manager, timeout=300).execute()
nbformat.write(notebook, "done.ipynb")
"""


def test_every_cell_runs_and_shows_what_it_says(tmp_path: Path):
    ran = subprocess.run(
        [sys.executable, "-c", EXECUTE, str(NOTEBOOK)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    done = nbformat.read(tmp_path / "done.ipynb", as_version=4)
    shown = [output for cell in code(done) for output in cell.outputs]
    assert not [o for o in shown if o.output_type == "error" or o.get("name") == "stderr"]
    html = "".join(o.data.get("text/html", "") for o in shown if "data" in o)
    text = "".join(o.text for o in shown if o.output_type == "stream")
    assert "Could not tell" in html
    assert "subgroups that lose most" in html
    assert "<svg" in html
    assert "could_not_tell" in text
    assert (tmp_path / "runs" / "notebook" / "report.html").exists()
