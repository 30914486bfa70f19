"""Which engine a module gets, and that the tool can tell a right form from a wrong one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from audit.errors import BadInput
from audit.inclusion import membership
from audit.training import stacked_layers
from audit.training.arms import Arm
from audit.training.cohort import train_cohort
from audit.training.cohort_task import CohortTask, TrainingData
from audit.training.engines import choose_engine
from audit.training.network import Network, batch_norm_explanation
from audit.training.opacus_loop import refuse_unsafe_layers

HERE = "tests.training.networks"
STANDARD = Arm("standard", 0.25, 25, 15.0, 0.1, 0.9, 0.0)
DP = Arm("dp-2", 0.25, 25, 15.0, 0.2, 0.0, 0.0, clip_norm=1.0, noise_multiplier=1.0)


@pytest.mark.parametrize(
    ("factory", "engine", "why"),
    [
        ("cnn", "ensemble", "stacked form"),
        ("resnet", "ensemble", "stacked form"),
        (f"{HERE}:plain_conv", "ensemble", "stacked form"),
        (f"{HERE}:everything", "ensemble", "stacked form"),
        (f"{HERE}:with_batch_norm", "ensemble", "stacked form"),
        (f"{HERE}:scaled_linear", "functional", "uses scale outside a layer"),
        (f"{HERE}:twice_used", "functional", "square is used twice"),
        (f"{HERE}:with_dropout", "opacus", "no stacked form of Dropout"),
        (f"{HERE}:branching", "opacus", "cannot be traced"),
        (f"{HERE}:random_features", "opacus", "its buffers differ between models"),
        (f"{HERE}:sneaky", "opacus", "a step of it differs from autograd's"),
    ],
)
def test_each_module_gets_the_fastest_engine_that_can_train_it(factory, engine, why):
    choice = choose_engine(Network(factory, (2, 8, 8), 3))
    assert choice.engine == engine, choice
    assert why in choice.why


def test_a_stacked_form_that_computes_something_else_is_not_used(monkeypatch: pytest.MonkeyPatch):
    honest = stacked_layers.StackedLinear.squared_norms
    monkeypatch.setattr(
        stacked_layers.StackedLinear, "squared_norms", lambda self, t: 0.9 * honest(self, t)
    )
    choice = choose_engine(Network("cnn", (1, 8, 8), 3))
    assert choice.engine == "functional"
    assert "differs from autograd's" in choice.why


def test_batch_norm_becomes_group_norm_in_every_arm_of_a_private_run():
    network = Network(f"{HERE}:with_batch_norm", (2, 8, 8), 3)
    module = network.initial_module(0, 0)
    assert network.substituted == 2
    norms = [m for m in module.modules() if isinstance(m, nn.GroupNorm)]
    assert [(n.num_groups, n.num_channels) for n in norms] == [(3, 6), (1, 8)]
    assert not any(isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d) for m in module.modules())
    refuse_unsafe_layers(module, network.factory)
    x = torch.randn(5, 2, 8, 8)
    assert module(x).std(dim=0).min() > 0, "normalised values must not all be 0"
    assert "BatchNorm cannot support training with differential privacy" in batch_norm_explanation()


def test_without_a_private_arm_batch_norm_stays():
    network = Network(f"{HERE}:with_batch_norm", (2, 8, 8), 3, private=False)
    assert network.substituted == 0
    assert any(isinstance(m, nn.BatchNorm2d) for m in network.initial_module(0, 0).modules())
    choice = choose_engine(network)
    assert choice.engine == "opacus"
    assert "BatchNorm2d" in choice.why


@pytest.fixture(scope="module")
def images() -> TrainingData:
    """Classes by the brightness of each channel, which a crop or a flip does not change."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 80)
    brightness = np.array([[1, -1], [-1, 1], [-1, -1]])
    x = rng.normal(size=(80, 2, 8, 8)) + brightness[y][:, :, None, None]
    x = x.reshape(80, 128).astype(np.float32)
    return TrainingData(x[:60], y[:60], x[60:], y[60:], (2, 8, 8))


