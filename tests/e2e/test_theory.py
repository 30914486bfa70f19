"""``audit theory`` as it is typed, and what it refuses."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.e2e.command import assert_refused, audit

HOSTILE = "</script><script>alert(1)</script>"


def test_the_long_tail_as_json_and_picture(tmp_path: Path) -> None:
    done = audit(
        "theory", "--prior", "zipf", "--domain", "5000", "--samples", "10000", "--limit", "0.5",
        "--simulate", "40", "--format", "json", "--chart", "tail.svg", cwd=tmp_path,
    )  # fmt: skip
    assert done.code == 0, done
    (case,) = json.loads(done.out)["cases"]
    (all_of_it,) = case["populations"]
    # Feldman 2020, §4; see docs/reproductions.md for the digits.
    assert all_of_it["optimum"] == pytest.approx(0.1125, rel=0.015)
    assert all_of_it["limited"] == pytest.approx(0.0350, rel=0.025)
    readings = {side["learner"]: side["reading"] for side in case["simulation"]}
    assert readings["fits every example"] == "equal"
    assert readings["fits nothing seen once or twice"] == "holds"
    again = audit(
        "theory", "--domain", "5000", "--samples", "10000", "--limit", "0.5", "--simulate", "40",
        "--format", "json", cwd=tmp_path,
    )  # fmt: skip
    assert again.out == done.out
    drawn = ET.parse(tmp_path / "tail.svg")
    assert "1/n" in [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]


def test_who_has_fewer_examples_pays_more(tmp_path: Path) -> None:
    done = audit(
        "theory", "--population", "50000:5000", "--population", "10000:5000", "--epsilon", "2",
        "--simulate", "0", cwd=tmp_path,
    )  # fmt: skip
    assert done.code == 0, done
    assert "ε = 2, δ = 0 allow" in done.out
    assert "together" in done.out


def test_a_data_set_s_own_counts(tmp_path: Path) -> None:
    lines = ["age,town,y"]
    sizes = {"a": 60, "b": 40, HOSTILE: 3, "c": 1, "d": 1}
    for town, size in sizes.items():
        lines += [f"{20 + i % 50},{town},{'uv'[i % 2]}" for i in range(size)]
    (tmp_path / "people.csv").write_text("\n".join(lines))
    done = audit(
        "theory", "--data", "people.csv", "--label", "y", "--subgroups", "town", "--simulate",
        "50", "--chart", "tail.svg", cwd=tmp_path,
    )  # fmt: skip
    assert done.code == 0, done
    assert "seen once (the smallest has 1 training example)" in done.out
    assert "<script" not in (tmp_path / "tail.svg").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--prior", "pareto"], ["prior", "pareto"]),
        (["--domain", "0"], ["domain = 0", "between 1"]),
        (["--samples", "1"], ["samples = 1"]),
        (["--samples", "1e6"], ["samples = '1e6'"]),
        (["--exponent", "-1"], ["exponent = -1"]),
        (["--exponent", "nan"], ["exponent = nan"]),
        (["--prior", "geometric", "--ratio", "1"], ["ratio = 1"]),
        (["--prior", "geometric", "--ratio", "0.5"], ["ratio = 0.5", "0 in floats"]),
        (["--prior", "mixture", "--head", "50000"], ["head = 50000"]),
        (["--prior", "mixture", "--tail-mass", "1"], ["tail-mass = 1"]),
        (["--noise", "0.9"], ["noise = 0.9"]),
        (["--noise", "nan"], ["noise = nan"]),
        (["--classes", "2", "--noise", "0.45"], ["noise = 0.45", "settle"]),
        (["--limit", "1.5"], ["limit = 1.5"]),
        (["--limit", "0.5", "--epsilon", "1"], ["limit = 0.5", "--epsilon"]),
        (["--epsilon", "0"], ["epsilon = 0"]),
        (["--epsilon", "inf"], ["epsilon = inf"]),
        (["--delta", "1", "--epsilon", "1"], ["delta = 1"]),
        (["--simulate", "1"], ["simulate = 1"]),
        (["--population", "5"], ["population = '5'", "SAMPLES:DOMAIN"]),
        (["--population", "5:5", "--domain", "5"], ["domain = 5", "--population"]),
        (["--subgroups", "sex"], ["subgroups = 'sex'", "--data"]),
        (["--data", "adult", "--domain", "7"], ["domain = 7", "--data"]),
        (["--data", "digits", "--simulate", "0", "--chart", "a.svg"], ["chart", "--subgroups"]),
        (["--simulate", "0", "--chart", "nowhere/a.svg"], ["chart", "cannot be written"]),
    ],
)
def test_what_says_nothing_is_refused(tmp_path: Path, options: list[str], words: list[str]) -> None:
    assert_refused(audit("theory", *options, cwd=tmp_path), *words)
