"""``audit estimate`` as a user meets it: the page's own example, and refusals in one line."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.e2e.command import Finished, assert_refused, audit

PAGE = Path(__file__).parents[2] / "docs" / "commands" / "estimate.md"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finished]:
    """The example of the documentation, word for word: its Python, then its command."""
    folder = tmp_path_factory.mktemp("estimate")
    text = PAGE.read_text(encoding="utf-8")
    program = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    command = re.search(r"```\n(audit estimate [^`]*--out example\n)```", text)
    assert program
    assert command
    subprocess.run([sys.executable, "-c", program[1]], cwd=folder, check=True, timeout=120)
    words = shlex.split(command[1].replace("\\\n", " "))
    return folder, audit(*words[1:], cwd=folder)


def summary(folder: Path) -> dict:
    return json.loads((folder / "example/results/summary.json").read_text())


def test_the_example_ends_in_a_full_report(example: tuple[Path, Finished]):
    folder, done = example
    assert done.code == 0, done
    page = (folder / "example/report.html").read_text()
    for section in ("claim", "memorization", "subgroups", "exposed", "influence", "provenance"):
        assert f'id="{section}"' in page
    assert "This tool did not train the models" in page
    assert "zCDP, by hand (so stated by the user, not verified by this tool)" in page
    assert "subsets of the data, as stated by whoever brought the outputs" in page
    assert "NOT CHECKED" not in page
    arms = summary(folder)["arms"]
    assert arms["dp-2"]["verdict"] == "consistent"
    assert arms["standard"]["verdict"] == "violates"


def test_what_the_page_says_of_its_example_is_so(example: tuple[Path, Finished]):
    arms = summary(example[0])["arms"]
    # Another BLAS may round a few answers differently.
    assert arms["standard"]["n_refuted"] == pytest.approx(27, abs=3)
    assert arms["standard"]["mem_share_above_0.25"]["value"] == pytest.approx(1 / 8, abs=0.01)
    assert arms["dp-2"]["loss"]["value"] == pytest.approx(0.26, abs=0.005)


def test_the_estimates_are_those_of_the_arrays(example: tuple[Path, Finished]):
    """Recomputed from the user's own files, not from what the tool stored."""
    folder, _ = example
    inside, right = (np.load(folder / f"{name}.npy") for name in ("membership", "dp_train"))
    rows = pd.read_parquet(folder / "example/results/examples.parquet")
    rows = rows[rows["arm"] == "dp-2"]
    np.testing.assert_array_equal(rows["n_in"], inside.sum(0))
    p_in = (inside & right).sum(0) / inside.sum(0)
    p_out = (~inside & right).sum(0) / (~inside).sum(0)
    np.testing.assert_allclose(rows["mem"], p_in - p_out)
    assert np.isnan(np.asarray(rows["tradeoff_bound"])).all()


def test_report_and_show_work_on_it(example: tuple[Path, Finished]):
    folder, _ = example
    before = (folder / "example/report.html").read_bytes()
    assert audit("report", "example", cwd=folder).code == 0
    assert (folder / "example/report.html").read_bytes() == before
    shown = audit("show", "example", "27", cwd=folder)
    assert shown.code == 0
    assert "violates" in shown.out


def test_a_standard_arm_alone_needs_no_claim(example: tuple[Path, Finished]):
    folder, _ = example
    done = audit(
        "estimate", "--membership", "membership.npy", "--train-correct", "standard_train.npy",
        "--epsilon", "2", "--no-claim", "--out", "alone", cwd=folder,
    )  # fmt: skip
    assert done.code == 0, done
    page = (folder / "alone/report.html").read_text()
    assert "No arm of this run makes a privacy claim" in page
    assert "ε claimed" not in page


def test_refusals_are_one_line(example: tuple[Path, Finished], tmp_path: Path):
    folder, _ = example
    np.save(folder / "half.npy", np.full((300, 300), 0.5))
    command = [
        "estimate",
        "--membership",
        "membership.npy",
        "--epsilon",
        "2",
        "--out",
        tmp_path / "o",
    ]

    def refused(*more: str | Path) -> Finished:
        return audit(*command, *more, cwd=folder)

    assert_refused(refused("--train-correct", "half.npy"), "train-correct[0, 0] = 0.5")
    assert_refused(refused("--train-correct", "dp_test.npy"), "train-correct = (300, 500)")
    assert_refused(refused("--train-correct", folder), "is a folder")
    assert_refused(refused("--train-correct", "absent.npy"), "is no file here")
    assert_refused(
        refused("--train-correct", "dp_train.npy", "--inclusion", "fixed"), "inclusion = 'fixed'"
    )
    assert_refused(refused("--train-correct", "dp_train.npy", "--inclusion", "odd"), "inclusion")
    assert_refused(refused("--train-correct", "dp_train.npy", "--delta", "1"), "delta = 1.0")
    assert not (tmp_path / "o").exists()
    again = [*command[:-1], "example", "--train-correct", "dp_train.npy", "--delta", "0.001"]
    assert_refused(audit(*again, cwd=folder), "baseline_test_correct = None", "differs")
    assert summary(folder)["models"] == 300
    assert_refused(
        audit("run", "--models", "2", "--out", "example", cwd=folder),
        "that audit estimate has made",
    )