# Accuracy of three models on `images`, over 12 seeds and all cases below: trained .89 to 1, the
# initial networks .22 to .51, noise alone .22 to .47. Models have favourite classes, so chance is
# far wider than that of 180 independent guesses.
LEARNED = 0.75
NETWORKS = pytest.mark.parametrize(
    ("factory", "engine"), [("cnn", "ensemble"), (f"{HERE}:scaled_linear", "functional")]
)


@pytest.mark.parametrize("augmentation", [(), ("crop", "flip")], ids=["plain", "augmented"])
@pytest.mark.parametrize("arm", [STANDARD, DP], ids=["standard", "dp"])
@NETWORKS
def test_a_cohort_of_networks_is_what_the_reference_makes_of_each(
    factory, engine, arm: Arm, augmentation, images: TrainingData
):
    arm = replace(arm, augmentation=augmentation)
    task = CohortTask(
        arm, Network(factory, (2, 8, 8), 3), 0, 2, engine, "poisson", 0.7, 0, "cpu", checked_model=1
    )
    output = train_cohort(task, images)
    assert output.cross_check is not None
    assert output.cross_check.verdict == "holds", output.cross_check
    assert output.cross_check.parameters_relative_difference < 1e-4
    assert output.train_correct.mean() > LEARNED
    member = membership(60, range(3), p=0.7, design="poisson", seed=0)
    np.testing.assert_array_equal(output.membership, member)


@pytest.mark.parametrize(
    "changed",
    [{"learning_rate": 1e-9}, {"clip_norm": 1e-6, "noise_multiplier": 1e6}],
    ids=["untrained", "noise alone"],
)
@NETWORKS
def test_a_cohort_that_learns_nothing_does_not_pass_for_one_that_does(
    factory, engine, changed, images: TrainingData
):
    """The same noise as in training (its standard deviation is z·C), and no signal."""
    arm = replace(DP, **changed)
    task = CohortTask(arm, Network(factory, (2, 8, 8), 3), 0, 2, engine, "poisson", 0.7, 0, "cpu")
    assert train_cohort(task, images).train_correct.mean() < LEARNED


@pytest.mark.parametrize(
    "lie", [{"clip_norm": 1.01, "noise_multiplier": 1 / 1.01}, {"momentum": 0.01}]
)
def test_the_cross_check_catches_a_lying_cohort_of_networks(
    lie, images: TrainingData, monkeypatch: pytest.MonkeyPatch
):
    from audit.training import sgd_cohort

    honest = sgd_cohort.train_ensemble
    monkeypatch.setattr(
        sgd_cohort,
        "train_ensemble",
        lambda model, arm, *rest, **options: honest(model, replace(arm, **lie), *rest, **options),
    )
    network = Network("cnn", (2, 8, 8), 3)
    task = CohortTask(DP, network, 0, 1, "ensemble", "poisson", 0.7, 0, "cpu", checked_model=1)
    checked = train_cohort(task, images).cross_check
    assert checked is not None
    assert checked.verdict == "fails"


@pytest.mark.parametrize("arm", [STANDARD, DP], ids=["standard", "dp"])
def test_the_loop_and_the_cohort_agree_on_augmented_standard_models(arm: Arm, images: TrainingData):
    """The loop draws its own noise, so the private arm is compared without any."""
    arm = replace(arm, augmentation=("crop",), steps=8)
    if arm.noise_multiplier is not None:
        arm = replace(arm, noise_multiplier=0.0)
    network = Network("cnn", (2, 8, 8), 3)
    outputs = [
        train_cohort(CohortTask(arm, network, 0, 1, engine, "poisson", 0.7, 0, "cpu"), images)
        for engine in ("ensemble", "opacus")
    ]
    np.testing.assert_allclose(outputs[0].test_margin, outputs[1].test_margin, atol=5e-3, rtol=5e-3)


def test_running_statistics_in_a_layer_without_parameters_are_refused():
    """Opacus looks only at layers with parameters; its buffers would hold the data all the same."""

    def check(private: bool) -> None:
        network = Network("tests.training.networks:running_mean", (2, 8, 8), 3, private)
        network.check(network.initial_module(0, 0))

    with pytest.raises(BadInput, match="running_mean collects statistics"):
        check(private=True)
    check(private=False)
