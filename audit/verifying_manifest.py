"""What run.json says that follows from something else it says, or from the shards.

Verification believes run.json in nothing that it can make again: what a claim means between in and
out, the privacy curve, which arms, settings and models the hashed configuration asks for, and who
was in which subset.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audit.accounting import privacy_curve, swap_curve
from audit.claims import STANDARD
from audit.controls import Control
from audit.errors import AuditError
from audit.estimates.memorization import memorization
from audit.estimating import removal_is_complete
from audit.inclusion import membership, neighbour_guarantee
from audit.plan_removal import digest, reached, removals
from audit.shards import read_shards
from audit.stored_outputs import read_outputs

# Accountants of other versions differ by what their grids leave open.
ACCOUNTED = 1e-3


@dataclass(frozen=True)
class Check:
    """One thing to be checked: whether it holds (None: it could not be checked), what was seen."""

    what: str
    holds: bool | None
    seen: str


def manifest_checks(path: Path, manifest: dict[str, Any]) -> Iterator[Check]:
    """Every check of ``manifest`` against itself and against the shards in ``path``."""
    for arm, facts in manifest["arms"].items():
        if facts.get("epsilon") is not None:
            yield _meaning(arm, facts, manifest["inclusion"]["design"])
        if facts.get("privacy_curve") and facts.get("noise_multiplier") is not None:
            yield _curve(arm, facts, manifest["inclusion"]["design"])
    yield _cohorts(manifest)
    # Of outputs that were brought, run.json records what was stated: there is no plan behind it.
    if manifest["config"].get("command", "run") == "run":
        yield _asked_for(manifest)
        yield _subsets(path, manifest)
        if "removal" in manifest:
            yield _removed(path, manifest)


def _meaning(arm: str, facts: dict[str, Any], design: Any) -> Check:
    stated = (facts.get("in_out_epsilon"), facts.get("in_out_delta"))
    adjacency = facts.get("adjacency", "add_remove")
    meant = neighbour_guarantee(facts["epsilon"], facts["delta"], design, adjacency)
    same = all(_close(a, b, 1e-9) for a, b in zip(stated, meant, strict=True))
    shown = f"ε = {meant[0]:g}, δ = {meant[1]:.3g} between in and out"
    return Check(f"claim of {arm}", same, shown if same else f"{shown}; stated {stated}")


def _curve(arm: str, facts: dict[str, Any], design: Any) -> Check:
    made = privacy_curve(
        facts["noise_multiplier"], sample_rate=facts["sample_rate"], steps=facts["steps"]
    )
    if design == "fixed" and facts.get("adjacency", "add_remove") == "add_remove":
        made = swap_curve(made)
    stated = facts["privacy_curve"]
    pairs = [(stated.get("epsilon"), made.epsilon), (stated.get("delta"), made.delta)]
    same = all(
        np.shape(a) == b.shape and np.allclose(a, b, rtol=ACCOUNTED, atol=1e-12) for a, b in pairs
    )
    seen = "as from noise multiplier, sampling rate and steps"
    return Check(f"privacy curve of {arm}", same, seen if same else f"not {seen}")


def _cohorts(manifest: dict[str, Any]) -> Check:
    """Each arm has every model of the plan once."""
    models = manifest["plan"]["models"]
    wrong = []
    for arm in manifest["arms"]:
        spans = sorted(
            tuple(int(x) for x in key.partition("/")[2].split("-"))
            for key in manifest["shards"]
            if key.partition("/")[0] == arm
        )
        covered = [model for first, last in spans for model in range(first, last + 1)]
        if covered != list(range(models)):
            wrong.append(arm)
    seen = f"{models} of each arm, each once"
    return Check("models", not wrong, seen if not wrong else f"not {seen}: {', '.join(wrong)}")


def _asked_for(manifest: dict[str, Any]) -> Check:
    """The hashed configuration asks for what is there: arms, settings, models, seed, subsets."""
    config, arms = manifest["config"], manifest["arms"]
    claimed = [facts["epsilon"] for facts in arms.values() if facts.get("epsilon") is not None]
    pairs: list[tuple[str, Any, Any]] = [
        ("seed", manifest["seed"], config.get("seed")),
        ("models", manifest["plan"]["models"], config.get("models")),
        ("subsets", manifest["inclusion"]["design"], config.get("design")),
        ("share", manifest["inclusion"]["p"], config.get("inclusion_probability")),
    ]
    controls = sorted(_control_name(facts) for facts in arms.values() if facts["kind"] == "control")
    pairs.append(("controls", sorted(set(controls)), sorted(config.get("controls") or [])))
    if not manifest.get("no_private_arm"):
        pairs.append(("ε", sorted(claimed), sorted(config.get("epsilon") or [])))
    for arm, facts in arms.items():
        control, has = facts.get("control") or {}, facts.get("hyperparameters") or {}
        settings = config.get(control.get("of", facts["kind"])) or {}
        if control and not control.get("clips"):
            has = {key: value for key, value in has.items() if key != "clip_norm"}
        pairs += [(f"{key} of {arm}", has[key], settings.get(key)) for key in has]
        if facts.get("clip_norm") is not None:
            pairs.append((f"clip_norm of {arm}", facts["clip_norm"], has.get("clip_norm")))
    # "auto" and what a configuration leaves open were decided by the plan.
    wrong = [what for what, there, asked in pairs if asked not in (None, "auto", there)]
    seen = "arms, settings, models and seed are those of the configuration"
    return Check("plan", not wrong, seen if not wrong else f"other: {', '.join(wrong[:8])}")


def _control_name(facts: dict[str, Any]) -> Any:
    """As the configuration names it; whatever else stands there is none of these."""
    control = facts.get("control") or {}
    return Control(control.get("name", ""), control.get("share", 0.0)).name


def _subsets(path: Path, manifest: dict[str, Any]) -> Check:
    """Who was in which training set follows from the seed."""
    what, inclusion = "subsets", manifest["inclusion"]
    wrong = []
    for arm in manifest["arms"]:
        first, same = 0, True
        try:
            for shard in read_shards(path, manifest, arm, margins=False, damaged="read"):
                models = range(first, first + len(shard.membership))
                drawn = membership(
                    shard.membership.shape[1], models, p=inclusion["p"],
                    design=inclusion["design"], seed=manifest["seed"],
                )  # fmt: skip
                same &= bool(np.array_equal(drawn, shard.membership))
                first = models.stop
        except AuditError as error:
            return Check(what, False, str(error).partition(":")[0])
        if not same:
            wrong.append(arm)
    seen = "as drawn from the seed"
    return Check(what, not wrong, seen if not wrong else f"not {seen}: {', '.join(wrong)}")


def _removed(path: Path, manifest: dict[str, Any]) -> Check:
    """Who was removed follows from the standard arm's memorization, and is in no subset."""
    what, facts, inclusion = "removal", manifest["removal"], manifest["inclusion"]
    if not removal_is_complete(manifest):
        return Check(what, None, "begun and not finished: nothing is said of it")
    try:
        standard = read_outputs(path, manifest, STANDARD, damaged="read")
        mem = memorization(standard.membership, standard.train_correct).mem
        conditions = removals(facts["thresholds"], mem)
        wrong = [
            f"{threshold:g}"
            for threshold in facts["thresholds"]
            if (reached(mem, threshold).size, digest(reached(mem, threshold)))
            != (facts["removed"][f"{threshold:g}"], facts["removed_sha256"][f"{threshold:g}"])
        ]
        for condition in conditions:
            seen = read_outputs(path, manifest, condition.name, damaged="read").membership
            models = range(facts["first"], facts["first"] + facts["models"])
            drawn = membership(
                seen.shape[1], models, p=inclusion["p"], design=inclusion["design"],
                seed=manifest["seed"],
            ) & ~condition.of(seen.shape[1], models, seed=manifest["seed"])  # fmt: skip
            if not np.array_equal(drawn, seen):
                wrong.append(condition.name)
    except (AuditError, ValueError, TypeError, OverflowError) as error:
        return Check(what, None, f"could not be checked: {' '.join(str(error).split())[:200]}")
    seen_words = "removed as memorization says, from subsets drawn from the seed"
    return Check(what, not wrong, seen_words if not wrong else f"other: {', '.join(wrong[:8])}")


def _close(stated: Any, made: float, relative: float) -> bool:
    return isinstance(stated, int | float) and math.isclose(stated, made, rel_tol=relative)
