"""A twin of `python -m benchmarks.hostile`: a few hundred cases, and the judge judged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.hostile.boxed import ACCEPTED, MOST_MEGABYTES, Outcome, faults, harmless
from benchmarks.hostile.case import Case

ROOT = Path(__file__).parents[2]
LINE = "audit: loading data …\naudit: data = 'x.csv': is empty. Use another.\n"


def test_no_hostile_input_gets_more_than_one_line() -> None:
    """In a process of its own: it forks, which no process with threads should."""
    command = [sys.executable, "-m", "benchmarks.hostile", "--cases", "200", "--seed", "1"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hostile inputs in" in done.stdout


def ended(**change: object) -> Outcome:
    usual = {"code": 2, "signal": 0, "out": "", "err": LINE, "changed": (), "executed": False}
    return Outcome(**{**usual, "megabytes": 0.0, **change})  # type: ignore[arg-type]


def test_the_control_a_refusal_as_it_should_be_is_no_fault() -> None:
    assert faults(Case(("run",)), ended()) == []
    shard = (
        "audit: shard a/0-1 is missing or damaged: its SHA-256 differs. Give the command again.\n"
    )
    assert faults(Case(("run",)), ended(err=shard)) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"code": 0}, "accepted"),
        ({"code": ACCEPTED}, "accepted"),
        ({"code": 70}, "exit code 70"),
        ({"code": -14, "signal": 14}, "hung"),
        ({"code": -11, "signal": 11}, "killed by signal 11"),
        ({"err": "Traceback (most recent call last)\n"}, "traceback"),
        ({"err": LINE + LINE}, "2 lines"),
        ({"err": ""}, "0 lines"),
        ({"err": "audit: something is wrong\n"}, "not name = value: rule. Next step."),
        ({"err": "audit: a = 1: b. c\x1b[31m\n"}, "control characters"),
        ({"changed": ("case/out",)}, "left or changed: case/out"),
        ({"changed": ("outside/precious",)}, "touched outside: outside/precious"),
        ({"executed": True}, "code of the input was run"),
        ({"megabytes": MOST_MEGABYTES + 1.0}, f"memory: {MOST_MEGABYTES + 1:,} MB"),
    ],
)
def test_the_control_every_fault_is_seen(change: dict[str, object], fault: str) -> None:
    assert fault in faults(Case(("run",)), ended(**change))


def test_what_may_be_harmless_counts_for_nothing_and_its_faults_do() -> None:
    case = Case(("diff",), maybe=True)
    for code in (0, 1, 3):
        assert harmless(case, ended(code=code, err=""))
        assert faults(case, ended(code=code, err="")) == []
    assert not harmless(case, ended())
    assert faults(case, ended(code=70)) == ["exit code 70"]
    assert faults(case, ended(code=0, changed=("outside/new",))) == ["touched outside: outside/new"]
    assert not harmless(Case(("diff",)), ended(code=0))
