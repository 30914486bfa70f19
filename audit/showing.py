"""The single examples that a report shows where asked: the run's data, read and drawn again."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from audit.config import make_config
from audit.data.dataset import Dataset
from audit.data.examples import Examples
from audit.data.given import IN_MEMORY
from audit.data.rows import MOST_CELLS, Side
from audit.errors import BadInput
from audit.report.gallery import Wanted, wanted
from audit.report.inputs import ReportInputs
from audit.report.words import Json, count
from audit.resolve import grouped, read_examples

# The longest side of a picture on the page, in CSS pixels.
LONGEST_SIDE = 96
# A matrix with a side below this is a row of numbers rather than a picture.
_SMALLEST_SIDE = 4
_LEAVE_OUT = "Leave --examples out"
_ANEW = "Give the command of the run again: it makes the results anew from the shards"

_Drawn = dict[Side, dict[int, Json]]


def with_gallery(
    path: Path, inputs: ReportInputs, *, data_root: Path | None = None
) -> ReportInputs:
    """``inputs`` of the run in ``path`` with the examples that its galleries show.

    Raises:
        BadInput: as :func:`shown_examples`, or results that no example can be chosen from.
    """
    try:
        chosen = wanted(inputs)
    except Exception as error:
        # As where the report is drawn: results are files that anyone may have edited.
        raise BadInput(
            "run",
            str(path),
            f"holds results that no example can be chosen from ({type(error).__name__}: {error})",
            _ANEW,
        ) from error
    return replace(inputs, gallery=shown_examples(path, inputs.run, chosen, data_root=data_root))


def shown_examples(
    path: Path, manifest: Mapping[str, Any], chosen: Wanted, *, data_root: Path | None = None
) -> Json:
    """The chosen examples of the run in ``path``, whose run.json is ``manifest``, as a report
    shows them: ``train`` and ``test`` by number, and ``how`` in words.

    Each is a dict of ``label``, and either ``png`` (base64), ``width`` and ``height`` (CSS pixels)
    or ``cells`` (pairs of column and value); the others are None, or empty. The same data give
    the same bytes with the same version of Pillow.

    Args:
        data_root: where torchvision's files lie; run.json does not know.

    Raises:
        BadInput: the run has no features, its data are not where they were or differ from those
            that it was made from, or its results name an example that they do not have.
    """
    examples, data = _reread(path, manifest, data_root)
    sides: dict[Side, tuple[int, ...]] = {"train": chosen.train, "test": chosen.test}
    for side, numbers in sides.items():
        n = len(data.y_train if side == "train" else data.y_test)
        odd = [number for number in numbers if not 0 <= number < n]
        if odd:
            raise BadInput(
                "run",
                str(path),
                f"has results about {side} example {odd[0]}, and its data have {n:,}",
                _ANEW,
            )
    picture = _is_picture(data.input_shape)
    drawn, how = _pictures(data, sides) if picture else _cells(examples, chosen)
    labels = {"train": data.y_train, "test": data.y_test}
    blank = {"png": None, "width": None, "height": None, "cells": []}
    found: Json = {"how": how}
    for side, numbers in sides.items():
        found[side] = {
            number: {
                **blank,
                **drawn[side][number],
                "label": data.class_names[labels[side][number]],
            }
            for number in numbers
        }
    return found


def _reread(
    path: Path, manifest: Mapping[str, Any], data_root: Path | None
) -> tuple[Examples, Dataset]:
    if manifest.get("origin"):
        raise BadInput(
            "examples",
            str(path),
            "cannot be shown: the models were trained elsewhere (audit estimate), and this tool "
            "has seen no features",
            _LEAVE_OUT,
        )
    if manifest["data"]["source"] in IN_MEMORY:
        raise BadInput(
            "examples",
            str(path),
            "cannot be shown: the data were given in memory (audit.run), and no run stores its "
            "features",
            f"{_LEAVE_OUT}, or make the run from a file",
        )
    config = make_config([manifest["config"], {"data_root": data_root and str(data_root)}])
    try:
        examples = read_examples(config)
        data = grouped(examples, config)
    except BadInput as error:
        raise BadInput(
            error.name,
            error.value,
            error.rule,
            f"{error.next_step} --examples reads the run's data again: go to the folder where the "
            "run was started, or leave it out",
        ) from error
    stored, current = manifest["data"]["fingerprint"], data.fingerprint()
    if stored != current:
        raise BadInput(
            "data fingerprint",
            current[:16],
            f"differs from {stored[:16]!r} in run.json: {config.data!r} does not hold what the run "
            "was made from, or other versions of the libraries read it differently",
            "Restore the data, or leave --examples out",
        )
    return examples, data


def _is_picture(shape: Sequence[int]) -> bool:
    """Whether an example is an image: height × width, or one or three channels of that."""
    flat = len(shape) == 2 or (len(shape) == 3 and (shape[0] in (1, 3) or shape[2] in (1, 3)))
    return flat and sorted(shape)[-2] >= _SMALLEST_SIDE


def _pictures(data: Dataset, sides: Mapping[Side, Sequence[int]]) -> tuple[_Drawn, str]:
    x: dict[Side, np.ndarray] = {"train": data.x_train, "test": data.x_test}
    low = min(float(part.min()) for part in x.values())
    high = max(float(part.max()) for part in x.values())
    white = 1.0 if high <= 1 else 255.0
    known = low >= 0 and high <= white
    drawn: _Drawn = {
        side: {
            number: _picture(x[side][number], data.input_shape, white if known else None)
            for number in numbers
        }
        for side, numbers in sides.items()
    }
    if known:
        how = f"Pixels are drawn as they are: 0 is black, {white:g} is white."
    else:
        how = (
            "Each image is stretched from its own lowest value (black) to its own highest (white): "
            "the data do not say which value is which brightness, so images cannot be compared in "
            "it."
        )
    return drawn, how


def _picture(
    x: Float32[np.ndarray, " features"], shape: Sequence[int], white: float | None
) -> Json:
    """An image with its size on the page; ``white``: the value that is white, 0 being black."""
    values = x.astype(np.float64)
    if white is None:
        values -= values.min()
        white = float(values.max()) or 1.0
    pixels = np.rint(255 / white * values).astype(np.uint8)
    image = _enlarged(Image.fromarray(_channels_last(pixels, shape)))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=9)
    return {
        "png": base64.b64encode(buffer.getvalue()).decode(),
        "width": image.width,
        "height": image.height,
    }


def _channels_last(
    pixels: UInt8[np.ndarray, " features"], shape: Sequence[int]
) -> UInt8[np.ndarray, "height width ..."]:
    """The pixels as Pillow takes them: height × width, with three channels last if in colour."""
    cube = pixels.reshape(shape)
    if cube.ndim == 3 and shape[0] in (1, 3):
        cube = cube.transpose(1, 2, 0)
    return np.ascontiguousarray(cube[..., 0] if cube.ndim == 3 and cube.shape[2] == 1 else cube)


def _enlarged(image: Image.Image) -> Image.Image:
    """The image with each pixel a square of whole pixels; made smaller where it is too large."""
    longest = max(image.size)
    if longest > LONGEST_SIDE:
        size = (max(1, side * LONGEST_SIDE // longest) for side in image.size)
        return image.resize((next(size), next(size)), Image.Resampling.BOX)
    factor = LONGEST_SIDE // longest
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _cells(examples: Examples, chosen: Wanted) -> tuple[_Drawn, str]:
    assert examples.rows is not None, "what is no picture is a table, or an array of numbers"
    rows = examples.rows()
    telling = rows.telling_columns(chosen.train)
    columns: dict[Side, dict[int, list[str]]] = {"train": telling, "test": {}}
    for pair in chosen.pairs:
        # Both rows of a pair in the same columns; the strongest pair of a test example decides.
        columns["test"].setdefault(pair.test, telling[pair.train])
    drawn: _Drawn = {
        side: {number: {"cells": cells} for number, cells in rows.cells(side, shown).items()}
        for side, shown in columns.items()
    }
    how = (
        "Rows are shown with the values of the file, in the columns that models learned from; "
        "columns that no model saw (identifiers, constants) are left out."
    )
    total = rows.table.num_columns
    if total > MOST_CELLS:
        how += (
            f" Of {count(total)} columns each training row shows the {MOST_CELLS} in which it is "
            "least like the other rows with its label; a test row shows those of its training row."
        )
    return drawn, how
