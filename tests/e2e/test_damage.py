"""Run directories travel and get damaged: one line, exit code 2, and the run can make them anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from audit.errors import BadInput
from audit.manifest import read_manifest
from audit.reporting import write_report
from audit.results import read_results
from audit.store import read_json
from tests.e2e.command import assert_refused, audit


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small finished run; tests work on copies of its files."""
    folder = tmp_path_factory.mktemp("damage")
    done = audit("run", "--models", "4", "--model", "linear", "--out", "r", cwd=folder)
    assert done.code == 3, done
    return folder / "r"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(finished, tmp_path / "r"))


def paths_into(value: Any, prefix: tuple = ()) -> list[tuple]:
    """Every place in a JSON document, down to four levels."""
    found = [prefix] if prefix else []
    if isinstance(value, dict) and len(prefix) < 4:
        for key, inner in value.items():
            found += paths_into(inner, (*prefix, key))
    return found


def damaged(document: dict, path: tuple, value: Any) -> dict:
    copy = json.loads(json.dumps(document))
    place = copy
    for key in path[:-1]:
        place = place[key]
    if value is KeyError:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return copy


@pytest.mark.parametrize("name", ["run.json", "results/summary.json"])
def test_no_damage_to_a_json_file_ends_in_a_traceback(run: Path, name: str):
    """Each damage is drawn all the same (it was not needed) or refused in one line."""
    document = read_json(run / name)
    places = [p for p in paths_into(document) if "privacy_curve" not in p]
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(places))[:10]
    refused = 0
    for index in chosen:
        for value in (KeyError, None, "text"):
            (run / name).write_text(json.dumps(damaged(document, places[index], value)))
            message = drawn_or_refused(run)
            refused += message is not None
            assert "\n" not in (message or "")
    assert refused > 0


def drawn_or_refused(run: Path) -> str | None:
    try:
        write_report(run)
    except BadInput as error:
        return str(error)
    return None


def test_a_damaged_manifest_is_refused_before_anything_is_written(run: Path):
    manifest = read_json(run / "run.json")
    before = (run / "results" / "summary.json").read_bytes()
    for path, value in (
        (("shards",), []),
        (("shards", "standard/0-3"), 5),
        (("shards", "standard/0-3", "seconds"), "long"),
        (("config",), None),
        (("data", "fingerprint"), 7),
        (("cross_check", "standard"), {}),
        (("schema_version",), 2),
    ):
        (run / "run.json").write_text(json.dumps(damaged(manifest, path, value)))
        with pytest.raises(BadInput, match=path[-1].split("/")[0]):
            read_manifest(run)
    assert (run / "results" / "summary.json").read_bytes() == before
    (run / "run.json").write_text("{}")
    done = audit("run", "--models", "4", "--model", "linear", "--out", run, cwd=run.parent)
    assert_refused(done, "schema_version")


def test_a_deleted_cross_check_is_done_again(run: Path):
    manifest = read_json(run / "run.json")
    del manifest["cross_check"]["standard"]
    (run / "run.json").write_text(json.dumps(manifest))
    done = audit("run", "--models", "4", "--model", "linear", "--out", run, cwd=run.parent)
    assert done.code == 3, done
    assert read_json(run / "run.json")["cross_check"]["standard"]["passed"]


@pytest.mark.parametrize("table", ["examples", "influence", "subgroups"])
def test_damaged_tables_are_refused(run: Path, table: str):
    path = run / "results" / f"{table}.parquet"
    frame = pd.read_parquet(path)
    frame.drop(columns=frame.columns[3]).to_parquet(path)
    with pytest.raises(BadInput, match="no column"):
        read_results(run)
    path.write_bytes(b"PAR1 not parquet")
    with pytest.raises(BadInput, match=f"{table}.parquet"):
        read_results(run)
    path.unlink()
    path.mkdir()
    with pytest.raises(BadInput, match=f"{table}.parquet"):
        read_results(run)
