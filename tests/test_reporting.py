"""Reports of run directories that somebody else has made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from audit import cli
from audit.calibrating import setting_of
from audit.errors import AuditError, BadInput
from audit.manifest import read_manifest
from audit.reporting import write_report
from audit.results import read_results
from audit.store import read_json, write_json
from audit.stored_outputs import read_outputs
from tests.report.run_directory import write_run
from tests.report.synthetic import make


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(make(seed=3, n=200, n_test=60, styles=6), tmp_path / "r")


@pytest.mark.parametrize("name", [".report.json.tmp", "results/.summary.json.tmp", "figure.png"])
def test_a_report_is_never_written_through_a_link(run: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "precious").write_text("mine")
    (run / name).symlink_to(tmp_path / "precious")
    with pytest.raises(BadInput, match="neither a file nor a folder"):
        write_report(run, form="json")
    assert (tmp_path / "precious").read_text() == "mine"
    assert not (run / "report.json").exists()
    (run / name).unlink()
    assert write_report(run, form="json").exists()


@pytest.mark.parametrize("content", ["{}", '{"setting": 3}', '{"setting": {}}', "[]", "{"])
def test_a_calibration_that_is_none(run: Path, content: str) -> None:
    (run / "results" / "calibration.json").write_text(content)
    with pytest.raises(BadInput):
        write_report(run, form="json")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("plan", "models"), 10**12),
        (("plan", "models"), 0),
        (("data", "n"), -5),
        (("data", "n"), 10**15),
        (("inclusion", "p"), 1.5),
        (("judged_by", "in_out_delta"), 2.0),
        (("judged_by", "in_out_delta"), None),
    ],
)
def test_a_setting_that_nothing_could_calibrate(
    run: Path, place: tuple[str, str], value: float | None
) -> None:
    manifest = {**read_json(run / "run.json"), "judged_by": {"in_out_delta": 1e-5}}
    assert setting_of(manifest).models > 0
    manifest[place[0]][place[1]] = value
    with pytest.raises(BadInput):
        setting_of(manifest)


@pytest.mark.parametrize("key", ["../0-1", "standard/x", "standard/7-1", "/etc/0-1"])
def test_a_manifest_with_another_name_of_a_shard(run: Path, key: str) -> None:
    manifest = read_json(run / "run.json")
    manifest["shards"][key] = {"sha256": "0" * 64}
    write_json(run / "run.json", manifest)
    with pytest.raises(BadInput, match="is not a cohort's name"):
        read_manifest(run)


def test_more_models_than_are_planned_are_refused_before_memory_is_taken(run: Path) -> None:
    manifest = read_json(run / "run.json")
    manifest["shards"] = {f"standard/0-{10**9 - 1}": {"sha256": "0" * 64}}
    with pytest.raises(AuditError, match="shards of arm standard hold 1000000000 models"):
        read_outputs(run, manifest, "standard")


@pytest.mark.parametrize(("column", "value"), [("example", np.nan), ("exposure", "high")])
def test_an_example_that_cannot_be_shown(
    run: Path, column: str, value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run / "results" / "examples.parquet"
    frame = pd.read_parquet(path)
    frame[column] = value
    frame.to_parquet(path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["show", str(run), "3"])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "that no example can be shown from" in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize("table", ["examples", "influence", "subgroups"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300])
def test_no_figure_is_infinite(run: Path, table: str, value: float) -> None:
    path = run / "results" / f"{table}.parquet"
    frame = pd.read_parquet(path)
    column = frame.select_dtypes("float").columns[0]
    frame = pd.concat([frame, frame[:1]]) if len(frame) else frame
    if not len(frame):
        frame = pd.DataFrame({name: [0.0] for name in frame.columns})
    frame.loc[frame.index[0], column] = value
    frame.to_parquet(path)
    with pytest.raises(BadInput, match=f"{table}.parquet .*column {column} has a number beyond"):
        read_results(run)
