"""Single examples of a run, read again: the right pixels and values, or a refusal that says why."""

from __future__ import annotations

import base64
import copy
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import audit
from audit.config import identity, make_config
from audit.data.builtin import digits
from audit.errors import BadInput
from audit.manifest_entries import describe_data
from audit.report.document import document, document_json
from audit.report.gallery import Pair, Wanted, wanted
from audit.report.inputs import ReportOptions
from audit.report.render import render_html
from audit.reporting import report_inputs
from audit.resolve import load_data
from audit.showing import LONGEST_SIDE, shown_examples, with_gallery
from audit.store import write_json
from tests.data.helpers import columns, write_csv
from tests.report.synthetic import HOSTILE, Run, make

ROOT = Path("run")


def manifest(**options: Any) -> dict[str, Any]:
    """What run.json says of a run on the data that ``options`` name."""
    config = make_config([options])
    return {"config": identity(config), "data": describe_data(load_data(config))}


def chosen(train: tuple[int, ...], test: tuple[int, ...] = ()) -> Wanted:
    pairs = tuple(Pair("standard", train[0], t) for t in test)
    return Wanted({"standard": train}, "standard", (), pairs)


def pixels(shown: dict[str, Any]) -> np.ndarray:
    """The picture as it lies in the report: [height, width] or [height, width, 3]."""
    raw = base64.b64decode(shown["png"])
    with Image.open(io.BytesIO(raw)) as image:
        assert image.format == "PNG"
        assert image.info == {}  # no time, no program, no comment
        assert image.size == (shown["width"], shown["height"])
        assert image.mode in ("L", "RGB")
        return np.asarray(image)


def in_squares(picture: np.ndarray, factor: int) -> np.ndarray:
    """One pixel of each square, all of whose pixels must be equal."""
    small = picture[::factor, ::factor]
    np.testing.assert_array_equal(np.kron(small, np.ones((factor, factor), dtype=int)), picture)
    return small


def images(path: Path, x: np.ndarray) -> str:
    y = np.arange(len(x)) % 2
    np.savez(path, x_train=x, y_train=y, x_test=x[:10], y_test=y[:10])
    return str(path)


def test_digits_are_shown_pixel_for_pixel() -> None:
    run = manifest(data="digits", subgroups=("class",))
    found = shown_examples(ROOT, run, chosen((0, 28, 1296), (3,)))
    data = digits()
    assert list(found["train"]) == [0, 28, 1296]
    assert list(found["test"]) == [3]
    sides = (("train", data.x_train, data.y_train), ("test", data.x_test, data.y_test))
    for side, x, y in sides:
        for number, shown in found[side].items():
            assert shown["label"] == str(y[number])
            assert shown["cells"] == []
            small = in_squares(pixels(shown), 12)
            np.testing.assert_array_equal(small, np.rint(255 * x[number].reshape(8, 8)))
    assert found["how"] == "Pixels are drawn as they are: 0 is black, 1 is white."


def test_the_same_data_give_the_same_bytes() -> None:
    run = manifest(data="digits", subgroups=("class",))
    first, second = (shown_examples(ROOT, run, chosen((5, 6), (7,))) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("shape", "mode"),
    [
        ((12, 9), "L"),
        ((1, 12, 9), "L"),
        ((12, 9, 1), "L"),
        ((3, 12, 9), "RGB"),
        ((12, 9, 3), "RGB"),
    ],
)
def test_grey_and_colour_channels_first_or_last(
    tmp_path: Path, shape: tuple[int, ...], mode: str
) -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, *shape), dtype=np.uint8)
    run = manifest(data=images(tmp_path / "a.npz", x), subgroups=("class",))
    picture = pixels(shown_examples(ROOT, run, chosen((17,)))["train"][17])
    assert picture.shape == ((96, 72) if mode == "L" else (96, 72, 3))
    plain = x[17].transpose(1, 2, 0) if shape[0] == 3 else x[17]
    expected = plain.reshape(12, 9, *picture.shape[2:])
    np.testing.assert_array_equal(picture[::8, ::8], expected)


def test_floats_from_0_to_255_are_brightnesses(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, 6, 6)).astype(np.float32)
    run = manifest(data=images(tmp_path / "a.npz", x), subgroups=("class",))
    found = shown_examples(ROOT, run, chosen((3,)))
    np.testing.assert_array_equal(in_squares(pixels(found["train"][3]), 16), x[3])
    assert "255 is white" in found["how"]


