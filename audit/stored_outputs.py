"""What all models of an arm did, read back from the shards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from audit.analysis import ArmOutputs, CanaryOutputs
from audit.errors import AuditError, BadInput
from audit.shards import Damaged, Shard, models_listed, read_shards

_MOST_COPIES = 1000


def read_outputs(
    path: Path, manifest: dict[str, Any], arm: str, *, damaged: Damaged = "refuse"
) -> ArmOutputs:
    """All models of ``arm`` from the shards, in order (``damaged``: of ``read_shards``)."""
    sizes = {"membership": "n", "train_correct": "n", "test_correct": "n_test"}
    models, planned = models_listed(manifest, arm), _planned(manifest, arm)
    if models > planned:
        raise AuditError(
            f"shards of arm {arm} hold {models} models, and run.json plans "
            f"{planned}: the manifest is damaged. Restore it, or start with "
            "another --out"
        )
    # Filled shard by shard: many models must not lie in memory twice.
    every = {
        name: np.empty((models, manifest["data"][size]), dtype=bool) for name, size in sizes.items()
    }
    margins: dict[str, np.ndarray] = {}
    canaries: list[Shard] = []
    done = 0
    for shard in read_shards(path, manifest, arm, damaged=damaged):
        rows = slice(done, done + len(shard.membership))
        for name, whole in every.items():
            _fill(whole, rows, getattr(shard, name), name, arm)
        _add_margins(margins, shard, rows, every)
        if shard.canary_coins is not None:
            canaries.append(replace(shard, train_margin=None, test_margin=None))
        done = rows.stop
    if not done:
        raise AuditError(f"no shards of arm {arm} in {path}: give the command of the run again")
    return ArmOutputs(
        **{name: whole[:done] for name, whole in (every | margins).items()},
        diverged=sum(
            entry.get("diverged", 0)
            for key, entry in manifest["shards"].items()
            if key.partition("/")[0] == arm
        ),
        canaries=_canary_outputs(canaries, manifest, arm) if canaries else None,
    )


def _planned(manifest: dict[str, Any], arm: str) -> int:
    """How many models ``arm``, or what stands in an arm's place, has by plan."""
    within = "plan" if arm in manifest["arms"] else "removal"
    return manifest[within]["models"]


def _fill(whole: np.ndarray, rows: slice, part: np.ndarray, name: str, arm: str) -> None:
    if part.shape != whole[rows].shape:
        raise AuditError(
            f"a shard of arm {arm} has {name} of shape {part.shape}, not what run.json "
            "says: give the command of the run again, or start with another --out"
        )
    whole[rows] = part


def _canary_outputs(shards: list[Shard], manifest: dict[str, Any], arm: str) -> CanaryOutputs:
    planted = manifest.get("canaries") or {}
    kind = planted.get("kind", "gradient")
    names = ("canary_coins", "canary_total", "canary_llr", "canary_margin")
    wanted = names[:3] if kind == "gradient" else (names[0], names[3])
    shape = (manifest["plan"]["models"], planted.get("count", 0))
    found = {}
    for name in wanted:
        parts = [getattr(shard, name) for shard in shards]
        if any(part is None for part in parts):
            raise AuditError(
                f"a shard of arm {arm} lacks {name}: give the command of the run again"
            )
        found[name] = np.concatenate(parts)
        if found[name].shape != shape:
            raise AuditError(
                f"arm {arm} has {name} of shape {found[name].shape}, not {shape} as run.json says: "
                "give the command of the run again, or start with another --out"
            )
    copies = planted.get("copies", 1)
    if not 1 <= copies <= _MOST_COPIES:
        raise BadInput(
            "canaries.copies", copies, "in run.json is no number of copies", "Restore it"
        )
    statistic = found["canary_total" if kind == "gradient" else "canary_margin"]
    return CanaryOutputs(kind, found["canary_coins"], statistic, found.get("canary_llr"), copies)


def _add_margins(
    margins: dict[str, np.ndarray], shard: Shard, rows: slice, like: dict[str, np.ndarray]
) -> None:
    """Put the margins of one shard, where it has any, into the arm's; others stay NaN."""
    for name, bits in (("train_margin", "train_correct"), ("test_margin", "test_correct")):
        part = getattr(shard, name)
        if part is None:
            continue
        if part.shape != getattr(shard, bits).shape:
            raise AuditError(
                f"a shard has {name} of shape {part.shape}, not what run.json says: give the "
                "command of the run again, or start with another --out"
            )
        if name not in margins:
            margins[name] = np.full(like[bits].shape, np.nan, dtype=np.float16)
        margins[name][rows] = part
