"""Galleries: the right examples, said to be extremes of noise, and none that was not asked for."""

from __future__ import annotations

import copy
import dataclasses
import math
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from audit.errors import BadInput
from audit.report.document import document, document_json
from audit.report.frames import records, rows_of
from audit.report.gallery import MOST, PAIRS, Wanted, wanted
from audit.report.gallery_blocks import UNPROTECTED
from audit.report.inputs import ReportInputs, ReportOptions
from audit.report.render import render_html
from tests.report.helpers import standard_only
from tests.report.synthetic import HOSTILE, Run, make
from tests.report.test_document import strings
from tests.report.test_findings import BANNED

PNG = "iVBORw0KGgo="


def shown(chosen: Wanted, cells: list[list[str]] | None = None) -> dict[str, Any]:
    """A gallery for ``chosen``: pictures, or the same ``cells`` for every example."""
    one = {"png": None if cells else PNG, "width": 96, "height": 96, "cells": cells or []}
    return {
        "how": "As they are.",
        "train": {i: {**one, "label": f"label {i % 3}"} for i in chosen.train},
        "test": {i: {**one, "label": f"label {i % 3}"} for i in chosen.test},
    }


def with_examples(run: Run, cells: list[list[str]] | None = None) -> dict[str, Any]:
    gallery = shown(wanted(run.inputs()), cells)
    return document(run.inputs(gallery=gallery), ReportOptions(examples=True))


def galleries(doc: dict[str, Any], ident: str = "memorization") -> list[dict[str, Any]]:
    blocks = next(s["blocks"] for s in doc["sections"] if s["id"] == ident)
    return [b for b in blocks if b["type"] == "gallery"]


def numbers(gallery: dict[str, Any]) -> list[int]:
    return [int(item["title"].partition(":")[0]) for item in gallery["items"]]


def rows(run: Run, arm: str = "standard") -> list[dict[str, Any]]:
    return records(rows_of(run.examples, "arm", arm))


def set_cells(run: Run, at: list[int], **columns: Any) -> None:
    """Write into some rows of the table of examples."""
    for column, value in columns.items():
        values = run.examples[column].to_numpy(copy=True)
        values[at] = value
        run.examples[column] = values


def naive_most(run: Run, arm: str, most: int) -> list[int]:
    """By the lower end of the interval, then the estimate, then the number."""
    found = [r for r in rows(run, arm) if not math.isnan(r["mem"]) and r["mem"] > 0]
    found.sort(key=lambda r: (-r["mem_low"], -r["mem"], r["example"]))
    return [r["example"] for r in found[:most]]


def naive_typical(run: Run, memorized: list[int]) -> list[int]:
    by_number = {r["example"]: r for r in rows(run)}
    taken = set(memorized)
    chosen = []
    for i in memorized:
        like = [
            r
            for r in rows(run)
            if r["label"] == by_number[i]["label"]
            and r["example"] not in taken
            and abs(r["mem"]) < 0.25
        ]
        like.sort(
            key=lambda r: (
                -min(r["p_in"], r["p_out"]),
                abs(r["mem"]),
                r["mem_high"] - r["mem_low"],
                r["example"],
            )
        )
        if like:
            chosen.append(like[0]["example"])
            taken.add(chosen[-1])
    return chosen


def test_the_choices_are_those_of_a_naive_oracle(quiet: Run) -> None:
    chosen = wanted(quiet.inputs())
    assert list(chosen.memorized) == ["standard", "dp-2"]
    for arm, found in chosen.memorized.items():
        assert list(found) == naive_most(quiet, arm, MOST)
    assert list(chosen.typical) == naive_typical(quiet, list(chosen.memorized["standard"]))
    assert len(chosen.typical) == MOST
    pairs = sorted(records(quiet.influence), key=lambda r: -r["influence"])[:PAIRS]
    assert [(p.train, p.test) for p in chosen.pairs] == [
        (r["train_example"], r["test_example"]) for r in pairs
    ]
    assert set(chosen.train) == {
        *chosen.memorized["standard"],
        *chosen.memorized["dp-2"],
        *chosen.typical,
        *(p.train for p in chosen.pairs),
    }
    assert chosen.test == tuple(sorted({p.test for p in chosen.pairs}))


def test_they_do_not_hang_on_the_order_of_the_tables(quiet: Run) -> None:
    run = copy.deepcopy(quiet)
    run.examples["mem"] = run.examples["mem"].round(1)  # many ties
    before = wanted(run.inputs())
    run.examples = run.examples.sample(frac=1, random_state=1, ignore_index=True)
    run.influence = run.influence.sample(frac=1, random_state=2, ignore_index=True)
    assert wanted(run.inputs()) == before


