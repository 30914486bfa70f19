"""Labels and groups of a run, kept beside its shards: with them its figures can be made again.

Whoever is handed a run directory has not always the data set. Features are not stored, and are not
needed: estimates are made of who was in, who was right, which label and which group.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from audit.data.dataset import Dataset, Grouping, GroupingKind
from audit.errors import BadInput
from audit.store import RunDirectory, write_bytes

FILE = "labels.safetensors"


def save_labels(store: RunDirectory, data: Dataset) -> None:
    """Write ``labels.safetensors`` and list its SHA-256 in the manifest (not yet on disk)."""
    arrays = {"y_train": data.y_train, "y_test": data.y_test}
    for i, grouping in enumerate(data.groupings):
        arrays |= {f"group_{i}_train": grouping.train, f"group_{i}_test": grouping.test}
    names = {
        "classes": list(data.class_names),
        "groupings": [
            {
                "name": g.name,
                "kind": g.kind,
                "subgroups": list(g.subgroups),
                "uses_training_data": g.uses_training_data,
            }
            for g in data.groupings
        ],
    }
    content = save(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()},
        metadata={"names": json.dumps(names, ensure_ascii=False)},
    )
    write_bytes(store.path / FILE, content)
    store.manifest["labels"] = {"sha256": hashlib.sha256(content).hexdigest()}


def labels_digest(run: Path) -> str | None:
    """SHA-256 of the stored labels; None where there are none."""
    try:
        return hashlib.sha256((run / FILE).read_bytes()).hexdigest()
    except OSError:
        return None


def read_labels(run: Path, manifest: dict[str, Any]) -> Dataset:
    """The data set of a run as far as its estimates need it: labels and groups, no features.

    Raises:
        BadInput: no or no readable labels (a run of an earlier version, or a damaged file).
    """
    try:
        with safe_open(run / FILE, framework="numpy") as file:
            names = json.loads((file.metadata() or {})["names"])
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        data = _dataset(manifest["data"], names, arrays)
        _check_codes(data)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise BadInput(
            "run",
            str(run),
            f"has no readable {FILE} ({type(error).__name__})",
            "Give the command of the run again: it writes the file anew",
        ) from error
    return data


def _dataset(facts: dict[str, Any], names: dict[str, Any], arrays: dict[str, Any]) -> Dataset:
    if any(array.ndim != 1 or array.dtype.kind not in "iu" for array in arrays.values()):
        raise ValueError("codes that are no list of whole numbers")
    if any(g["kind"] not in get_args(GroupingKind) for g in names["groupings"]):
        raise ValueError("a grouping of no known kind")
    n, n_test = len(arrays["y_train"]), len(arrays["y_test"])
    if (n, n_test) != (facts["n"], facts["n_test"]):
        raise ValueError(f"{n} and {n_test} labels, not as many as run.json has examples")
    return Dataset(
        name=facts["name"],
        x_train=np.zeros((n, 0), dtype=np.float32),
        y_train=arrays["y_train"].astype(np.int64),
        x_test=np.zeros((n_test, 0), dtype=np.float32),
        y_test=arrays["y_test"].astype(np.int64),
        class_names=tuple(map(str, names["classes"])),
        feature_names=(),
        input_shape=(0,),
        groupings=tuple(
            Grouping(
                str(g["name"]),
                g["kind"],
                tuple(map(str, g["subgroups"])),
                arrays[f"group_{i}_train"].astype(np.int32),
                arrays[f"group_{i}_test"].astype(np.int32),
                bool(g["uses_training_data"]),
            )
            for i, g in enumerate(names["groupings"])
        ),
        source=facts["source"],
        licence=str(facts.get("licence")),
    )


def _check_codes(data: Dataset) -> None:
    """Raise ``ValueError`` unless each code names a class or subgroup that is there."""
    parts = [(data.y_train, data.y_test, len(data.class_names))]
    parts += [(g.train, g.test, len(g.subgroups)) for g in data.groupings]
    if len({g.name for g in data.groupings}) < len(data.groupings):
        raise ValueError("two groupings of one name")
    for train, test, size in parts:
        if (len(train), len(test)) != (len(data.y_train), len(data.y_test)):
            raise ValueError("groups of another length than the labels")
        for codes in (train, test):
            if codes.size and not (codes.min() >= 0 and codes.max() < size):
                raise ValueError("a code that names nothing")
