"""One entry: the name of a data set, a file or a folder → a :class:`Dataset`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from audit.data.adult import adult
from audit.data.arrays import ARRAY_SUFFIXES, arrays
from audit.data.builtin import digits
from audit.data.dataset import Dataset
from audit.data.examples import Examples
from audit.data.groupings import group
from audit.data.images import image_folder
from audit.data.names import did_you_mean
from audit.data.subpopulations import DEFAULT_CLUSTERS_PER_CLASS
from audit.data.table_reader import CSV_SUFFIXES, PARQUET_SUFFIXES
from audit.data.tabular import tabular
from audit.data.vision import TORCHVISION, default_root, torchvision_examples
from audit.errors import BadInput
from audit.files import home_expanded

DEFAULT_TEST_FRACTION = 0.25

BUILTIN: dict[str, str] = {
    "digits": "1,797 handwritten digits, 8×8 pixels, 10 classes; groups: writing styles, class",
    "adult": "48,842 people of the 1994 US census, income > $50,000; groups: sex, race, sex×race",
} | {
    f"torchvision:{name}": f"{what} (files from --data-root)" for name, what in TORCHVISION.items()
}


def load(
    source: str,
    *,
    label: str | None = None,
    subgroups: Sequence[str] = (),
    seed: int,
    clusters_per_class: int = DEFAULT_CLUSTERS_PER_CLASS,
    test_fraction: float = DEFAULT_TEST_FRACTION,
    data_root: Path | None = None,
) -> Dataset:
    """The data set that ``source`` names; downloads nothing.

    Args:
        source: ``digits``, ``adult``, ``torchvision:NAME``, a ``.csv``, ``.tsv``, ``.parquet``,
            ``.npz`` or ``.npy`` file, or a folder with a sub-folder of images per class.
        label: the column to predict (tables), or the file with the labels (``.npy``).
        subgroups: groupings asked for, see :func:`audit.data.groupings.group`; none means the
            data set's own.
        seed: root seed of the split and of the subpopulations.
        clusters_per_class: styles looked for in each class.
        test_fraction: share of test rows where the data has no split of its own.
        data_root: where torchvision's files lie; default: ``AUDIT_DATA`` or ``data/`` here.

    Raises:
        BadInput: nothing there, unreadable, malformed or unfit for an audit; one line says which.
    """
    examples = load_examples(
        source, label=label, seed=seed, test_fraction=test_fraction, data_root=data_root
    )
    return group(examples, subgroups, clusters_per_class=clusters_per_class, seed=seed)


def load_examples(
    source: str,
    *,
    label: str | None = None,
    seed: int,
    test_fraction: float = DEFAULT_TEST_FRACTION,
    data_root: Path | None = None,
) -> Examples:
    """The same before it is grouped; arguments and errors as of :func:`load`."""
    own_label = source in ("digits", "adult") or source.startswith("torchvision:")
    if own_label and label is not None:
        raise BadInput("label", label, f"{source} has a label of its own", "Leave --label out.")
    if source == "digits":
        return digits()
    if source == "adult":
        return adult()
    if source.startswith("torchvision:"):
        return torchvision_examples(source, data_root or default_root())
    if not source.strip():
        raise BadInput("data", source, "is empty", "Name a data set, a file or a folder.")
    path = home_expanded("data", source)
    if _exists(path, Path.is_dir):
        if label is not None:
            raise BadInput(
                "label", label, "the sub-folder of an image is its class", "Leave --label out."
            )
        return image_folder(path, seed=seed, test_fraction=test_fraction)
    suffix = path.suffix.lower()
    if suffix in CSV_SUFFIXES + PARQUET_SUFFIXES:
        _require_file(source, path)
        return tabular(path, label=label, seed=seed, test_fraction=test_fraction)
    if suffix in ARRAY_SUFFIXES:
        _require_file(source, path)
        return arrays(path, label=label, seed=seed, test_fraction=test_fraction)
    raise _unknown(source, path)


def _exists(path: Path, kind: Callable[[Path], bool]) -> bool:
    try:
        return kind(path)
    except (OSError, ValueError) as error:  # no permission, name too long, a NUL character in it
        raise BadInput(
            "data", str(path), "is not a path that can be opened", "Check the name and the rights."
        ) from error


def _require_file(source: str, path: Path) -> None:
    if not _exists(path, Path.is_file):
        raise BadInput("data", source, "is no file here", "Check the path.")


def _unknown(source: str, path: Path) -> BadInput:
    if _exists(path, Path.is_file):
        return BadInput(
            "data",
            source,
            f"has a format that is not known ({path.suffix or 'no ending'})",
            "Use .csv, .tsv, .parquet, .npz or .npy.",
        )
    return BadInput(
        "data", source, "is no data set, file or folder here", did_you_mean(source, BUILTIN)
    )