def test_equal_estimates_go_by_number(quiet: Run) -> None:
    run = copy.deepcopy(quiet)
    run.examples[["mem", "mem_low", "mem_high"]] = (0.5, 0.4, 0.6)
    run.influence[["influence", "low", "high"]] = (0.3, 0.2, 0.4)
    run.influence["train_example"] = np.arange(20)[::-1]
    chosen = wanted(run.inputs())
    assert chosen.memorized["standard"] == tuple(range(MOST))
    assert chosen.typical == ()  # all are memorized by 0.25 or more
    assert [p.train for p in chosen.pairs] == list(range(PAIRS))


def test_few_models_do_not_come_first_by_luck(quiet: Run) -> None:
    """One model without it, and wrong: an estimate of 1 that says next to nothing."""
    run = copy.deepcopy(quiet)
    set_cells(run, [7], n_in=199, n_out=1, p_in=1.0, p_out=0.0)
    set_cells(run, [7], mem=1.0, mem_low=0.05, mem_high=1.0)
    assert 7 not in wanted(run.inputs()).memorized["standard"]


def test_what_models_never_get_right_is_not_typical(quiet: Run) -> None:
    """Never right, with it or without: memorization 0 as well, and nothing that models know."""
    run = copy.deepcopy(quiet)
    before = wanted(run.inputs()).typical
    set_cells(run, list(before), p_in=0.0, p_out=0.0, mem=0.0, mem_low=-1e-9, mem_high=1e-9)
    assert set(wanted(run.inputs()).typical).isdisjoint(before)


@pytest.mark.parametrize("refuted", [2, 30])
def test_what_refutes_a_claim_comes_first(quiet: Run, refuted: int) -> None:
    """In the private arm that claims it, witnesses first; negative ones too. Elsewhere nothing."""
    run = copy.deepcopy(quiet)
    plain = wanted(run.inputs())
    private = np.flatnonzero(run.examples["arm"] == "dp-2")
    set_cells(run, private[100 : 100 + refuted].tolist(), verdict="violates")
    set_cells(run, [int(private[100])], mem=-0.9, mem_low=-0.95, mem_high=-0.8)
    run.summary["arms"]["dp-2"] |= {"witnesses": [101, 100], "n_refuted": refuted}
    chosen = wanted(run.inputs())
    assert chosen.memorized["dp-2"][:2] == (101, 100)
    assert len(chosen.memorized["dp-2"]) == MOST
    assert {*chosen.memorized["dp-2"]} <= {*range(100, 130)} or refuted == 2
    assert chosen.memorized["standard"] == plain.memorized["standard"]
    shown_first = galleries(with_examples(run))
    assert shown_first[0]["caption"].startswith("Memorized most in private training, ε = 2")
    assert "because they refute the privacy claim" in shown_first[0]["caption"]
    assert "Refutes the privacy claim" in shown_first[0]["items"][0]["lines"]
    assert not any("Refutes" in line for line in strings(shown_first[1:]))


def test_standard_training_claims_nothing_and_so_refutes_nothing(quiet: Run) -> None:
    assert "violates" in quiet.examples["verdict"].tolist()
    assert not any("refute" in s.lower() for s in strings(galleries(with_examples(quiet))))


def test_private_arms_share_the_room() -> None:
    run = make(seed=5, epsilons=(1.0, 2.0, 4.0, 8.0, 16.0), hostile=False)
    chosen = wanted(run.inputs())
    assert [len(n) for n in chosen.memorized.values()] == [MOST, *[4] * 5]
    assert chosen.reference == "standard"


def test_undefined_memorization_is_never_shown_as_any(quiet: Run) -> None:
    run = copy.deepcopy(quiet)
    top = wanted(run.inputs()).memorized["standard"][0]
    nan = math.nan
    set_cells(run, [top], p_out=nan, mem=nan, mem_low=nan, mem_high=nan)
    chosen = wanted(run.inputs())
    assert top not in {*chosen.memorized["standard"], *chosen.typical}


