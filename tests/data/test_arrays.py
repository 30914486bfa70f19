"""Arrays taken as they are, and the ones that are refused (pickles above all)."""

from __future__ import annotations

import contextlib
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.data import arrays
from audit.data.outputs import open_array
from audit.data.registry import load
from audit.errors import BadInput

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2, 3))
Y = np.arange(60) % 3


def _npz(folder: Path, **stored: np.ndarray) -> str:
    np.savez(folder / "a.npz", **stored)  # type: ignore[arg-type]
    return str(folder / "a.npz")


def _refused(source: str, label: str | None = None) -> str:
    with pytest.raises(BadInput) as error:
        load(source, label=label, seed=0)
    assert str(error.value).isprintable()
    return str(error.value)


def test_split_arrays_keep_their_order_and_shape(tmp_path: Path) -> None:
    path = _npz(tmp_path, x_train=X[:40], y_train=Y[:40] + 5, x_test=X[40:], y_test=Y[40:] + 5)
    data = load(path, seed=0)
    np.testing.assert_array_equal(data.x_train, X[:40].reshape(40, 6).astype(np.float32))
    np.testing.assert_array_equal(data.y_test, Y[40:])
    assert data.input_shape == (2, 3)
    assert data.class_names == ("5", "6", "7")
    assert data.feature_names[-1] == "x[1,2]"


def test_whole_arrays_are_split_by_the_seed_with_their_groups(tmp_path: Path) -> None:
    site = np.array([f"site {k % 4}" for k in range(60)])
    age = np.where(np.arange(60) % 5 == 0, np.nan, np.arange(60) % 2)
    path = _npz(tmp_path, x=np.arange(60.0)[:, None], y=Y, site=site, age=age)
    data = load(path, subgroups=["site", "site×age"], seed=0)
    rows = data.x_test[:, 0].astype(int)
    np.testing.assert_array_equal(data.y_test, Y[rows])
    sites, crossed = data.groupings
    assert [sites.subgroups[code] for code in sites.test] == site[rows].tolist()
    assert any("(not recorded)" in name for name in crossed.subgroups)
    assert load(path, seed=0).fingerprint() != load(path, seed=1).fingerprint()


def test_npy_with_labels_beside_it(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y.astype(float))
    data = load(str(tmp_path / "x.npy"), label=str(tmp_path / "y.npy"), seed=0)
    assert data.class_names == ("0", "1", "2")
    assert len(data.x_train) + len(data.x_test) == 60


def test_bytes_become_numbers_between_0_and_1(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, size=(60, 4), dtype=np.uint8)
    data = load(_npz(tmp_path, x=pixels, y=np.array(["a", "b"] * 30)), seed=0)
    both = np.concatenate([data.x_train, data.x_test])
    np.testing.assert_allclose(
        np.sort(both, axis=None) * 255, np.sort(pixels, axis=None), atol=1e-4
    )
    assert data.class_names == ("a", "b")


class _RunsCode:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("the pickle was loaded",))


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    evil = np.array([_RunsCode()] * 60, dtype=object)
    assert "can run code" in _refused(_npz(tmp_path, x=X, y=evil))
    assert "can run code" in _refused(_npz(tmp_path, x=X, y=Y, extra=evil))
    np.save(tmp_path / "x.npy", evil)
    np.save(tmp_path / "y.npy", Y)
    assert "can run code" in _refused(str(tmp_path / "x.npy"), str(tmp_path / "y.npy"))
    (tmp_path / "p.npy").write_bytes(pickle.dumps(_RunsCode()))
    assert "no readable NumPy file" in _refused(str(tmp_path / "p.npy"), str(tmp_path / "y.npy"))


NAN = np.where(np.arange(360).reshape(60, 6) == 13, np.nan, 1.0)

BAD: list[tuple[dict[str, np.ndarray], str]] = [
    ({"a": X}, "neither x_train"),
    ({}, "nothing"),
    ({"x": X, "y": Y[:-1]}, "59 labels for 60 rows"),
    ({"x": X, "y": np.eye(3)[Y]}, "argmax"),
    ({"x": X, "y": Y + 0.5}, "not whole numbers"),
    ({"x": X, "y": np.where(Y, np.nan, 0)}, "not whole numbers"),
    ({"x": X, "y": np.arange(60)}, "60 different labels"),
    ({"x": X, "y": np.zeros(60, dtype=int)}, "1 class"),
    ({"x": X[:, 0, 0], "y": Y}, "shape (60,)"),
    ({"x": X[:, :0], "y": Y}, "shape (60, 0, 3)"),
    ({"x": X + 1j, "y": Y}, "complex128"),
    ({"x": np.full((60, 2), "a"), "y": Y}, "not real numbers"),
    ({"x": NAN, "y": Y}, "first in row 2"),
    ({"x": np.full((60, 2), 1e300), "y": Y}, "too large for float32"),
    ({"x": X, "y": Y, "g": Y[:5]}, "one group per row"),
    ({"x_train": X, "y_train": Y, "x_test": X[:, :1], "y_test": Y}, "x_test of (1, 3)"),
    ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y[:3]}, "3 labels for 60 rows"),
    ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y.astype(str)}, "same kind"),
    ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y, "g_train": Y}, "g_test"),
]


