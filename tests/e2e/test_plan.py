"""``audit plan`` as a newcomer, and as somebody hostile, types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.command import assert_refused, audit

HOSTILE = "</script><script>alert(1)</script>"


def test_a_plan_measures_and_leaves_nothing_behind(small_config: Path, tmp_path: Path):
    folder = tmp_path / "empty"
    folder.mkdir()
    done = audit(
        "plan", "--config", small_config, "--trial-seconds", "2", "--want-epsilon", "1",
        "--want-difference", "0.05", "--control", "noise-only", "--removal", "--json", cwd=folder,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert not list(folder.iterdir())
    plan = json.loads(done.out)
    assert plan["models"] == 12
    assert 12 in plan["power"]["models"]
    cost = plan["cost"]
    assert 0 < cost["training_seconds"]["low"] < cost["training_seconds"]["high"] < 600
    assert cost["peak_bytes_per_process"] > 50e6
    assert cost["arms"]["standard"]["tried_steps"] == cost["arms"]["standard"]["steps"]
    dp = plan["arms"]["dp-2"]
    assert dp["noise_multiplier"] > 0
    assert 0 < dp["sample_rate"] < 1
    control = plan["arms"]["noise-only-2"]
    assert (control["kind"], control["clip_norm"]) == ("control", None)
    per_model = {
        arm: cost["arms"][arm]["process_seconds"]["value"] / models
        for arm, models in (("standard", 12), ("removal, at most", 9 * 40))
    }
    # Nothing of the experiment is cross-checked.
    check = cost["arms"]["standard"]["cross_check_seconds"] / 12
    assert per_model["removal, at most"] == pytest.approx(per_model["standard"] - check)
    answers = plan["wanted"]["epsilon"]["answers"]
    assert any(isinstance(answer["models"], int) for answer in answers)
    assert all(a["models"] or a["why"] for a in plan["wanted"]["difference"]["answers"])


def test_a_plan_for_a_table_with_hostile_names_prints_its_tables(tmp_path: Path):
    lines = ["age,group,y"]
    lines += [f"{20 + i % 50},{HOSTILE if i % 3 else '[red]a'},{'ab'[i % 2]}" for i in range(200)]
    (tmp_path / "people.csv").write_text("\n".join(lines))
    done = audit(
        "plan", "--data", "people.csv", "--label", "y", "--subgroups", "group", "--models", "20",
        "--no-trial", "--want-influence", "0.1", "--want-excess", "0.9", cwd=tmp_path,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "not measured (--no-trial)" in done.out
    assert "no number of models" in done.out
    assert [path.name for path in tmp_path.iterdir()] == ["people.csv"]


def test_one_model_finds_nothing_and_the_plan_says_so(tmp_path: Path):
    done = audit("plan", "--models", "1", "--no-trial", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    power = json.loads(done.out)["power"]
    for entry in power["excess"]:
        assert next(r for r in entry["rows"] if r["models"] == 1)["memorization"] is None
    for entry in power["influence"]:
        assert next(r for r in entry["rows"] if r["models"] == 1)["influence"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--want-excess", "-1"), ("want-excess", "-1")),
        (("--want-influence", "nan"), ("want-influence",)),
        (("--want-difference", "5"), ("want-difference", "5")),
        (("--want-epsilon", "inf"), ("want-epsilon",)),
        (("--trial-seconds", "0"), ("trial-seconds", "0")),
        (("--delta", "0.5"), ("delta", "1/n")),
        (("--data", "nothing.csv", "--label", "y"), ("nothing.csv",)),
    ],
)
def test_bad_options_of_a_plan_are_refused(
    arguments: tuple[str, ...], words: tuple[str, ...], tmp_path: Path
):
    assert_refused(audit("plan", *arguments, cwd=tmp_path), *words)
    assert not list(tmp_path.iterdir())