def test_one_model_tells_nothing(quiet: Run) -> None:
    """K = 1: every example is in every model or in none."""
    run = copy.deepcopy(quiet)
    run.examples[["mem", "mem_low", "mem_high"]] = math.nan
    run.influence = run.influence.iloc[:0]
    chosen = wanted(run.inputs())
    assert chosen.train == chosen.test == ()
    doc = with_examples(run)
    assert galleries(doc) == galleries(doc, "influence") == []
    said = "In standard training and private training, ε = 2 no example has an estimate above 0"
    assert any(s.startswith(said) for s in strings(doc["sections"]))


def test_fewer_examples_than_wanted() -> None:
    run = make(seed=6, n=60, n_test=40, styles=5, hostile=False)
    run.influence = run.influence.head(2).assign(train_example=[3, 5], test_example=[7, 7])
    set_cells(run, [i for i in range(len(run.examples)) if i % 60 >= 10], mem=0.0)
    chosen = wanted(run.inputs())
    assert 0 < len(chosen.memorized["standard"]) <= 10
    assert (len(chosen.pairs), chosen.test) == (2, (7,))
    (gallery,) = galleries(with_examples(run), "influence")
    assert gallery["caption"].startswith("The 2 strongest of 2 reported pairs")


def test_without_test_outputs_there_are_no_pairs(quiet: Run) -> None:
    run = copy.deepcopy(quiet)
    run.run["data"]["n_test"] = 0
    assert wanted(run.inputs()).pairs == ()
    influence = next(s for s in with_examples(run)["sections"] if s["id"] == "influence")
    assert [b["type"] for b in influence["blocks"]] == ["text"]


def test_a_run_without_standard_models_has_its_private_arm_as_reference(quiet: Run) -> None:
    run = copy.deepcopy(quiet)
    del run.summary["arms"]["standard"], run.run["arms"]["standard"]
    run.examples = rows_of(run.examples, "arm", "dp-2")
    chosen = wanted(run.inputs())
    assert (chosen.reference, len(chosen.memorized["dp-2"]), len(chosen.typical)) == (
        "dp-2",
        16,
        16,
    )
    assert chosen.pairs == ()  # those of standard training, which is not there


def test_every_number_of_a_card_is_that_of_the_results(quiet: Run) -> None:
    doc = with_examples(quiet)
    most, typical, private = galleries(doc)
    assert numbers(most) == naive_most(quiet, "standard", MOST)
    assert numbers(typical) == list(wanted(quiet.inputs()).typical)
    of = {(r["arm"], r["example"]): r for arm in ("standard", "dp-2") for r in rows(quiet, arm)}
    for gallery, arm, other in (
        (most, "standard", "dp-2"),
        (typical, "standard", "dp-2"),
        (private, "dp-2", "standard"),
    ):
        for item, i in zip(gallery["items"], numbers(gallery), strict=True):
            own = of[arm, i]
            said = "\n".join(item["lines"]).replace("\u2212", "-")
            mem = [float(x) for x in re.findall(r"^Memorization (\S+) \((\S+) to (\S+)\)", said)[0]]
            assert mem == pytest.approx([own["mem"], own["mem_low"], own["mem_high"]], abs=0.005)
            for side, words in (("in", "with it"), ("out", "without it")):
                right, n = map(int, re.findall(rf"^Right {words}: (\d+) of (\d+)", said, re.M)[0])
                assert n == own[f"n_{side}"]
                assert right / n == pytest.approx(own[f"p_{side}"])
            label = "At ε = 2" if other == "dp-2" else "Standard training"
            assert f"{label}: {of[other, i]['mem']:.2f} (".replace("-0.00", "0.00") in said
            assert f"An attacker is right: {100 * own['exposure']:.1f} %" in said
            assert f"Subgroup: {own['style within class']}" in said


def test_pairs_say_influence_interval_q_and_memorization(quiet: Run) -> None:
    (gallery,) = galleries(with_examples(quiet), "influence")
    strongest = quiet.influence.sort_values("influence", ascending=False).iloc[0]
    item = gallery["items"][0]
    assert item["title"] == (
        f"{strongest['train_example']} carries test example {strongest['test_example']}"
    )
    said = "\n".join(item["lines"])
    assert f"Influence {strongest['influence']:.2f} ({strongest['low']:.2f} to " in said
    assert f"q-value {strongest['q_value']:.2g}" in said
    assert "Training example memorized" in said
    assert "In standard training" in said
    assert [e["words"].split()[0] for e in item["examples"]] == ["Training", "Test"]


