"""The arms of controls: one thing changed, and nothing else."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from audit.config import make_config
from audit.configuring import configure
from audit.data.dataset import Dataset
from audit.errors import BadInput
from audit.plan import Plan, make_plan
from audit.resolve import load_data
from audit.training.arms import Arm
from audit.training.engines import device_program, program
from audit.training.ensemble import Data
from audit.training.models import Mlp
from audit.training.recipe import CORRECT


@cache
def digits() -> Dataset:
    return load_data(make_config([{"clusters_per_class": 2}]))


def planned(*controls: str, **more: Any) -> Plan:
    given = {"models": 12, "controls": controls, **more}
    config = configure(None, given)
    return make_plan(config, digits(), device="cpu")


def differences(one: Arm, other: Arm) -> dict[str, Any]:
    return {
        f.name: getattr(other, f.name)
        for f in fields(Arm)
        if getattr(one, f.name) != getattr(other, f.name)
    }


def test_each_control_is_an_arm_of_the_audit_with_one_thing_changed():
    asked = ("clip-only", "noise-only", "neither", "pruned-80", "random-labels-10")
    plan = planned(*asked, epsilon=(1.0, 4.0))
    arms = {arm.name: arm for arm in plan.arms}
    assert list(arms) == [
        *("standard", "dp-1", "dp-4", "clip-only"),
        *("noise-only-1", "noise-only-4", "neither", "pruned-80", "random-labels-10"),
    ]
    training = {name: arm.arm for name, arm in arms.items() if isinstance(arm.arm, Arm)}
    standard = training["standard"]
    assert differences(standard, training["pruned-80"]) == {"name": "pruned-80", "pruned": 0.8}
    assert differences(standard, training["random-labels-10"]) == {
        "name": "random-labels-10",
        "random_labels": 0.1,
    }
    assert differences(training["dp-1"], training["clip-only"]) == {
        "name": "clip-only",
        "noise_multiplier": 0.0,
        "canaries": 0,
    }
    assert differences(training["dp-1"], training["neither"]) == {
        "name": "neither",
        "clip_norm": None,
        "noise_multiplier": None,
        "canaries": 0,
    }
    for epsilon in ("1", "4"):
        dp, noisy = training[f"dp-{epsilon}"], training[f"noise-only-{epsilon}"]
        assert noisy.noise_std == pytest.approx(dp.noise_std)
        assert set(differences(dp, noisy)) == {"name", "clip_norm", "noise_multiplier", "canaries"}
    assert all(arms[name].claim is None for name in list(arms)[3:])
    assert all(arms[name].mechanism is None for name in list(arms)[3:])


def test_the_arms_of_the_audit_are_planned_as_without_controls():
    bare, beside = planned(), planned("clip-only", "pruned")
    for here, there in zip(bare.arms, beside.arms, strict=False):
        assert (here.arm, here.mechanism, here.name) == (there.arm, there.mechanism, there.name)
    assert beside.judged_by.source == bare.judged_by.source
    assert beside.judged_by.epsilon == bare.judged_by.epsilon
    assert beside.canaries == bare.canaries
    assert beside.tasks[0].seed == bare.tasks[0].seed
    by_key = {task.key: task for task in beside.tasks}
    assert all(by_key[task.key] == task for task in bare.tasks)


@pytest.mark.parametrize("form", ["host", "device"])
def test_noise_alone_leaves_gradients_as_long_as_they_are(form: str):
    arm = next(a.arm for a in planned("noise-only").arms if a.name == "noise-only-2")
    assert isinstance(arm, Arm)
    model = Mlp((3, 2))
    # Inputs that give a gradient thousands of times longer than any clip norm in use.
    x, y = torch.tensor([[1e4, -2e4, 5e3]]), torch.tensor([0])
    data = Data.of(model.prepare(x.numpy(), torch.device("cpu")), y)
    start = torch.zeros(1, model.parameters)
    noise = torch.full((1, model.parameters), 0.25)
    if form == "host":
        cohort = program(model, "ensemble", start.clone(), arm)
    else:
        cohort = device_program(model, "ensemble", start.clone(), arm)
    cohort.step(data, torch.tensor([0]), [1], noise)
    gradient = torch.tensor([[-0.5, 0.5]]).T * torch.cat([x[0], torch.ones(1)])
    expected = -arm.learning_rate * (gradient.T.reshape(-1) + 0.25) / arm.expected_batch_size
    torch.testing.assert_close(cohort.theta[0].reshape(4, 2), expected.reshape(4, 2), rtol=1e-4,
                               atol=1e-4)  # fmt: skip


def test_the_noise_of_noise_alone_is_that_of_the_private_arm():
    arms = {a.name: a.arm for a in planned("noise-only").arms}
    dp, noisy = arms["dp-2"], arms["noise-only-2"]
    assert isinstance(dp, Arm)
    assert isinstance(noisy, Arm)
    model = Mlp((40, 30))
    drawn = CORRECT.noise(model, noisy, range(2), seed=1).draw().numpy()
    assert np.std(drawn) == pytest.approx(dp.noise_std, rel=0.1)


def test_clipping_alone_draws_no_noise():
    clipped = next(a.arm for a in planned("clip-only").arms if a.name == "clip-only")
    assert isinstance(clipped, Arm)
    drawn = CORRECT.noise(Mlp((40, 30)), clipped, range(2), seed=1).draw()
    assert not drawn.any()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"plant": "no_noise", "controls": ["clip-only"]}, "a planted bug changes that too"),
        ({"model": "sklearn.tree:DecisionTreeClassifier", "controls": ["pruned"]}, "trains itself"),
    ],
)
def test_what_cannot_be_controlled_is_refused(given: dict[str, Any], words: str):
    config = configure(None, {"models": 12, **given})
    with pytest.raises(BadInput, match=words):
        make_plan(config, digits(), device="cpu")
