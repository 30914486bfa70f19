"""The planted bugs by name: what each does, where it happened, what it should break."""

from __future__ import annotations

from dataclasses import dataclass

from audit.training.arms import Arm
from audit.training.plants import programs, sources
from audit.training.recipe import CORRECT, Recipe


@dataclass(frozen=True)
class Plant:
    """A planted bug.

    Attributes:
        name: as ``--plant`` takes it.
        what: half a sentence, after "in this run".
        where: where published code had it.
        breaks: what it does to the guarantee.
        recipe: DP-SGD with the bug.
    """

    name: str
    what: str
    where: str
    breaks: str
    recipe: Recipe


_ALL = (
    Plant(
        "noise_for_mean",
        "noise of standard deviation z·C/B, right for the mean of B gradients, is added to their "
        "sum",
        "a comparison of two accountants in TensorFlow Privacy (issue #153), and a paper's ε = 0.21"
        " that was at least 2.79 (Tramèr et al. 2022)",
        "the noise is B times too small",
        sources.NoiseForMean(),
    ),
    Plant(
        "microbatch_clipping",
        f"the mean gradient of each {programs.MICRO_BATCH} examples is clipped, and counts "
        f"{programs.MICRO_BATCH} times",
        "TensorFlow Privacy's num_microbatches as its tutorials used it (issues #81, #620)",
        f"one example can add up to {programs.MICRO_BATCH}·C to the sum, not C",
        programs.MicroBatches(),
    ),
    Plant(
        "no_clipping",
        "gradients are not clipped; noise z·C is added",
        "home-made DP-SGD that only adds noise; a clip call on a copy, or after the optimiser read "
        "the gradients, comes to the same",
        "one example can add anything to the sum",
        programs.NoClipping(),
    ),
    Plant(
        "no_noise",
        "gradients are clipped, and no noise is added",
        "clipping mistaken for privacy; an optimiser that is replaced after it was made private",
        "everything that an exact sum tells",
        sources.NoNoise(),
    ),
    Plant(
        "clip_norm_ignored",
        f"a default of {programs.DEFAULT_OVER_ASKED:g}·C clips, and the noise is still z·C",
        "Opacus: fast gradient clipping did not pass max_grad_norm on (pull request #664)",
        f"the noise is {programs.DEFAULT_OVER_ASKED:g} times too small for what it covers",
        programs.ClipNormIgnored(),
    ),
    Plant(
        "same_noise_every_step",
        "every step adds the same noise",
        "a generator seeded anew inside the training loop",
        "differences between steps have no noise at all",
        sources.SameEveryStep(),
    ),
    Plant(
        "same_noise_every_model",
        "all models have the same noise",
        "workers that start from the same default seed; a fixed seed for reproducibility",
        "whoever sees two models, or knows the seed, takes the noise off",
        sources.SameEveryModel(),
    ),
    Plant(
        "noise_missing_on_layer",
        "the last layer has no noise",
        "parameters that are added to a model, or unfrozen, after it was made private",
        "that layer tells everything that an exact sum tells",
        sources.MissingOnLayer(),
    ),
    Plant(
        "plain_gradient_added",
        "the gradients as they are, are added to the clipped ones",
        "gradient accumulation that keeps what the ordinary backward pass left in .grad "
        "(dayu11/Differentially-Private-Deep-Learning, issue #7)",
        "one example can add anything to the sum",
        programs.PlainGradientAdded(),
    ),
    Plant(
        "shuffled_batches",
        "minibatches are cut from a shuffled order and accounted as if each step drew anew",
        "nearly every published training with DP-SGD (Chua et al. 2024)",
        "the accountant's amplification by sampling is not that of this sampling",
        sources.Shuffled(),
    ),
    Plant(
        "normaliser_of_subset",
        "the noisy sum is divided by q·|T|, the size of the private training set",
        "Opacus: expected_batch_size comes from len(dataset) (issues #571, #819)",
        "one example more changes the size of every number that is released",
        programs.NormaliserOfSubset(),
    ),
    Plant(
        "sampling_rate_misreported",
        "the accountant was told half of the sampling rate, and asked for too little noise",
        "Opacus: a sampling rate computed from the sampler's length (issue #813)",
        "ε is larger than claimed, by nearly a factor of two",
        sources.RateMisreported(),
    ),
    Plant(
        "batch_statistics",
        "hidden units are normalised over the minibatch",
        "BatchNorm left in a network that is trained privately (Opacus refuses it, others do not)",
        "one example changes the gradients of all others, and clipping does not see it",
        programs.BatchStatistics(),
    ),
)

PLANTS = {each.name: each for each in _ALL}
"""Twelve bugs under thirteen names: ``same_noise_every_step`` and ``same_noise_every_model`` are
forms of one, the noise seed that is used again."""


def recipe_named(name: str | None) -> Recipe:
    """DP-SGD with the bug of that name, one of ``PLANTS``; as it should be for None."""
    return CORRECT if name is None else PLANTS[name].recipe


def recipe(arm: Arm) -> Recipe:
    """What ``arm`` is trained with."""
    return recipe_named(arm.plant)
