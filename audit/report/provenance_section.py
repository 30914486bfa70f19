"""The section that lets someone else repeat the run: data, settings, versions, checks, hashes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from audit.report.blocks import NUMBER, TEXT, section, table, text
from audit.report.brought import files_table, is_brought, not_verified
from audit.report.check_findings import (
    check_verdict,
    is_learner,
    is_reference,
    shared_words,
    trained_by,
)
from audit.report.resumed import resumed_words
from audit.report.words import Json, arm_label, count, general, joined, name, number

_LONG_TEXT = 400
_NOT_RECORDED = "(not recorded)"


def provenance_section(run: Mapping[str, Any]) -> Json:
    """Cross-check, data, training of each arm, run and software."""
    blocks = [*_cross_check(run), _data(run), _training(run), _run(run)]
    if is_brought(run):
        blocks = [text(not_verified(run, {"arms": run["arms"]})), files_table(run), _data(run),
                  _run(run)]  # fmt: skip
    return section("provenance", "Provenance", blocks)


def _facts(caption: str, rows: list[tuple[str, object]], note: str = "") -> Json:
    cells = [[label, name(value, _LONG_TEXT)] for label, value in rows if value not in (None, "")]
    return table(caption, [("Item", TEXT), ("Value", TEXT)], cells, note)


def _cross_check(run: Mapping[str, Any]) -> list[Json]:
    checks = run.get("cross_check") or {}
    blocks = [text(*_unchecked(run))]
    if not checks:
        return blocks
    rows = [_check_row(arm_label(arm, run), c) for arm, c in checks.items()]
    columns = [("Arm", TEXT), ("Check", TEXT), ("Model", NUMBER), ("Steps", NUMBER)]
    columns += [(label, NUMBER) for label in _DIFFERENCES.values()]
    columns += [("Predictions that differ", NUMBER), ("Tolerance", NUMBER)]
    kept = _some(columns, rows)
    shared = {words: None for c in checks.values() if (words := shared_words(c))}
    note = (
        "One model per arm was trained once more from the same subset, minibatches and noise by "
        "the reference loop, in this run, on this machine."
    )
    blocks.append(
        table("Live cross-check of the training engine", *kept, " ".join([note, *shared]))
    )
    return [*blocks, *_streams(checks, run)]


def _unchecked(run: Mapping[str, Any]) -> list[str]:
    """What is said of the arms without a cross-check: by design, or because it is missing."""
    checks, said = run.get("cross_check") or {}, []
    for arm, facts in (run.get("arms") or {}).items():
        if arm in checks:
            continue
        label = arm_label(arm, run)
        if is_learner(arm, run):
            said.append(
                f"{label.capitalize()}: trained by {trained_by(arm, run)} itself. No second "
                "program makes the same models, so nothing was cross-checked; this tool chose the "
                "subsets and asked the models for their answers."
            )
        elif is_reference(arm, run):
            private = facts.get("kind") == "dp" or facts.get("control", {}).get("name") in (
                "clip-only",
                "noise-only",
            )
            loop = "Opacus" if private else "a plain PyTorch loop"
            said.append(f"{label.capitalize()}: trained by {loop} itself, nothing to cross-check.")
        else:
            said.append(f"{label.capitalize()}: the engine was NOT CHECKED against the reference "
                        "loop in this run.")  # fmt: skip
    return said


_OUTCOMES = {
    "holds": "checked against",
    "fails": "DIFFERS from",
    "inconclusive": "could not be decided against",
}
_DIFFERENCES = {
    "parameters_relative_difference": "Parameters, relative difference",
    "single_step_relative_difference": "Single steps, relative difference",
    "precision_difference": "Single steps, rounded products against exact ones",
    "self_relative_difference": "Reference from itself, sums reordered",
    "outputs_max_difference": "Outputs, largest difference",
}
_STREAMS = {
    "minibatch_z": "Selected examples, standard score",
    "outside_subset": "Selected from outside the subset",
    "noise_rms_relative_error": "Size of the noise, relative error",
    "noise_step_correlation": "Noise, correlation of steps",
    "noise_model_correlation": "Noise, correlation of models",
}
# Null for arms without noise, and where the trajectories agree anyway.
_MAY_NOT_APPLY = {"self_relative_difference", "precision_difference"} | {
    k for k in _STREAMS if k.startswith("noise")
}


def _check_row(label: str, check: Mapping[str, Any]) -> list[str]:
    against = name(check.get("against", "the reference loop"), _LONG_TEXT)
    return [
        label,
        f"{_OUTCOMES[check_verdict(check)]} {against} in this run",
        str(check.get("model", "not told")),
        count(check.get("steps")),
        *(_cell(check, key) for key in _DIFFERENCES),
        f"{count(check.get('predictions_differing'))} of {count(check.get('predictions'))}",
        general(check.get("tolerance"), 2),
    ]


def _streams(checks: Mapping[str, Any], run: Mapping[str, Any]) -> list[Json]:
    """The random streams of the checked models; none where no run recorded them."""
    rows = [
        [arm_label(arm, run), *(_cell(c["stream"], key) for key in _STREAMS)]
        for arm, c in checks.items()
        if set(_STREAMS) & set(c.get("stream") or {})
    ]
    if not rows:
        return []
    columns = [("Arm", TEXT), *((label, NUMBER) for label in _STREAMS.values())]
    note = (
        "Both sides of the cross-check read the same random streams, so these are tested against "
        "what the accountant assumes: the number of selected examples against Binomial(steps × "
        "subset size, sampling rate), the noise against its planned size and independence."
    )
    kept = _some(columns, rows)
    return [table("Random streams of the checked models", *kept, note)]


def _cell(numbers: Mapping[str, Any], key: str) -> str:
    """A number; "–" where it was not recorded or does not apply, else "not estimable"."""
    if key not in numbers or (numbers[key] is None and key in _MAY_NOT_APPLY):
        return "–"
    return general(numbers[key], 2)


def _some(
    columns: list[tuple[str, str]], rows: list[list[str]]
) -> tuple[list[tuple[str, str]], list[list[str]]]:
    """Without the columns that say nothing in any row (older runs did not record them)."""
    keep = [i for i in range(len(columns)) if any(row[i] != "–" for row in rows)]
    return [columns[i] for i in keep], [[row[i] for i in keep] for row in rows]


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
        ("Features", f"{count(data.get('features'))} (shape {data.get('input_shape')})"
                     if data.get("features") else "not known here"),
        ("Classes", "not known here" if data.get("classes") == [_NOT_RECORDED]
                    else len(data.get("classes") or [])),
        ("Groupings", "; ".join(groupings)),
        ("Fitted on training data (outside every ε)",
         "; ".join(map(name, data.get("fitted_on_train") or []))
         or ("not known here" if is_brought(run) else "nothing")),
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
    if not all(is_learner(arm, run) for arm in arms):
        rates = (general(f.get("sample_rate"), 4) for f in arms.values())
        rows.append(["sampling rate per step", *rates])
        rows.append(["steps", *(count(f.get("steps")) for f in arms.values())])
    rows.append(
        ["tuning", *(name(f.get("tuning", "not recorded"), _LONG_TEXT) for f in arms.values())]
    )
    engines = run.get("engine") or {}
    rows.append(["engine", *(name(engines.get(a, {}).get("name", "not recorded")) for a in arms)])
    rows.append(
        ["why this engine", *(name(engines.get(a, {}).get("why", "–"), _LONG_TEXT) for a in arms)]
    )
    rows += _learners(run)
    seconds = (run.get("timings") or {}).get("training_seconds") or {}
    rows.append(["training time (s)", *(number(seconds.get(a), 1) for a in arms)])
    inclusion, plan = run.get("inclusion") or {}, run.get("plan") or {}
    note = (
        f"{_model_words(run)} "
        f"{count(plan.get('models'))} models per arm, subsets by {inclusion.get('design')} "
        f"inclusion with p = {general(inclusion.get('p'))}; model k of every arm trains on the "
        "same subset."
    )
    if len(arms) > 1:
        note += " The arms are tuned separately, so each difference of accuracy includes that."
    return table(
        "Training", [("Setting", TEXT), *((arm_label(a, run), NUMBER) for a in arms)], rows, note
    )


def _model_words(run: Mapping[str, Any]) -> str:
    model, arms = run.get("model") or {}, run.get("arms") or {}
    if not any(is_learner(arm, run) for arm in arms):
        return (
            f"Model: {name(model.get('name'))} ({name(model.get('description'), 200)}, "
            f"{count(model.get('parameters'))} parameters), the same in all arms."
        )
    learners = [name(engine.get("learner"), 200) for engine in (run.get("engine") or {}).values()]
    different = list(dict.fromkeys(learners))
    if len(different) == 1:
        return f"Learner: {different[0]}."
    return (
        f"Learners: {joined(different)}. The arms are different learners, so each difference of "
        "accuracy includes what else differs between them than privacy."
    )


def _learners(run: Mapping[str, Any]) -> list[list[str]]:
    """What learners that train themselves left to say: warnings, stand-ins, kind of margins."""
    notes, arms = run.get("learners") or {}, run.get("arms") or {}
    if not notes:
        return []
    models = (run.get("plan") or {}).get("models")
    found = [notes.get(arm) or {} for arm in arms]
    rows = [
        ["warnings while training", *(_warnings(n.get("warnings") or {}, models) for n in found)]
    ]
    if any(n.get("constant") for n in found):
        label = "models that always say the one class of their subset"
        rows.append([label, *(count(n.get("constant") or 0) for n in found)])
    rows.append(["margins computed from", *(joined(n.get("margins") or ["none"]) for n in found)])
    return rows


def _warnings(raised: Mapping[str, Any], models: Any) -> str:
    said = [
        f"{name(category)} in {count(entry.get('models'))} of {count(models)} models (“"
        f"{name(entry.get('first'), 160)}”)"
        for category, entry in raised.items()
    ]
    return "; ".join(said) or "none"


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
        ("Changed while the run went on; cohorts finished before were kept", resumed_words(run)),
        ("Hardware of the estimates" if is_brought(run) else "Hardware",
                     f"{hardware.get('device')}{_gpu(hardware)}, {hardware.get('processor')}, "
                     f"{count(hardware.get('cores'))} cores, "
                     f"{general(hardware.get('memory_gib'))} GiB"),
        ("Trained on a Ray cluster", _on_a_cluster(run)),
        ("Configuration (SHA-256)", run.get("config_sha256")),
        ("Trained in parts, for lack of memory", _out_of_memory(run)),
        ("Shard files", f"{count(len(run.get('shards') or {}))}; their SHA-256 are in run.json"),
    ]  # fmt: skip
    return _facts("Run", rows)


def _gpu(hardware: Mapping[str, Any]) -> str:
    return f" ({name(hardware['gpu'])})" if hardware.get("gpu") else ""


def _on_a_cluster(run: Mapping[str, Any]) -> str:
    """Cohorts that workers of a cluster trained, by what these calculate with; empty if none."""
    shards = run.get("shards") or {}
    kinds: Counter[str] = Counter()
    for entry in shards.values():
        if said := entry.get("trained_on"):
            parts = [said.get(key) for key in ("processor", "blas_kernels", "vectors", "gpu")]
            kinds[joined([name(part) for part in parts if part])] += 1
    return "; ".join(
        f"{count(cohorts)} of {count(len(shards))} cohorts by {kind}"
        for kind, cohorts in kinds.items()
    )


def _out_of_memory(run: Mapping[str, Any]) -> str:
    """Cohorts that did not fit on the device at once; empty where all did."""
    shards = run.get("shards") or {}
    parts = {key: entry.get("out_of_memory") for key, entry in shards.items()}
    return "; ".join(f"{name(key)} in {count(len(p))} parts" for key, p in parts.items() if p)