def test_other_numbers_are_stretched_and_it_is_said(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, 6, 6)).astype(np.float32)
    x[4] = 2.5  # one image is flat
    run = manifest(data=images(tmp_path / "a.npz", x), subgroups=("class",))
    found = shown_examples(ROOT, run, chosen((3, 4)))
    low, high = x[3].min(), x[3].max()
    expected = np.rint(255 * (x[3].astype(float) - low) / (float(high) - low))
    np.testing.assert_array_equal(in_squares(pixels(found["train"][3]), 16), expected)
    assert not pixels(found["train"][4]).any()
    assert "stretched from its own lowest value" in found["how"]


def test_large_images_are_made_smaller(tmp_path: Path) -> None:
    x = np.zeros((40, 200, 130), dtype=np.uint8)
    x[7, :100] = 200
    run = manifest(data=images(tmp_path / "a.npz", x), subgroups=("class",))
    picture = pixels(shown_examples(ROOT, run, chosen((7,)))["train"][7])
    assert picture.shape == (LONGEST_SIDE, 62)
    assert (picture[:47] == 200).all()
    assert not picture[49:].any()


@pytest.mark.parametrize("shape", [(5,), (3, 2), (200, 1), (2, 8, 8)])
def test_what_is_no_picture_is_shown_as_numbers(tmp_path: Path, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(size=(40, *shape)).astype(np.float32)
    run = manifest(data=images(tmp_path / "a.npz", x), subgroups=("class",))
    found = shown_examples(ROOT, run, chosen((7,), (2, 3)))
    shown = found["train"][7]
    assert shown["png"] is None
    values = {name: float(value) for name, value in shown["cells"]}
    at = {name: tuple(map(int, name[2:-1].split(","))) for name in values}
    for name, value in values.items():
        assert value == pytest.approx(float(x[7][at[name]]), rel=1e-6)
    # Both rows of a pair show the same columns.
    for test in (2, 3):
        assert [name for name, _ in found["test"][test]["cells"]] == list(values)


def hostile_table() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    n = 300
    cells = (HOSTILE[0], HOSTILE[1], HOSTILE[6], HOSTILE[7], "=HYPERLINK(1)", "y" * 5000)
    table: dict[str, Any] = {
        "age": rng.integers(18, 90, n).tolist(),
        "name": [f"Person {k}" for k in range(n)],
        HOSTILE[0]: [cells[k % len(cells)] for k in range(n)],
        "\u202elatot": [cells[k % 4 + 2] for k in range(n)],
        "=1+1": [("=cmd|'/c calc'!A1", "@SUM(1)")[k % 2] for k in range(n)],
        "ill": [("yes", "no")[k % 2] for k in range(n)],
    }
    return table


def as_run_on(run: Run, **options: Any) -> Run:
    """A made-up run as if it were one on the data that ``options`` name."""
    run = copy.deepcopy(run)
    config = make_config([options])
    data = load_data(config)
    run.run |= {"config": identity(config), "data": describe_data(data)}
    run.examples["label"] = [data.class_names[data.y_train[i]] for i in run.examples["example"]]
    return run


def test_hostile_tables_are_shown_as_text(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "people.csv", hostile_table())
    run = as_run_on(
        make(seed=2, n=225, n_test=75, styles=20, hostile=False), data=str(path), label="ill"
    )
    run.influence["test_example"] %= 75
    inputs = with_gallery(ROOT, run.inputs())
    assert inputs.gallery is not None
    assert set(inputs.gallery["train"]) == set(wanted(run.inputs()).train)
    page = render_html(document(inputs, ReportOptions(examples=True)), static=True)
    assert "<script" not in page
    assert "\u202e" not in page
    assert "y" * 81 not in page
    assert "=HYPERLINK(1)" in page
    # Names that no model saw ("Persons affected" is a field of the report).
    assert re.search(r"Person\W*\d", page) is None
    assert "&lt;/script&gt;" in page


def test_a_changed_file_is_refused_by_both_fingerprints(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", columns())
    run = manifest(data=str(path), label="ill")
    shown_examples(ROOT, run, chosen((0,)))
    stored = run["data"]["fingerprint"]
    write_csv(path, columns(height=[150.0 + k for k in range(60)]))
    with pytest.raises(BadInput) as error:
        shown_examples(ROOT, run, chosen((0,)))
    message = str(error.value)
    assert stored[:16] in message
    assert load_data(make_config([run["config"]])).fingerprint()[:16] in message
    assert "Restore the data, or leave --examples out" in message
    assert message.isprintable()


def test_a_missing_file_is_refused_in_one_line(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", columns())
    run = manifest(data=str(path), label="ill")
    path.unlink()
    with pytest.raises(BadInput, match="is no file here") as error:
        shown_examples(ROOT, run, chosen((0,)))
    assert "go to the folder where the run was started, or leave it out" in str(error.value)
    assert str(error.value).isprintable()


def test_a_missing_image_set_is_looked_for_where_the_caller_says(tmp_path: Path) -> None:
    run = manifest(data="digits", subgroups=("class",))
    run["config"]["data"] = "torchvision:MNIST"
    with pytest.raises(BadInput, match="lacks 4 of 4 files") as error:
        shown_examples(ROOT, run, chosen((0,)), data_root=tmp_path / "elsewhere")
    assert "elsewhere" in str(error.value)


def test_outputs_that_were_brought_have_no_features() -> None:
    run = {
        "origin": {"arrays": {}},
        "data": {"source": "arrays"},
        "config": {"command": "estimate"},
    }
    with pytest.raises(BadInput, match="has seen no features") as error:
        shown_examples(ROOT, run, chosen((0,)))
    assert "audit estimate" in str(error.value)


def test_data_that_were_in_memory_are_gone() -> None:
    run = {"data": {"source": "DataFrame in memory"}, "config": {"data": "arrays:mine"}}
    with pytest.raises(BadInput, match="were given in memory"):
        shown_examples(ROOT, run, chosen((0,)))


@pytest.mark.parametrize("number", [1297, 10**9, -1])
def test_results_about_examples_that_are_not_there_are_refused(number: int) -> None:
    run = manifest(data="digits", subgroups=("class",))
    with pytest.raises(BadInput, match=f"about train example {number}"):
        shown_examples(ROOT, run, chosen((number,)))


def test_damaged_results_are_refused_in_one_line() -> None:
    run = make(seed=1, hostile=False)
    run.influence["train_example"] = float("nan")
    with pytest.raises(BadInput, match="no example can be chosen from") as error:
        with_gallery(ROOT, run.inputs())
    assert str(error.value).isprintable()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run on digits: trees, which memorize and take no time."""
    run = audit.run(
        data="digits",
        model="sklearn.tree:DecisionTreeClassifier",
        models=16,
        subgroups="class",
        out=tmp_path_factory.mktemp("digits") / "run",
        progress=False,
    )
    return run.path


def test_a_real_run_from_its_directory_to_the_page(finished: Path) -> None:
    inputs = with_gallery(finished, report_inputs(finished))
    doc = document(inputs, ReportOptions(examples=True))
    section = next(s for s in doc["sections"] if s["id"] == "memorization")
    most, typical = (b for b in section["blocks"] if b["type"] == "gallery")
    data = digits()
    best = np.asarray(inputs.examples.loc[inputs.examples["arm"] == "standard", "mem_low"])
    first = int(most["items"][0]["title"].partition(":")[0])
    assert best[first] == np.nanmax(best) > 0
    for gallery in (most, typical):
        for item in gallery["items"]:
            number = int(item["title"].partition(":")[0])
            assert item["title"] == f"{number}: “{data.y_train[number]}”"
            (shown,) = item["examples"]
            small = in_squares(pixels(shown), 12)
            np.testing.assert_array_equal(small, np.rint(255 * data.x_train[number].reshape(8, 8)))
    text = document_json(doc)
    assert document_json(document(with_gallery(finished, report_inputs(finished)),
                                  ReportOptions(examples=True))) == text  # fmt: skip
    page = render_html(json.loads(text), static=True)
    assert page.count("<img") == sum(len(g["items"]) for g in (most, typical)) + sum(
        len(item["examples"])
        for s in doc["sections"] if s["id"] == "influence"
        for b in s["blocks"] if b["type"] == "gallery"
        for item in b["items"]
    )  # fmt: skip
    plain = document_json(document(report_inputs(finished)))
    assert '"png"' not in plain
    assert "data:image" not in render_html(document(report_inputs(finished)))


def test_run_json_of_other_data_is_refused(finished: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(finished, tmp_path / "run"))
    run = json.loads((path / "run.json").read_text())
    run["data"]["fingerprint"] = "0" * 64
    write_json(path / "run.json", run)
    with pytest.raises(BadInput, match=r"differs from '0000000000000000' in run\.json"):
        with_gallery(path, report_inputs(path))
