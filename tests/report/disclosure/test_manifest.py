"""run.json in public: file names in the place of paths, nothing that quotes the data."""

from __future__ import annotations

import pytest

from audit.report.disclosure.manifest import file_name, manifest


def test_the_command_line_is_not_told() -> None:
    """Without --seed it would tell that the seed is the default one."""
    for line in ("audit run --epsilon 2", "audit run --seed 7"):
        shown = manifest(run() | {"command_line": line})["command_line"]
        assert shown == "not shown in this profile"


def test_what_is_no_path_stays() -> None:
    for text in ("digits", "https://example.org/a/b", "s3://bucket/key", ""):
        assert file_name(text) == text
    assert file_name("file:///srv/eve/x.csv") == "x.csv"


def run(**data: object) -> dict:
    return {"command_line": "audit run", "data": {"n": 5, "n_test": 5, **data}}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("read from /srv/eve/x.csv, and '~/y/z.csv'.", "read from x.csv, and 'z.csv'."),
        ("as in /srv/a b/split.csv", "as in split.csv"),
        ("see ./runs/x (dir:/var/log/y)", "see x (dir:y)"),
        ("C:\\a\\b.csv or c:/d/e", "b.csv or e"),
        ("add/remove one example; n/a; 1/128–1/64; p_in / p_out; doi:10.24432/C5XW20",) * 2,
        ("https://example.org/a/b",) * 2,
    ],
)
def test_paths_inside_texts_are_cut_and_other_slashes_are_not(text: str, shown: str) -> None:
    found = manifest(run(notes={"split": [text]}))
    assert found["data"]["notes"]["split"] == [shown]


def test_examples_and_quotations_are_taken_out_and_the_rest_stays() -> None:
    given = run(source="/srv/eve/p.csv", warnings=["id 17 twice", "x"]) | {
        "canaries": {"kind": "ood", "count": 2, "source": [7, 8], "label": [0, 1]},
        "config": {"data": "/srv/eve/p.csv", "seed": 3},
        "origin": {"arrays": {"membership": {"file": "runs/eve/m.npy", "sha256": "ab"}},
                   "tables": {"train-table": {"file": "/srv/t.csv", "sha256": "cd"}}},
        "learners": {"dp": {"warnings": {"W": {"models": 2, "first": "row 17 is odd"}}}},
        "arms": {"standard": {"kind": "standard"}},
        "shards": {"standard/0-24": {"sha256": "ef", "diverged": 0},
                   "without-0.25/0-24": {"sha256": "ab", "diverged": 0}},
        "seed": 3,
    }  # fmt: skip
    shown = manifest(given)
    assert shown["data"]["source"] == "p.csv"
    assert shown["data"]["warnings"] == ["2 warnings about the data in the internal report"]
    assert shown["canaries"] == {"kind": "ood", "count": 2}
    # Whoever knows the seed, or could try seeds against a digest, could draw the noise again.
    assert (shown["config"], shown["seed"], shown["config_sha256"]) == ({}, None, None)
    assert shown["origin"]["arrays"]["membership"] == {"file": "m.npy", "sha256": "ab"}
    assert shown["origin"]["tables"]["train-table"]["file"] == "t.csv"
    assert shown["learners"]["dp"]["warnings"]["W"] == {
        "models": 2, "first": "not shown in this profile"}  # fmt: skip
    # A removal's arms are named after a threshold of memorization that some examples reached.
    assert list(shown["shards"]) == ["standard/0-24"]
    assert given["data"]["source"] == "/srv/eve/p.csv"
    assert given["canaries"]["source"] == [7, 8]
    assert given["origin"]["arrays"]["membership"]["file"] == "runs/eve/m.npy"
