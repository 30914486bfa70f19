"""The section that lets someone else repeat the run: data, settings, versions, checks, hashes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.report.blocks import NUMBER, TEXT, section, table, text
from audit.report.words import Json, arm_label, count, general, joined, name, number

_LONG_TEXT = 400


def provenance_section(run: Mapping[str, Any]) -> Json:
    """Cross-check, data, training of each arm, run and software."""
    blocks = [_cross_check(run), _data(run), _training(run), _run(run)]
    return section("provenance", "Provenance", [b for b in blocks if b])


def _facts(caption: str, rows: list[tuple[str, object]], note: str = "") -> Json:
    cells = [[label, name(value, _LONG_TEXT)] for label, value in rows if value not in (None, "")]
    return table(caption, [("Item", TEXT), ("Value", TEXT)], cells, note)


def _cross_check(run: Mapping[str, Any]) -> Json:
    checks = run.get("cross_check") or {}
    if not checks:
        return text("The training engine was not checked against an independent one in this run.")
    rows = [
        [
            arm_label(arm, run),
            f"{'checked against' if c.get('passed') else 'DIFFERS from'} "
            f"{c.get('against', 'the reference loop')} in this run",
            str(c.get("model", "?")),
            count(c.get("steps")),
            general(c.get("parameters_relative_difference"), 2),
            general(c.get("outputs_max_difference"), 2),
            f"{count(c.get('predictions_differing'))} of {count(c.get('predictions'))}",
            general(c.get("tolerance"), 2),
        ]
        for arm, c in checks.items()
    ]
    columns = [("Arm", TEXT), ("Check", TEXT), ("Model", NUMBER), ("Steps", NUMBER)]
    columns += [
        ("Parameters, relative difference", NUMBER),
        ("Outputs, largest difference", NUMBER),
    ]
    columns += [("Predictions that differ", NUMBER), ("Tolerance", NUMBER)]
    return table(
        "Live cross-check of the training engine",
        columns,
        rows,
        "One model per arm was trained once more from the same subset, minibatches and noise by an "
        "independent implementation, in this run, on this machine.",
    )


def _data(run: Mapping[str, Any]) -> Json:
    data = run["data"]
    groupings = [
        f"{name(g['name'])} ({g.get('kind')}, {count(g.get('subgroups'))} subgroups"
        f"{', drawn from training data' if g.get('uses_training_data') else ''})"
        for g in data.get("groupings") or []
    ]
    rows: list[tuple[str, object]] = [
        ("Name", data.get("name")),
        ("Source", data.get("source")),
        ("Licence", data.get("licence")),
        ("Examples", f"{count(data.get('n'))} training, {count(data.get('n_test'))} test"),
        ("Features", f"{count(data.get('features'))} (shape {data.get('input_shape')})"),
        ("Classes", len(data.get("classes") or [])),
        ("Groupings", "; ".join(groupings)),
        ("Fitted on training data (outside every ε)",
         "; ".join(map(name, data.get("fitted_on_train") or [])) or "nothing"),
        ("Warnings", "; ".join(name(w, 200) for w in data.get("warnings") or [])),
        *((name(k), v) for k, v in (data.get("notes") or {}).items()),
        ("Fingerprint (SHA-256)", data.get("fingerprint")),
    ]  # fmt: skip
    return _facts("Data", rows)


def _training(run: Mapping[str, Any]) -> Json:
    arms = run.get("arms") or {}
    settings = list(dict.fromkeys(k for f in arms.values() for k in f.get("hyperparameters") or {}))
    rows = [
        [
            name(key.replace("_", " ")),
            *(_setting(f.get("hyperparameters") or {}, key) for f in arms.values()),
        ]
        for key in settings
    ]
    rows.append(
        ["sampling rate per step", *(general(f.get("sample_rate"), 4) for f in arms.values())]
    )
    rows.append(["steps", *(count(f.get("steps")) for f in arms.values())])
    rows.append(
        ["tuning", *(name(f.get("tuning", "not recorded"), _LONG_TEXT) for f in arms.values())]
    )
    engines = run.get("engine") or {}
    rows.append(["engine", *(name(engines.get(a, {}).get("name", "not recorded")) for a in arms)])
    rows.append(
        ["why this engine", *(name(engines.get(a, {}).get("why", "–"), _LONG_TEXT) for a in arms)]
    )
    seconds = (run.get("timings") or {}).get("training_seconds") or {}
    rows.append(["training time (s)", *(number(seconds.get(a), 1) for a in arms)])
    model, inclusion = run.get("model") or {}, run.get("inclusion") or {}
    plan = run.get("plan") or {}
    note = (
        f"Model: {name(model.get('name'))} ({name(model.get('description'), 200)}, "
        f"{count(model.get('parameters'))} parameters), the same in all arms. "
        f"{count(plan.get('models'))} models per arm, subsets by {inclusion.get('design')} "
        f"inclusion with p = {general(inclusion.get('p'))}; model k of every arm trains on the "
        "same subset. The arms are tuned separately, so each difference of accuracy includes that."
    )
    return table(
        "Training", [("Setting", TEXT), *((arm_label(a, run), NUMBER) for a in arms)], rows, note
    )


def _setting(settings: Mapping[str, Any], key: str) -> str:
    value = settings.get(key, "–")
    return general(value, 6) if isinstance(value, float) else name(value)


def _run(run: Mapping[str, Any]) -> Json:
    tool, hardware = run.get("tool") or {}, run.get("hardware") or {}
    versions = [f"{k} {v}" for k, v in (run.get("versions") or {}).items()]
    rows: list[tuple[str, object]] = [
        ("Command line", run.get("command_line")),
        ("Seed", run.get("seed")),
        ("Why this many models", (run.get("plan") or {}).get("models_reason")),
        ("Started, finished", f"{run.get('created')}, {run.get('finished')}"),
        ("Tool", f"{tool.get('name')} {tool.get('version')}, "
                 f"commit {tool.get('commit') or 'not recorded'}"),
        ("Versions", joined(versions)),
        ("Hardware", f"{hardware.get('device')}, {hardware.get('processor')}, "
                     f"{count(hardware.get('cores'))} cores, "
                     f"{general(hardware.get('memory_gib'))} GiB"),
        ("Configuration (SHA-256)", run.get("config_sha256")),
        ("Shard files", f"{count(len(run.get('shards') or {}))}; their SHA-256 are in run.json"),
    ]  # fmt: skip
    return _facts("Run", rows)
