"""Draws on a device, here on CPU tensors: the accountant's distribution, whatever the cohort."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from audit.training.arms import Arm
from audit.training.device import draws
from audit.training.device.draws import DeviceMinibatches, DeviceNoise, parts
from audit.training.device.padded import noise_columns
from audit.training.draws import device_minibatches, device_noise, replay
from audit.training.models import Mlp
from audit.training.network import Network

CPU = torch.device("cpu")
MODEL = Mlp((5, 7, 3))
DP = Arm("dp-2", 0.2, 30, 20.0, 0.5, 0.5, 0.0, clip_norm=2.0, noise_multiplier=1.5)


def selections(
    member: np.ndarray, q: float, steps: int, *, models: range | None = None, arm="standard", seed=0
) -> np.ndarray:
    """selected[step, model, example] from the tables, which must be whole and tidy."""
    models = range(len(member)) if models is None else models
    drawn = DeviceMinibatches(
        torch.from_numpy(member), models, arm=arm, sample_rate=q, steps=steps, seed=seed
    )
    n, found = member.shape[1], []
    for block in drawn.blocks():
        assert block.index.shape[2] % 16 == 0
        selected = np.zeros((len(block.index), len(member), n + 1), dtype=int)
        for step, rows in enumerate(block.index.numpy()):
            for k, row in enumerate(rows):
                size = int(block.sizes[step, k])
                assert (row[:size] < n).all(), "a minibatch comes before its padding"
                assert (row[size:] == n).all()
                np.add.at(selected[step, k], row[:size], 1)
        assert selected[:, :, :n].max() <= 1, "no example twice in a minibatch"
        found.append(selected[:, :, :n].astype(bool))
    return np.concatenate(found)


def test_sizes_are_binomial_and_each_example_is_selected_equally_often():
    n, q, steps, models = 40, 0.3, 400, 10
    chosen = selections(np.ones((models, n), dtype=bool), q, steps)
    assert chosen.shape == (steps, models, n)
    sizes, trials = chosen.sum(axis=2).ravel(), steps * models
    edges = np.arange(7, 18)
    observed = [(sizes <= 6).sum(), *[(sizes == k).sum() for k in edges], (sizes > 17).sum()]
    law: Any = stats.binom(n, q)
    expected = trials * np.array([law.cdf(6), *law.pmf(edges), law.sf(17)])
    assert stats.chisquare(observed, expected).pvalue > 1e-3
    # The test is sharp: a rate 5 % too high is refused.
    wrong: Any = stats.binom(n, 1.05 * q)
    shifted = trials * np.array([wrong.cdf(6), *wrong.pmf(edges), wrong.sf(17)])
    assert stats.chisquare(observed, shifted).pvalue < 1e-6
    error = np.sqrt(q * (1 - q) / trials)
    assert np.abs(chosen.mean(axis=(0, 1)) - q).max() < 4.5 * error


def test_steps_models_and_examples_are_independent():
    chosen = selections(np.ones((12, 50), dtype=bool), 0.2, 300).astype(float) - 0.2

    def correlation(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) * np.sqrt(a.size)

    assert abs(correlation(chosen[:-1], chosen[1:])) < 4.5
    assert abs(correlation(chosen[:, :-1], chosen[:, 1:])) < 4.5
    assert abs(correlation(chosen[:, :, :-1], chosen[:, :, 1:])) < 4.5
    # A step that leaks into the next would be seen.
    assert abs(correlation(chosen[:-1], chosen[:-1])) > 4.5


def test_nothing_outside_the_subset_and_nothing_of_it_left_out():
    rng = np.random.default_rng(3)
    member = rng.random((5, 60)) < 0.7
    inside, everyone = (selections(m, 0.25, 40) for m in (member, np.ones_like(member)))
    np.testing.assert_array_equal(inside, everyone & member)


def test_others_selections_do_not_change_when_an_example_leaves():
    rng = np.random.default_rng(1)
    member = rng.random((4, 80)) < 0.7
    without = member.copy()
    left = int(np.flatnonzero(member[2])[5])
    without[2, left] = False
    before, after = (selections(m, 0.1, 50) for m in (member, without))
    assert before[:, 2, left].any()
    before[:, 2, left] = False
    np.testing.assert_array_equal(before, after)


def test_models_draw_the_same_in_any_cohort(monkeypatch: pytest.MonkeyPatch):
    """Cohorts that begin and end inside groups, and cover several."""
    monkeypatch.setattr(draws, "_GROUP_MODELS", 4)
    member = np.random.default_rng(2).random((11, 50)) < 0.7
    whole = selections(member, 0.2, 25, models=range(11))
    for first, last in ((0, 4), (3, 9), (10, 11)):
        own = selections(member[first:last], 0.2, 25, models=range(first, last))
        np.testing.assert_array_equal(whole[:, first:last], own)
    noise = DeviceNoise(range(11), 32, std=1.0, arm="a", seed=0, device=CPU)
    part = DeviceNoise(range(3, 9), 32, std=1.0, arm="a", seed=0, device=CPU)
    for _ in range(3):
        every, some = torch.empty(11, 32), torch.empty(6, 32)
        noise.fill(every)
        part.fill(some)
        assert torch.equal(every[3:9], some)


def test_parts_cover_a_cohort_once():
    found = parts(range(3, 11), 4)
    assert [(p.group, p.of_group, p.of_cohort) for p in found] == [
        (0, slice(3, 4), slice(0, 1)),
        (1, slice(0, 4), slice(1, 5)),
        (2, slice(0, 3), slice(5, 8)),
    ]


def test_arms_seeds_and_models_draw_differently():
    member = np.ones((2, 300), dtype=bool)
    one = selections(member, 0.1, 5)
    assert not np.array_equal(one[:, 0], one[:, 1])
    assert not np.array_equal(one, selections(member, 0.1, 5, arm="dp-2"))
    assert not np.array_equal(one, selections(member, 0.1, 5, seed=1))


@pytest.mark.parametrize("q", [1.0, 1e-4])
def test_extreme_rates(q: float):
    member = np.ones((2, 100), dtype=bool)
    member[0, :10] = False
    chosen = selections(member, q, 20)
    if q == 1.0:
        np.testing.assert_array_equal(chosen, np.broadcast_to(member, chosen.shape))
    else:
        assert chosen.mean() < 0.01


def test_draws_that_do_not_suffice_are_followed_by_more(monkeypatch: pytest.MonkeyPatch):
    """Blocks are whole however few gaps the first draw makes: no selection is lost at their end."""
    monkeypatch.setattr(draws, "_MARGIN", -3.0)
    chosen = selections(np.ones((20, 40), dtype=bool), 0.3, 200)
    late = chosen[-20:].mean()
    assert abs(late - 0.3) < 4.5 * np.sqrt(0.21 / (20 * 20 * 40))


def test_blocks_of_steps_are_whole(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(draws, "_BLOCK_EXAMPLES", 50)
    chosen = selections(np.ones((3, 100), dtype=bool), 0.1, 203)
    assert len(chosen) == 203
    assert abs(chosen.mean() - 0.1) < 4.5 * np.sqrt(0.09 / chosen.size)


def noise_of(std: float, steps: int = 60, models: int = 8) -> torch.Tensor:
    source = DeviceNoise(range(models), 128, std=std, arm="dp-2", seed=5, device=CPU)
    drawn = torch.empty(steps, models, 128)
    for step in drawn:
        source.fill(step)
    return drawn


def test_noise_is_normal_of_its_size_and_independent():
    drawn = noise_of(2.5).double()
    count = drawn.numel()
    assert abs(float(drawn.std()) / 2.5 - 1) < 4.5 / np.sqrt(2 * count)
    assert float(stats.kstest(drawn.ravel().numpy() / 2.5, "norm").pvalue) > 1e-3  # pyright: ignore
    for one, other in ((drawn[1:], drawn[:-1]), (drawn[:, 1:], drawn[:, :-1])):
        assert abs(float((one * other).mean()) / 2.5**2) < 4.5 / np.sqrt(one.numel())


@pytest.mark.parametrize("factor", [0.97, 1.03])
def test_noise_off_by_three_percent_would_be_seen(factor: float):
    drawn = noise_of(2.5 * factor).double()
    assert abs(float(drawn.std()) / 2.5 - 1) > 4.5 / np.sqrt(2 * drawn.numel())


@pytest.mark.parametrize("device_kind", ["cpu"])
def test_streams_have_their_full_state(device_kind: str):
    """Not 32 bits of a seed: a generator's whole state comes from its group's sequence."""
    one, two = (
        draws.group_generator(0, draws.Purpose.NOISE, "dp-2", group, torch.device(device_kind))
        for group in (0, 1)
    )
    differ = one.get_state() != two.get_state()
    assert int(differ.sum()) > 2000


@pytest.mark.parametrize("k", [0, 3, 6])
def test_a_replay_gives_what_the_cohort_was_given(k: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(draws, "_GROUP_MODELS", 4)
    member = np.random.default_rng(2).random((7, 90)) < 0.7
    table = torch.from_numpy(member)
    once = replay("device", MODEL, DP, k, member[k], seed=9, device=CPU)
    source = device_noise(MODEL, DP, range(7), 9, CPU)
    batches, noise, steps = once.minibatches(), once.noise(), 0
    assert once.views() is None
    for block in device_minibatches(MODEL, DP, table, range(7), 9).blocks():
        for step in range(len(block.index)):
            own = block.index[step, k]
            assert torch.equal(own[own < 90], next(batches))
            drawn = torch.empty(7, noise_columns(MODEL.parameters))
            source.fill(drawn)
            expected = drawn[k, : MODEL.parameters] * DP.expected_batch_size
            torch.testing.assert_close(next(noise), expected, rtol=1e-6, atol=0)
            steps += 1
    assert steps == DP.steps
    assert next(batches, None) is None


def test_views_are_uniform_within_their_range_and_replayed():
    network = Network("cnn", (1, 16, 24), 3)
    arm = Arm("standard", 0.3, 40, 20.0, 0.1, 0.9, 0.0, augmentation=("crop", "flip"))
    member = np.ones((3, 60), dtype=bool)
    blocks = device_minibatches(network, arm, torch.from_numpy(member), range(3), 1).blocks()
    seen, of_one = [], []
    for block in blocks:
        assert block.views is not None
        inside = block.index < 60
        assert (block.views[~inside] == 0).all()
        seen.append(block.views[inside])
        of_one += [block.views[s, 1, : block.sizes[s, 1]] for s in range(len(block.index))]
    views = torch.cat(seen)
    for column, lowest, highest in ((0, -2, 2), (1, -3, 3), (2, 0, 1)):
        counts = torch.bincount(views[:, column] - lowest, minlength=highest - lowest + 1)
        assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    replayed = replay("device", network, arm, 1, member[1], seed=1, device=CPU).views()
    assert replayed is not None
    assert all(torch.equal(a, b) for a, b in zip(of_one, replayed, strict=True))


def test_views_follow_their_example_when_another_leaves():
    """Each selection has its view before the subset is looked at."""
    network = Network("cnn", (1, 16, 16), 3)
    arm = Arm("standard", 0.5, 6, 20.0, 0.1, 0.9, 0.0, augmentation=("crop",))
    member = np.ones((1, 30), dtype=bool)
    without = member.copy()
    without[0, 4] = False
    shown = []
    for each in (member, without):
        once = replay("device", network, arm, 0, each[0], seed=1, device=CPU)
        views = once.views()
        assert views is not None
        shown.append(
            [
                {int(i): tuple(v.tolist()) for i, v in zip(batch, view, strict=True) if i != 4}
                for batch, view in zip(once.minibatches(), views, strict=True)
            ]
        )
    assert shown[0] == shown[1]
    assert any(view[2] == 0 for step in shown[0] for view in step.values())
    assert all(view[2] == 0 for step in shown[0] for view in step.values()), "no flips asked for"
