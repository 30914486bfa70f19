"""The reference loop: any module, Opacus's own clipping and noise, constants of the plan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from audit.errors import BadInput
from audit.training.arms import Arm
from audit.training.cohort import train_cohort
from audit.training.cohort_task import CohortTask, TrainingData
from audit.training.models import Mlp, make_model
from audit.training.network import Network
from audit.training.opacus_loop import (
    GradSampleMode,
    cheapest_mode,
    refuse_unsafe_layers,
    train_private,
)

DP = Arm("dp-2", 0.25, 30, 15.0, 0.2, 0.0, 0.0, clip_norm=1.0, noise_multiplier=1.0)
STANDARD = Arm("standard", 0.25, 30, 15.0, 0.1, 0.9, 0.0)


def small_cnn(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """A module without an ensemble form."""
    return nn.Sequential(
        nn.Conv2d(input_shape[0], 4, 3, padding=1),
        nn.GroupNorm(2, 4),
        nn.Tanh(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, n_classes),
    )


def batch_norm(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(int(np.prod(input_shape)), 8),
        nn.BatchNorm1d(8),
        nn.Linear(8, n_classes),
    )


def not_a_module(input_shape: tuple[int, ...], n_classes: int) -> int:
    del input_shape
    return n_classes


@pytest.fixture(scope="module")
def images() -> TrainingData:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 80)
    x = rng.normal(size=(80, 1, 6, 6)) + y[:, None, None, None]
    x = x.reshape(80, 36).astype(np.float32)
    return TrainingData(x[:60], y[:60], x[60:], y[60:], (1, 6, 6))


@pytest.mark.parametrize("arm", [STANDARD, DP], ids=["standard", "dp"])
def test_any_module_trains_in_the_loop_and_learns(arm: Arm, images: TrainingData):
    model = make_model(
        f"{__name__}:small_cnn", input_shape=(1, 6, 6), n_classes=3, hidden=(), activation="tanh"
    )
    assert isinstance(model, Network)
    task = CohortTask(arm, model, 0, 2, "opacus", "poisson", 0.7, 0, "cpu")
    done: list[int] = []
    output = train_cohort(task, images, done.append)
    assert output.train_correct.mean() > 0.5
    assert output.cross_check is None
    assert output.diverged == 0
    assert done == list(range(1, 91))
    again = train_cohort(replace(task, first=1), images)
    np.testing.assert_array_equal(output.train_correct[1:], again.train_correct)


def test_loop_and_ensemble_share_memberships_and_initial_models(images: TrainingData):
    arm = replace(STANDARD, learning_rate=1e-12)
    outputs = [
        train_cohort(
            CohortTask(arm, Mlp((36, 5, 3)), 0, 1, engine, "poisson", 0.7, 0, "cpu"), images
        )
        for engine in ("ensemble", "opacus")
    ]
    np.testing.assert_array_equal(outputs[0].membership, outputs[1].membership)
    np.testing.assert_allclose(outputs[0].test_margin, outputs[1].test_margin, atol=1e-3)


def test_opacus_draws_fresh_noise_of_the_right_size_each_step():
    """With zero gradients (no examples) a step is noise alone: z·C/normaliser·learning rate."""
    module = nn.Linear(50, 40)
    before = module.weight.detach().clone()
    x, y = torch.zeros(1, 50), torch.zeros(1, dtype=torch.int64)
    empty = torch.zeros(0, dtype=torch.int64)
    generator = torch.Generator().manual_seed(0)
    train_private(module, DP, x, y, [empty], generator=generator)
    first = module.weight.detach() - before
    train_private(module, DP, x, y, [empty], generator=generator)
    second = module.weight.detach() - before - first
    expected = DP.noise_std / DP.expected_batch_size * DP.learning_rate
    assert first.std().item() == pytest.approx(expected, rel=0.1)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("clip_norm", [0.05, 1e3])
@pytest.mark.parametrize("mode", ["functorch", "ghost"])
def test_every_mode_of_opacus_takes_the_steps_that_hooks_take(
    mode: GradSampleMode, clip_norm: float, images: TrainingData
):
    arm = replace(DP, clip_norm=clip_norm, momentum=0.5)
    x = torch.from_numpy(images.x_train).view(-1, 1, 6, 6)
    y = torch.from_numpy(images.y_train)
    torch.manual_seed(0)
    module = small_cnn((1, 6, 6), 3)
    start = {name: value.clone() for name, value in module.state_dict().items()}
    noise = [[0.1 * torch.randn_like(p) for p in module.parameters()] for _ in range(4)]
    batches = [torch.arange(9), torch.arange(0), torch.tensor([5]), torch.arange(3, 60)]

    def trained(how: GradSampleMode) -> torch.Tensor:
        module.load_state_dict(start)
        train_private(module, arm, x, y, batches, replay=iter(noise), mode=how)
        return torch.cat([p.detach().reshape(-1) for p in module.parameters()])

    by_hooks, found = trained("hooks"), trained(mode)
    before = torch.cat([start[name].reshape(-1) for name, _ in module.named_parameters()])
    assert (found - by_hooks).norm() < 1e-5 * (by_hooks - before).norm()


def test_per_example_gradients_are_kept_only_where_they_are_small():
    assert cheapest_mode(2_410, replace(DP, expected_batch_size=128.0)) == "hooks"
    assert cheapest_mode(535_818, replace(DP, expected_batch_size=128.0)) == "ghost"


def test_batch_norm_is_refused_with_opacus_own_words():
    with pytest.raises(BadInput, match="BatchNorm") as caught:
        refuse_unsafe_layers(batch_norm((36,), 3), "mine:batch_norm")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("resnet152", "must be linear, mlp, cnn, resnet or"),
        ("nowhere.at.all:f", "cannot be imported"),
        (f"{__name__}:missing", "cannot be imported"),
        (f"{__name__}:DP", "is not callable"),
    ],
)
def test_unknown_models_are_refused_in_one_line(name: str, rule: str):
    with pytest.raises(BadInput, match=rule):
        make_model(name, input_shape=(4,), n_classes=2, hidden=(4,), activation="relu")


def test_a_factory_that_returns_no_module_is_refused():
    model = make_model(
        f"{__name__}:not_a_module", input_shape=(4,), n_classes=2, hidden=(), activation="relu"
    )
    assert isinstance(model, Network)
    with pytest.raises(BadInput, match="not a torch module"):
        model.initial_module(0, 0)


def fails(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    raise RuntimeError(f"two\nlines {input_shape} {n_classes}")


def one_logit(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    del n_classes
    return nn.Linear(input_shape[0], 1)


def wrong_width(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return nn.Linear(input_shape[0] + 1, n_classes)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("fails", "two lines"),
        ("one_logit", r"shape \(3, 1\)"),
        ("wrong_width", "forward pass fails"),
    ],
)
def test_a_users_model_that_cannot_work_is_refused_before_training(name: str, rule: str):
    model = Network(f"{__name__}:{name}", (4,), 3)
    with pytest.raises(BadInput, match=rule) as caught:
        model.check(model.initial_module(0, 0))
    assert "\n" not in str(caught.value)


class MixesExamples(nn.Module):
    """Centres each minibatch: every logit depends on every example."""

    def __init__(self, features: int, n_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x - x.mean(dim=0))


def mixing(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return MixesExamples(input_shape[0], n_classes)


def test_a_module_that_mixes_examples_is_refused():
    model = Network(f"{__name__}:mixing", (4,), 3)
    with pytest.raises(BadInput, match="others stand beside it"):
        model.check(model.initial_module(0, 0))


def test_a_valid_module_passes_both_checks_and_stays_in_training_mode():
    model = Network(f"{__name__}:small_cnn", (1, 6, 6), 3)
    module = model.initial_module(0, 0)
    model.check(module)
    refuse_unsafe_layers(module, model.factory)
    assert module.training


def with_dropout(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    features = int(np.prod(input_shape))
    return nn.Sequential(
        nn.Flatten(), nn.Linear(features, 16), nn.Dropout(0.5), nn.Linear(16, n_classes)
    )


@pytest.mark.parametrize("arm", [STANDARD, DP], ids=["standard", "dp"])
def test_dropout_is_reproducible_and_a_model_is_the_same_alone(arm: Arm, images: TrainingData):
    model = Network(f"{__name__}:with_dropout", (1, 6, 6), 3)
    task = CohortTask(arm, model, 0, 2, "opacus", "poisson", 0.7, 0, "cpu")
    together = train_cohort(task, images)
    again = train_cohort(task, images)
    alone = train_cohort(replace(task, first=2), images)
    np.testing.assert_array_equal(together.test_margin, again.test_margin)
    np.testing.assert_array_equal(together.test_margin[2:], alone.test_margin)


def test_opacus_gets_convolution_inputs_in_the_memory_order_it_assumes():
    """In the other order its per-example gradients are wrong, and so are its clip factors."""
    x = torch.randn(8, 2, 6, 6)
    y = torch.randint(3, (8,))
    arm = replace(DP, noise_multiplier=0.0)
    trained = []
    for images in (x, x.contiguous(memory_format=torch.channels_last)):
        module = Network("cnn", (2, 6, 6), 3).initial_module(0, 0)
        train_private(module, arm, images, y, [torch.arange(8)])
        assert not any(layer._forward_pre_hooks for layer in module.modules())
        trained.append(torch.cat([p.detach().flatten() for p in module.parameters()]))
    torch.testing.assert_close(trained[0], trained[1], rtol=1e-5, atol=1e-6)