@pytest.mark.parametrize(("stored", "message"), BAD, ids=[message for _, message in BAD])
def test_arrays_that_do_not_fit(
    tmp_path: Path, stored: dict[str, np.ndarray], message: str
) -> None:
    assert message in _refused(_npz(tmp_path, **stored))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x93NUMPY\x01\x00", b"text"])
def test_damaged_files(tmp_path: Path, content: bytes) -> None:
    for name in ("a.npz", "a.npy"):
        (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "y.npy", Y)
    assert "no readable NumPy file" in _refused(str(tmp_path / "a.npz"))
    assert "no readable NumPy file" in _refused(str(tmp_path / "a.npy"), str(tmp_path / "y.npy"))


def test_damage_inside_an_archive(tmp_path: Path) -> None:
    header = b"\x93NUMPY\x01\x00\x76\x00" + (
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999999, 9), }".ljust(117)
        + b"\n"
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", header)
    assert "no readable NumPy file" in _refused(str(tmp_path / "a.npz"))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("readme.txt", "text")
    assert "no readable NumPy file" in _refused(str(tmp_path / "a.npz"))
    np.savez_compressed(tmp_path / "a.npz", x=X, y=Y)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[200:260] = b"\0" * 60
    (tmp_path / "a.npz").write_bytes(content)
    assert "no readable NumPy file" in _refused(str(tmp_path / "a.npz"))


def test_labels_of_an_npy_are_required_and_must_be_there(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    assert "Add --label" in _refused(str(tmp_path / "x.npy"))
    assert "no file here" in _refused(str(tmp_path / "x.npy"), str(tmp_path / "none.npy"))
    assert "its own labels" in _refused(_npz(tmp_path, x=X, y=Y), "y")


def test_an_archive_that_unpacks_to_too_much_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros((1_000, 1_000)), y=Y)
    assert (tmp_path / "bomb.npz").stat().st_size < 20_000
    monkeypatch.setattr(arrays, "_MOST_STORED_BYTES", 7_000_000)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("it was read"))
    assert "unpacks to" in _refused(str(tmp_path / "bomb.npz"))


@pytest.mark.parametrize("how", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_an_entry_that_cannot_be_unpacked(tmp_path: Path, how: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", how) as archive:
        archive.writestr("x.npy", bytes(2000))
        archive.writestr("y.npy", b"y")
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[40:60] = b"\xff" * 20
    (tmp_path / "a.npz").write_bytes(content)
    assert "no readable NumPy file" in _refused(str(tmp_path / "a.npz"))


def test_infinite_labels_are_no_classes(tmp_path: Path) -> None:
    y = np.where(np.arange(40) % 2, 1.0, np.inf)
    assert "not whole numbers" in _refused(_npz(tmp_path, x=np.zeros((40, 2)), y=y))


def test_labels_that_are_no_file(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((40, 2)))
    os.mkfifo(tmp_path / "y.npy")
    for label in (str(tmp_path / "y.npy"), "/dev/zero", str(tmp_path)):
        assert "is not a file" in _refused(str(tmp_path / "x.npy"), label)
    assert "home of nobody" in _refused(str(tmp_path / "x.npy"), "~nobody-of-this-name/y.npy")


_HEADERS = st.one_of(
    st.text(max_size=80),
    st.builds(
        "{{'descr': {!r}, 'fortran_order': {}, 'shape': ({},)}}".format,
        st.sampled_from(["<f4", "|O", "<U9", "<f99", "x", "<M8[ns]", "|V0"]),
        st.sampled_from(["False", "True", "0", "'no'"]),
        st.one_of(st.integers(-3, 2**70), st.floats(), st.sampled_from(["True", "(", "'a'", "2,"])),
    ),
)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(header=_HEADERS, body=st.binary(max_size=64), version=st.sampled_from([1, 2, 3, 7]))
def test_whatever_a_header_says_it_is_an_array_or_one_line(
    tmp_path: Path, header: str, body: bytes, version: int
) -> None:
    text = header.encode("utf-8", errors="replace")
    size = len(text).to_bytes(2 if version == 1 else 4, "little")
    content = b"\x93NUMPY" + bytes([version, 0]) + size + text + body
    (tmp_path / "x.npy").write_bytes(content)
    np.save(tmp_path / "y.npy", np.arange(4))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", content)
        archive.write(tmp_path / "y.npy", "y.npy")
    for source, label in (("x.npy", str(tmp_path / "y.npy")), ("a.npz", None)):
        with contextlib.suppress(BadInput):
            load(str(tmp_path / source), label=label, seed=0)
    with contextlib.suppress(BadInput):
        assert isinstance(open_array("margins", tmp_path / "x.npy").array, np.ndarray)
