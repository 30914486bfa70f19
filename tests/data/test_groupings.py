"""Parsing --subgroups, crossings, classes, unknown names, and the k-means subpopulations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.data.dataset import Grouping
from audit.data.groupings import crossing, parse_subgroups
from audit.data.names import distinct_names, printable
from audit.data.registry import load
from audit.data.subpopulations import _merge, subpopulations
from audit.errors import BadInput


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("sex,race,sex×race", ("sex", "race", "sex×race")),
        (" sex , race*sex ", ("sex", "race*sex")),
        ("sex,sex", ("sex",)),
        ('"last, first",sex', ("last, first", "sex")),
        ("", ()),
        ("  ", ()),
    ],
)
def test_parse_subgroups(text: str, parts: tuple[str, ...]) -> None:
    assert parse_subgroups(text) == parts


@pytest.mark.parametrize("text", ["sex,,race", ",", "sex,", '"sex', 'a\n"b'])
def test_parse_refuses(text: str) -> None:
    with pytest.raises(BadInput) as error:
        parse_subgroups(text)
    assert "\n" not in str(error.value)


def test_star_and_times_cross_alike() -> None:
    star = load("adult", subgroups=["sex*race"], seed=0)
    times = load("adult", subgroups=["sex×race", "sex*race"], seed=0)
    assert len(times.groupings) == 1
    assert star.groupings[0].subgroups == times.groupings[0].subgroups
    np.testing.assert_array_equal(star.groupings[0].test, times.groupings[0].test)


def test_class_and_subpopulations_can_be_crossed_with_columns() -> None:
    data = load("adult", subgroups=["class", "income*sex", "subpopulations"], seed=0)
    by_class, crossed, styles = data.groupings
    assert by_class.name == "income"
    assert by_class.kind == "class"
    assert crossed.subgroups == (
        "<=50K × Female",
        "<=50K × Male",
        ">50K × Female",
        ">50K × Male",
    )
    assert styles.uses_training_data
    assert not crossed.uses_training_data


@pytest.mark.parametrize("spec", ["sexx", "sex*rase", "fnlwgt", "×", "sex×"])
def test_unknown_columns_are_refused_with_close_matches(spec: str) -> None:
    with pytest.raises(BadInput, match=r"Did you mean|There is") as error:
        load("adult", subgroups=[spec], seed=0)
    assert "\n" not in str(error.value)


def test_more_than_a_thousand_subgroups_are_refused() -> None:
    with pytest.raises(BadInput, match="the most is 1,000"):
        load("adult", subgroups=["native_country*education*occupation"], seed=0)


CODES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=2, max_size=30)


@given(CODES)
def test_crossing_agrees_with_pairs_of_names(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs, dtype=np.int32).T
    cut = len(pairs) // 2
    one = Grouping("p", "column", ("x", "y", "x × y"), a[:cut], a[cut:])
    two = Grouping("q", "column", ("z", "y × z", "w", "v"), b[:cut], b[cut:], True)
    crossed = crossing([one, two])
    codes = np.r_[crossed.train, crossed.test]
    # Two rows share a subgroup exactly if they share both levels, whatever the names look like.
    same = (a[:, None] == a) & (b[:, None] == b)
    np.testing.assert_array_equal(codes[:, None] == codes, same)
    assert len(set(crossed.subgroups)) == len(crossed.subgroups) == len(set(pairs))
    for row, code in enumerate(codes):
        expected = f"{one.subgroups[a[row]]} × {two.subgroups[b[row]]}"
        assert crossed.subgroups[code].startswith(expected)
    assert crossed.uses_training_data


def test_names_are_one_printable_line_and_distinct() -> None:
    names = distinct_names(["a\nb", "a\\nb", "\u202egnp.exe", "x" * 500, "\x1b[31m", "a\nb"])
    assert all(name.isprintable() and len(name) <= 130 for name in names)
    assert len(set(names)) == 6
    assert printable("</script><script>alert(1)</script>") == "</script><script>alert(1)</script>"


def _blobs(sizes: list[list[int]], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Well separated blobs: the classes' blob sizes, the features, and the blob of each row."""
    rng = np.random.default_rng(seed)
    x, y, blob = [], [], []
    for label, counts in enumerate(sizes):
        for k, count in enumerate(counts):
            centre = np.zeros(6)
            centre[k] = 40.0
            x.append(centre + rng.normal(size=(count, 6)))
            y += [label] * count
            blob += [10 * label + k] * count
    return np.concatenate(x).astype(np.float32), np.array(y, dtype=np.int64), np.array(blob)