def test_captions_say_what_it_means_and_that_extremes_are_noise(quiet: Run) -> None:
    doc = with_examples(quiet)
    for gallery in (*galleries(doc), *galleries(doc, "influence")):
        assert gallery["note"] == f"As they are. {UNPROTECTED}"
        if not gallery["caption"].startswith("For contrast"):
            assert "regression to the mean" in gallery["caption"]
        for words in strings(gallery):
            assert not BANNED.search(words), words
    assert "Memorized means that models label" in galleries(doc)[0]["caption"]


def test_the_page_says_that_it_shows_records(quiet: Run) -> None:
    without, doc = quiet.document(), with_examples(quiet)
    assert "It shows no training record" in without["page_one"]["reveals"]
    assert "It shows training records themselves" in doc["page_one"]["reveals"]
    assert "no training record is shown" in " ".join(strings(without["sections"]))
    assert "no training record" not in " ".join(strings([doc["sections"], doc["page_one"]]))


def test_nothing_of_an_example_is_there_unless_asked_for(quiet: Run) -> None:
    """Not in report.json either, and not where the inputs happen to hold examples."""
    gallery = shown(wanted(quiet.inputs()), [["salary", "<planted value>"]])
    for inputs in (quiet.inputs(), quiet.inputs(gallery=gallery)):
        for options in (ReportOptions(), ReportOptions(full_subgroups=True)):
            text = document_json(document(inputs, options))
            for word in ('"png"', '"gallery"', "salary", "planted value", PNG):
                assert word not in text
    page = render_html(document(quiet.inputs(gallery=gallery)), static=True)
    assert "img-src" not in page
    assert "<img" not in page


def test_a_public_report_with_examples_is_refused(quiet: Run) -> None:
    inputs = quiet.inputs(gallery=shown(wanted(quiet.inputs())))
    with pytest.raises(BadInput, match="a public report shows no training record"):
        document(inputs, ReportOptions(profile="public", examples=True))


def test_examples_that_are_not_there_are_not_silently_left_out(quiet: Run) -> None:
    with pytest.raises(ValueError, match=r"inputs\.gallery is None"):
        document(quiet.inputs(), ReportOptions(examples=True))


def test_hostile_values_are_text(hostile: Run) -> None:
    cells = [
        [f"{name}#{i}", name] for i, name in enumerate((*HOSTILE, "=HYPERLINK(1)", "y" * 5000))
    ]
    run = copy.deepcopy(hostile)
    run.examples["label"] = HOSTILE[0]
    doc = with_examples(run, cells)
    kept = galleries(doc)[0]["items"][0]["examples"][0]["cells"]
    assert len(kept) == len(cells)
    assert all(len(text) <= 80 and text.isprintable() for pair in kept for text in pair)
    page = render_html(doc, static=True)
    assert "<script" not in page
    assert "\u202e" not in page
    assert "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;#0" in page
    assert "<dd><bdi>=HYPERLINK(1)</bdi></dd>" in page


def test_pictures_are_allowed_from_the_page_itself_alone(quiet: Run) -> None:
    page = render_html(with_examples(quiet), static=True)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy.endswith("; img-src data:")
    assert policy.startswith("default-src 'none'; ")
    sources = re.findall(r'<img src="([^"]*)" width="96" height="96" alt="([^"]*)">', page)
    assert sources
    assert {source for source, _ in sources} == {f"data:image/png;base64,{PNG}"}
    described = [alt for _, alt in sources if alt]
    assert len(described) == 3 * MOST  # pairs have their words beside them
    assert all(re.fullmatch(r"Training example \d+, “label \d”", alt) for alt in described)


def test_a_run_with_standard_training_alone(quiet: Run) -> None:
    doc = with_examples(standard_only(copy.deepcopy(quiet)))
    assert [len(g["items"]) for g in galleries(doc)] == [MOST, MOST]
    assert not any(
        "In standard training" in i["lines"] for i in galleries(doc, "influence")[0]["items"]
    )


def test_sixty_thousand_examples_are_chosen_from_quickly() -> None:
    import time

    n = 60_000
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({
        "arm": "standard", "example": np.arange(n), "label": rng.integers(0, 10, n).astype(str),
        "p_in": 1.0, "p_out": rng.random(n), "mem": rng.random(n), "mem_low": rng.random(n),
        "mem_high": 1.0, "verdict": "not_refuted",
    })  # fmt: skip
    small = make(seed=1, hostile=False).inputs()
    inputs: ReportInputs = dataclasses.replace(
        small, examples=frame, summary={"arms": {"standard": {"influence": None}}}
    )
    start = time.perf_counter()
    wanted(inputs)
    assert time.perf_counter() - start < 3
