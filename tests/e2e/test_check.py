"""``audit check`` and ``audit diff`` as CI and reviewers run them."""

from __future__ import annotations

import copy
import functools
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from audit.report.document import document_json
from tests.e2e.command import Finished, assert_refused, audit, audit_process
from tests.report.run_directory import write_report, write_run
from tests.report.synthetic import Run, make

DOCS = Path(__file__).resolve().parents[2] / "docs" / "commands"
PASSES = "[claim]\nverdict = 'consistent'\nepsilon_at_most = 4\n"
FAILS = f"{PASSES}[accuracy]\nloss_at_most = 0.01\n"
OPEN = f"{PASSES}[accuracy]\nworst_group_loss_at_most = 0.1\n"


@pytest.fixture(scope="module")
def run() -> Run:
    return make(seed=1, n=400, n_test=120, styles=12)


@pytest.fixture
def folder(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a run directory ``r``, its ``report.json`` and three policies."""
    write_run(run, tmp_path / "r")
    (tmp_path / "report.json").write_text(document_json(run.document()), encoding="utf-8")
    for name, text in (("passes", PASSES), ("fails", FAILS), ("open", OPEN)):
        (tmp_path / f"{name}.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def here(folder: Path) -> Any:
    """The command in that folder."""
    return functools.partial(audit, cwd=folder)


@pytest.mark.parametrize("what", ["r", "report.json"])
@pytest.mark.usefixtures("folder")
def test_exit_codes_of_a_run_directory_and_of_a_file(here: Any, what: str):
    for policy, code in (("passes", 0), ("fails", 1), ("open", 3)):
        done = here("check", what, "--policy", f"{policy}.toml")
        assert done.code == code, done
        assert not done.err
    assert done.out.splitlines()[0].startswith("COULD NOT TELL  accuracy.worst_group_loss_at_most")


@pytest.mark.usefixtures("folder")
def test_each_rule_that_fails_is_a_line_with_value_interval_and_threshold(here: Any):
    done = here("check", "r", "--policy", "fails.toml")
    first, *rest = done.out.splitlines()
    assert first == (
        "NOT MET         accuracy.loss_at_most [dp-2]: the average loss is 2.1 points "
        "(95 % interval 1.7 to 2.5), 120 test examples not excluding 5.1 points; all of it above "
        "1.0 points"
    )
    assert rest[-1].startswith("3 results: 1 not met, 0 could not tell, 2 met (")


def test_the_installed_command_in_a_process_of_its_own(folder: Path):
    done = audit_process("check", "report.json", "--policy", "fails.toml", cwd=folder)
    assert done.code == 1, done
    assert "NOT MET" in done.out
    again = audit_process("diff", "r", "report.json", cwd=folder)
    assert again == Finished(0, "Nothing changed: the two reports are identical.\n", "")


def test_a_report_in_a_file_is_checked_without_torch(folder: Path):
    code = (
        "import sys; from audit import cli\n"
        "try: cli.main(['check', 'report.json', '--policy', 'passes.toml'])\n"
        "except SystemExit as e: assert e.code == 0\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True)


def test_junit_and_json(folder: Path, here: Any):
    done = here("check", "r", "--policy", "fails.toml", "--junit", "out/j.xml", "--format", "json")
    assert done.code == 1
    told = json.loads(done.out)
    assert told["counts"] == {"not met": 1, "could not tell": 0, "met": 2}
    root = ET.parse(folder / "out" / "j.xml").getroot()
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "1", "0")
    done = here("check", "r", "--policy", "open.toml", "--junit", "out/j.xml")
    assert done.code == 3
    root = ET.parse(folder / "out" / "j.xml").getroot()
    assert root.get("failures") == "0"
    # Groups without enough test examples: never green.
    assert int(root.get("errors") or 0) == len(root.findall(".//error")) > 0
    assert_refused(here("check", "r", "--policy", "open.toml", "--junit", "/dev/null"), "junit")
    assert_refused(here("check", "r", "--policy", "open.toml", "--junit", "r"), "junit")


def test_the_shipped_policy_and_the_newest_run(folder: Path, here: Any, run: Run):
    write_run(run, folder / "runs" / "one")
    done = here("check", "--policy", "default")
    assert done.code in (1, 3)
    assert "claim.delta_below_one_over_n [dp-2]" in done.out


def test_what_cannot_be_checked_is_refused_in_one_line(folder: Path, here: Any, run: Run):
    (folder / "bad.toml").write_text("[claim]\nverdct = 1\n")
    (folder / "cut.json").write_text((folder / "report.json").read_text()[:1000])
    assert_refused(here("check", "r", "--policy", "bad.toml"), "Did you mean verdict?")
    assert_refused(here("check", "r", "--policy", "nothing.toml"), "does not exist")
    assert_refused(here("check", "r", "--policy", "passes.toml", "--format", "xml"), "format")
    assert_refused(here("check", "cut.json", "--policy", "passes.toml"), "cut.json")
    assert_refused(here("check", "none.json", "--policy", "passes.toml"), "does not exist")
    assert_refused(here("check", "x" * 400, "--policy", "passes.toml"), "report")
    assert_refused(here("check", "/dev/zero", "--policy", "passes.toml"), "is not a file")
    assert_refused(here("check", "--policy", "passes.toml"), "holds no run directory")
    (folder / "empty").mkdir()
    assert_refused(here("check", "empty", "--policy", "passes.toml"), "run.json")
    incomplete, planted = copy.deepcopy(run), copy.deepcopy(run)
    incomplete.run["status"] = "training"
    planted.run["plant"] = {"name": "no_noise", "what": "a", "where": "b", "breaks": "c"}
    write_run(incomplete, folder / "i")
    write_run(planted, folder / "p")
    for command in (("check", "i", "--policy", "passes.toml"), ("diff", "r", "i")):
        assert_refused(here(*command), "not complete")
    for command in (("check", "p", "--policy", "passes.toml"), ("diff", "p", "r")):
        assert_refused(here(*command), "no_noise")


def test_damaged_results_are_refused(folder: Path, here: Any):
    summary = folder / "r" / "results" / "summary.json"
    contents = json.loads(summary.read_text())
    del contents["arms"]["dp-2"]["verdict"]
    summary.write_text(json.dumps(contents))
    assert_refused(here("check", "r", "--policy", "passes.toml"), "no report can be drawn from")
    summary.write_text("{")
    assert_refused(here("diff", "r", "report.json"), "JSON")


def test_diff_of_a_run_and_a_later_one(folder: Path, here: Any, run: Run):
    later = copy.deepcopy(run)
    later.run["seed"] = 5
    later.summary["arms"]["dp-2"]["loss"] = {"value": 0.2, "low": 0.19, "high": 0.21, "n": 200}
    write_run(later, folder / "later")
    done = here("diff", "r", "later")
    assert done.code == 1
    assert (
        "worse    average accuracy loss of dp-2: 2.1 points (1.7 to 2.5) → 20.0 points" in done.out
    )
    assert here("diff", "later", "r").code == 0
    told = json.loads(here("diff", "r", "later", "--format", "json").out)
    assert told["worse"] == 1
    page = here("diff", "r", "later", "--format", "md").out
    assert "## For the worse" in page
    assert "| changed | seed | 0 | 5 | – |" in page
    assert_refused(here("diff", "r", "later", "--format", "html"), "format")
    assert_refused(here("diff", "r", "nothing"), "does not exist")


def test_a_diff_can_be_printed_where_there_is_no_epsilon(folder: Path):
    contents = json.loads((folder / "report.json").read_text())
    contents["title"] = "\ud800 \u202e"
    contents["results"]["arms"]["dp-2"]["epsilon"] = 3
    write_report(contents, folder / "odd.json")
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for command in (
        ("diff", "report.json", "odd.json"),
        ("check", "odd.json", "--policy", "passes.toml", "--junit", "j.xml"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "audit", *command],
            cwd=folder, capture_output=True, text=True, env=env, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stderr
        assert "Traceback" not in done.stderr
    ET.parse(folder / "j.xml")


def steps(page: str) -> list[str]:
    """The ``run:`` lines of the workflow in a page of the docs."""
    text = (DOCS / page).read_text(encoding="utf-8")
    workflow = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert workflow
    return re.findall(r"^ +- run: (.+)$", workflow[1], re.MULTILINE)


def test_the_workflow_in_the_docs_runs(tmp_path: Path, small_config: Path):
    """Its ``run:`` lines, but for the installation, in the shell that GitHub runs them in."""
    commands = [command for command in steps("check.md") if not command.startswith("pip ")]
    assert [command.split()[1] for command in commands] == ["run", "check"]
    (tmp_path / "study.toml").write_text(small_config.read_text())
    (tmp_path / "policy.toml").write_text("[claim]\nverdict = 'not_violated'\n")
    shim = tmp_path / "bin" / "audit"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m audit "$@"\n')
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
    paths = [str(shim.parent), os.environ["PATH"]]
    root = str(Path(__file__).resolve().parents[2])
    env = {**os.environ, "PATH": os.pathsep.join(paths), "PYTHONPATH": root}
    said = []
    for command in commands:
        done = subprocess.run(
            ["bash", "-e", "-c", command], cwd=tmp_path, env=env, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert said[-1].startswith("MET")
    assert (tmp_path / "audited" / "report.html").exists()
    assert ET.parse(tmp_path / "audited" / "junit.xml").getroot().get("tests") == "1"
    # A run that failed for another reason stops the job.
    broken = commands[0].replace("study.toml", "none.toml")
    stopped = subprocess.run(["bash", "-e", "-c", broken], cwd=tmp_path, env=env, check=False)
    assert stopped.returncode != 0
