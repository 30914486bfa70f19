"""Gradient canaries: directions, coins, and what is seen of them from outside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from audit.inclusion import fair_coins
from audit.training.arms import Arm
from audit.training.draws import replay
from audit.training.engines import train_ensemble
from audit.training.gradient_canaries import (
    LENGTH,
    Directions,
    PlantedCanaries,
    step_signs,
)
from audit.training.models import Mlp
from audit.training.noise import Noise
from audit.training.plants import recipe

HOST = torch.device("cpu")
MODEL = Mlp((6, 8, 3), "tanh")
ARM = Arm("dp-2", 0.3, 40, 12.0, 0.4, 0.0, 0.0, 1.5, 0.8, canaries=20)


def data(n: int = 40) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    rng = np.random.default_rng(0)
    x = MODEL.prepare(rng.standard_normal((n, 6)).astype(np.float32), HOST)
    return x, torch.from_numpy(rng.integers(3, size=n)), rng.random((6, n)) < 0.7


def trained(arm: Arm, models: range = range(6), **options):
    x, y, member = data()
    found = []
    member = member[models.start : models.stop]
    theta = train_ensemble(
        MODEL, arm, x, y, member, models, seed=3, on_canaries=found.append, **options
    )
    return theta, found


@pytest.mark.parametrize("count", [1, 7, 20, 41])
def test_directions_are_orthonormal_within_layers_and_fixed(count):
    directions = Directions(MODEL, count, seed=1, device=HOST)
    v = torch.zeros(count, MODEL.parameters)
    directions.add(v, torch.eye(count))
    assert torch.allclose(v @ v.T, torch.eye(count), atol=1e-6)
    ends = np.cumsum([layer[0].numel() for layer in MODEL.layers(v[:1])])
    for row in v:
        support = row.numpy().nonzero()[0]
        assert len(set(np.searchsorted(ends, support, side="right").tolist())) == 1
    vectors = torch.randn(4, MODEL.parameters)
    assert torch.allclose(directions.project(vectors), vectors @ v.T, atol=1e-5)
    again = torch.zeros_like(v)
    Directions(MODEL, count, seed=1, device=HOST).add(again, torch.eye(count))
    assert torch.equal(v, again)


def test_signs_sum_to_nothing():
    signs = step_signs(replace(ARM, steps=101), seed=0)
    assert abs(signs.sum()) == 1
    assert not np.array_equal(signs, np.where(np.arange(101) % 2 == 0, 1.0, -1.0))


def test_coins_are_fair_independent_and_the_models_own():
    coins = fair_coins(500, range(400), seed=0)
    assert abs(coins.mean() - 0.5) < 5 * 0.5 / np.sqrt(coins.size)
    correlation = np.corrcoef(coins[:100].astype(float))
    assert np.abs(correlation[~np.eye(100, dtype=bool)]).max() < 0.25
    assert np.array_equal(fair_coins(500, range(17, 19), seed=0), coins[17:19])
    assert not np.array_equal(fair_coins(500, range(400), seed=1), coins)


def test_a_canary_is_clipped_like_an_example():
    assert recipe(ARM).clipped(LENGTH * 1.5, 1.5) == pytest.approx(1.5, rel=1e-6)
    assert recipe(ARM).clipped(0.2, 1.5) == 0.2


def test_what_is_seen_is_what_was_added():
    """Without noise and examples a step shows each selected canary with exactly 1 and others 0."""
    x, y, _ = data()
    arm = replace(ARM, noise_multiplier=1e-9, momentum=0.5, weight_decay=0.01)
    nobody = np.zeros((3, len(y)), dtype=bool)
    found = []
    train_ensemble(MODEL, arm, x, y, nobody, range(3), seed=0, on_canaries=found.append)
    total = found[0].total
    assert np.allclose(total, np.round(total), atol=0.02)
    assert (np.round(total[~found[0].coins]) == 0).all()
    inside = total[found[0].coins]
    expected = arm.steps * arm.sample_rate
    spread = np.sqrt(expected * (1 - arm.sample_rate) / inside.size)
    assert abs(inside.mean() - expected) < 5 * spread


def test_scores_against_a_plain_loop():
    """The same sums from the parameters after every step, written as a student would."""
    seen = []
    _, found = trained(ARM, on_step=lambda done, theta: seen.append(theta.clone()))
    start = torch.from_numpy(np.stack([MODEL.initial(3, k) for k in range(6)]))
    v = torch.zeros(ARM.canaries, MODEL.parameters)
    Directions(MODEL, ARM.canaries, seed=3, device=HOST).add(v, torch.eye(ARM.canaries))
    total = torch.zeros(6, ARM.canaries)
    for sign, before, after in zip(step_signs(ARM, seed=3), [start, *seen[:-1]], seen, strict=True):
        gradient = (before - after) / ARM.learning_rate * ARM.expected_batch_size
        total += float(sign) * gradient @ v.T / ARM.clip_norm
    assert np.allclose(found[0].total, total.numpy(), atol=1e-3)
    assert np.array_equal(found[0].coins, fair_coins(ARM.canaries, range(6), seed=3))


def test_a_model_and_its_canaries_are_the_same_in_any_cohort():
    whole_theta, whole = trained(ARM)
    part_theta, part = trained(ARM, range(2, 4))
    assert torch.allclose(whole_theta[2:4], part_theta, atol=1e-6)
    assert np.array_equal(whole[0].coins[2:4], part[0].coins)
    assert np.allclose(whole[0].total[2:4], part[0].total, atol=1e-3)
    assert np.allclose(whole[0].llr[2:4], part[0].llr, atol=1e-3)


def test_examples_minibatches_and_noise_are_those_of_a_training_without_canaries():
    without = replace(ARM, canaries=0)
    plain, noisy = Noise(range(1), 10, std=1.0, arm="a", seed=0).draw(), []
    assert len(plain[0]) == 10
    for arm in (ARM, without):
        draws = replay("host", MODEL, arm, 1, data()[2][1], seed=3, device=HOST)
        noisy.append((next(draws.noise()).clone(), [b.tolist() for b in draws.minibatches()]))
    assert torch.equal(noisy[0][0], noisy[1][0])
    assert noisy[0][1] == noisy[1][1]
    assert trained(without)[1] == []


def test_a_replay_adds_the_same_canaries():
    member = data()[2][1]
    draws = replay("host", MODEL, ARM, 1, member, seed=3, device=HOST)
    cohort = PlantedCanaries(MODEL, ARM, range(6), seed=3, device=HOST)
    for step, (noise, added) in enumerate(zip(draws.noise(), draws.added(), strict=False)):
        noise, added = noise.clone(), added.clone()
        every = torch.zeros(6, MODEL.parameters)
        cohort.add(every)
        cohort.skip()
        assert torch.allclose(added - noise, every[1], atol=1e-6)
        if step == ARM.steps - 1:
            break


def test_the_device_form_sees_its_canaries_too():
    x, y, member = data()
    found = []
    arm = replace(ARM, steps=120)
    train_ensemble(
        MODEL, arm, x, y, member, range(6), seed=3, form="device", on_canaries=found.append
    )
    scores = found[0]
    gap = scores.total[scores.coins].mean() - scores.total[~scores.coins].mean()
    assert gap == pytest.approx(arm.steps * arm.sample_rate, rel=0.25)
    assert scores.llr[scores.coins].mean() > scores.llr[~scores.coins].mean()


def test_gradient_canaries_need_a_clip_norm():
    with pytest.raises(ValueError, match="clip"):
        Arm("standard", 0.3, 4, 12.0, 0.4, 0.0, 0.0, canaries=3)