def test_subpopulations_find_planted_blobs_ordered_by_size() -> None:
    x, y, blob = _blobs([[100, 40, 12], [60, 200, 15]], seed=0)
    test = np.arange(len(x)) % 4 == 0
    grouping = subpopulations(
        x[~test],
        y[~test],
        x[test],
        y[test],
        class_names=("cat", "dog"),
        clusters_per_class=3,
        seed=0,
    )
    assert grouping.subgroups == tuple(
        f"class {name} · style {k}" for name in ("cat", "dog") for k in (1, 2, 3)
    )
    for codes, truth in ((grouping.train, blob[~test]), (grouping.test, blob[test])):
        expected = np.select([truth == t for t in (0, 1, 2, 11, 10, 12)], range(6), -1)
        np.testing.assert_array_equal(codes, expected)


def test_a_test_row_joins_the_style_of_its_nearest_centre() -> None:
    """Tested on the training rows themselves, whose nearest centre k-means has found."""
    rng = np.random.default_rng(3)
    x = (rng.normal(size=(300, 8)) * np.arange(1, 9) + 5).astype(np.float32)
    y = (np.arange(300) % 2).astype(np.int64)
    for features in (8, 80):
        wide = np.tile(x, (1, features // 8))
        grouping = subpopulations(
            wide, y, wide, y, class_names=("0", "1"), clusters_per_class=6, seed=0
        )
        assert len(set(grouping.test)) == 12
        np.testing.assert_array_equal(grouping.test, grouping.train)


def _naive_average_linkage(centres: np.ndarray, styles: int) -> list[set[int]]:
    clusters = [{k} for k in range(len(centres))]
    while len(clusters) > styles:
        mean_distance = {
            (a, b): np.mean([np.linalg.norm(centres[i] - centres[j]) for i in p for j in q])
            for a, p in enumerate(clusters)
            for b, q in enumerate(clusters)
            if a < b
        }
        a, b = min(mean_distance, key=lambda pair: mean_distance[pair])
        clusters[a] |= clusters.pop(b)
    return clusters


def test_merging_is_average_linkage() -> None:
    centres = np.random.default_rng(0).normal(size=(12, 3))
    for styles in (1, 4, 6, 11, 12, 20):
        merged = _merge(centres, styles)
        found = [set(np.flatnonzero(merged == k)) for k in np.unique(merged)]
        assert sorted(map(sorted, found)) == sorted(
            map(sorted, _naive_average_linkage(centres, styles))
        )


def test_subpopulations_look_at_training_rows_only_and_repeat() -> None:
    x, y, _ = _blobs([[50, 30], [50, 30]], seed=1)
    test = np.arange(len(x)) % 3 == 0

    def run(x_test: np.ndarray, seed: int = 0) -> Grouping:
        return subpopulations(
            x[~test],
            y[~test],
            x_test,
            y[test],
            class_names=("0", "1"),
            clusters_per_class=4,
            seed=seed,
        )

    first, other_test = run(x[test]), run(x[test] + np.float32(100))
    np.testing.assert_array_equal(first.train, other_test.train)
    np.testing.assert_array_equal(first.test, run(x[test]).test)


def test_subpopulations_of_awkward_classes() -> None:
    """Copies, a class of three, a class without training rows, more features than components."""
    rng = np.random.default_rng(0)
    x = np.zeros((90, 100), dtype=np.float32)
    x[40:] = rng.normal(size=(50, 100))
    y = np.array([0] * 40 + [1] * 47 + [2] * 3, dtype=np.int64)
    grouping = subpopulations(
        x,
        y,
        x[:4],
        np.array([0, 2, 3, 3], dtype=np.int64),
        class_names=("copies", "usual", "tiny", "unseen"),
        clusters_per_class=5,
        seed=0,
    )
    names = [name.rsplit(" · ", 1)[0] for name in grouping.subgroups]
    assert names.count("class copies") == 1
    assert names.count("class usual") == 5
    assert names.count("class tiny") == names.count("class unseen") == 1
    assert (grouping.train_counts()[:-1] > 0).all()
    assert grouping.test[2] == len(names) - 1


@pytest.mark.parametrize("number", [0, -1, 101, 10**9])
def test_number_of_clusters_is_checked(number: int) -> None:
    with pytest.raises(BadInput, match="between 1 and 100"):
        load("digits", clusters_per_class=number, seed=0)
