"""Privacy accounting: ε ⇄ noise, and the whole privacy curve, by Opacus and dp-accounting.

Everything here is about the Poisson-subsampled Gaussian mechanism composed over the steps, under
the add/remove relation: the mechanism that the training code runs, minibatch by minibatch.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float64

from audit.errors import BadInput

# The noise is searched until the achieved ε is this close (relatively) below the target.
_EPSILON_TOLERANCE = 2e-3
# Above this noise the target is out of reach for any practical training.
_LARGEST_NOISE = 1e4
_SMALLEST_NOISE = 0.05
# Enough from RDP's noise; from anywhere a few more are left to the bisection.
_SECANTS = 6
# In log noise: no further down at once than the bisection itself would look.
_LONGEST_STEP = math.log(2)
# Beyond Opacus's largest order, 63, with which no noise gives an ε under log(1/δ)/62 or so.
_LARGER_ORDERS = (64, 96, 128, 192, 256, 384, 512, 768, 1000)


@dataclass(frozen=True)
class Mechanism:
    """A calibrated DP-SGD mechanism and what accountants say of it.

    ``epsilon`` is the ε achieved at ``delta`` by ``accountant``. ``epsilon_rdp`` and
    ``epsilon_pld`` are other accountants' values for the same mechanism, for readers who compare
    with other tools: printed ε from different accountants are not comparable.
    """

    target_epsilon: float
    delta: float
    sample_rate: float
    steps: int
    noise_multiplier: float
    epsilon: float
    accountant: str
    epsilon_rdp: float
    epsilon_pld: float


@dataclass(frozen=True)
class PrivacyCurve:
    """δ(ε) on a grid of ε ≥ 0: the mechanism is (ε, δ(ε))-DP at every point."""

    epsilon: Float64[np.ndarray, " points"]
    delta: Float64[np.ndarray, " points"]


def default_delta(n: int) -> float:
    """δ = n^−1.1, just under 1/n: below that, publishing random records would be "private"."""
    return float(n) ** -1.1


def check_delta(delta: float, n: int) -> None:
    """Refuse a δ that protects nobody.

    Raises:
        BadInput: δ outside (0, 1/n). A mechanism that publishes one random record in full satisfies
            (0, 1/n)-DP (Dwork & Roth 2014, §2.3).
    """
    if not 0 < delta < 1 / n:
        raise BadInput(
            "delta",
            delta,
            f"must be positive and below 1/n = {1 / n:.3g}",
            f"Leave it out for n^-1.1 = {default_delta(n):.3g}",
        )


def calibrate(epsilon: float, delta: float, *, sample_rate: float, steps: int) -> Mechanism:
    """The least noise (to 0.2 % of ε) for which training is (ε, δ)-DP.

    The PRV accountant (Gopi, Lee & Wutschitz 2021) is tried first; where it fails numerically, RDP
    (Mironov 2017), which is looser. The result says which was used.

    Raises:
        BadInput: ε not positive and finite, or out of reach at this sampling rate and step count.
    """
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise BadInput("epsilon", epsilon, "must be positive and finite", "Use e.g. --epsilon 2")
    # RDP never under-reports, so its noise is enough; PRV is only asked near and below it, where
    # its grids stay small (at a much smaller noise it would need one too large to hold).
    noise = _least_noise(_rdp_epsilon, epsilon, delta, sample_rate, steps)
    name, achieved = "RDP", _rdp_epsilon(noise, delta, sample_rate, steps)
    with contextlib.suppress(ValueError, RuntimeError, FloatingPointError, MemoryError):
        noise = _least_noise(_prv_epsilon, epsilon, delta, sample_rate, steps, start=noise)
        name, achieved = "PRV", _prv_epsilon(noise, delta, sample_rate, steps)
    import opacus

    return Mechanism(
        target_epsilon=epsilon,
        delta=delta,
        sample_rate=sample_rate,
        steps=steps,
        noise_multiplier=noise,
        epsilon=achieved,
        accountant=f"{name} (Opacus {opacus.__version__})",
        epsilon_rdp=_rdp_epsilon(noise, delta, sample_rate, steps),
        epsilon_pld=float(_pld(noise, sample_rate, steps).get_epsilon_for_delta(delta)),
    )


def achieved_epsilon(
    accountant: str, noise_multiplier: float, *, delta: float, sample_rate: float, steps: int
) -> float:
    """ε at ``delta`` by the accountant that a :class:`Mechanism` names ("PRV (Opacus 1.6.0)").

    Raises:
        BadInput: an accountant that this tool does not have.
    """
    asked = {"PRV": _prv_epsilon, "RDP": _rdp_epsilon}.get(accountant.partition(" ")[0])
    if asked is None:
        raise BadInput("accountant", accountant, "is none of PRV, RDP", "Ask who stated the claim")
    return asked(noise_multiplier, delta, sample_rate, steps)


def privacy_curve(noise_multiplier: float, *, sample_rate: float, steps: int) -> PrivacyCurve:
    """The mechanism's δ(ε) from its privacy loss distribution (Koskela et al. 2020; dp-accounting).

    Discretisation rounds pessimistically, so each point is an upper bound on δ. The grid ends where
    δ falls under 1e-15.
    """
    pld = _pld(noise_multiplier, sample_rate, steps)
    largest = max(1.0, float(pld.get_epsilon_for_delta(1e-15)))
    if not math.isfinite(largest):
        largest = 50.0
    grid = np.linspace(0.0, largest, 401)
    delta = np.asarray(pld.get_delta_for_epsilon(grid.tolist()), dtype=np.float64)
    return PrivacyCurve(grid, np.clip(delta, 0.0, 1.0))


def swap_curve(curve: PrivacyCurve) -> PrivacyCurve:
    """The curve for swapping one example, from the add/remove one: (2ε, (1 + e^ε) δ(ε))."""
    delta = np.minimum(1.0, (1 + np.exp(curve.epsilon)) * curve.delta)
    return PrivacyCurve(2 * curve.epsilon, delta)


def renyi(noise_multiplier: float, *, sample_rate: float, steps: int, order: int) -> float:
    """Rényi DP at a whole ``order`` ≥ 2 of the Poisson-subsampled Gaussian over all steps.

    Mironov, Talwar & Zhang 2019 (§3.3): steps/(α−1) · log Σ_k C(α,k) (1−q)^{α−k} q^k
    e^{k(k−1)/(2z²)}; exact, and needs no accountant: for readers who convert ε once more.
    """
    q, z = sample_rate, noise_multiplier
    if q == 1:
        return steps * order / (2 * z**2)
    terms = [
        math.lgamma(order + 1) - math.lgamma(k + 1) - math.lgamma(order - k + 1)
        + (order - k) * math.log1p(-q) + k * math.log(q) + k * (k - 1) / (2 * z**2)
        for k in range(order + 1)
    ]  # fmt: skip
    largest = max(terms)
    total = largest + math.log(sum(math.exp(t - largest) for t in terms))
    return max(0.0, steps * total / (order - 1))


def epsilon_of_renyi(value: float, order: int, delta: float) -> float:
    """ε at ``delta`` from Rényi DP ``value`` at ``order``; never negative (Balle et al. 2020,
    arXiv 1905.09982, Thm. 21)."""
    slack = math.log1p(-1 / order) - (math.log(delta) + math.log(order)) / (order - 1)
    return max(0.0, value + slack)


def gaussian_mu(noise_multiplier: float, *, sample_rate: float, steps: int) -> float:
    """μ of Gaussian DP by the central limit theorem, q √(T (e^{1/z²} − 1)): no bound, but near
    where steps are many and q is small (Bu, Dong, Long & Su 2020)."""
    return sample_rate * math.sqrt(steps * math.expm1(min(noise_multiplier**-2, 700.0)))


def _least_noise(
    epsilon_of: Callable[[float, float, float, int], float],
    target: float,
    delta: float,
    q: float,
    steps: int,
    *,
    start: float = 1.0,
) -> float:
    """Smallest noise with ``epsilon_of`` at most ``target``, by bisection (ε falls with noise).

    Where the bisection will end is first found by secants; most of its comparisons are then known
    from these evaluations (:class:`_Evaluated`).

    Raises:
        BadInput: no noise up to the largest is enough.
    """
    asked = _Evaluated(lambda noise: epsilon_of(noise, delta, q, steps), target)
    asked.approach(start)
    high = start
    while asked.exceeds(high):
        high = _larger(high, 2.0, target)
    low = high / 2
    while low > _SMALLEST_NOISE and not asked.exceeds(low):
        low, high = low / 2, low
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        if asked.exceeds(middle):
            low = middle
        else:
            high = middle
            if not asked.falls_short(middle):
                break
    # An accountant that errs by more than the tolerance need not fall with the noise everywhere:
    # what is returned was itself asked about. (Not "> target": that would let NaN pass.)
    while not asked.at(high) <= target:
        high = _larger(high, 1 + _EPSILON_TOLERANCE, target)
    return high


def _larger(noise: float, factor: float, target: float) -> float:
    if noise * factor > _LARGEST_NOISE:
        raise BadInput(
            "epsilon",
            target,
            f"would need a noise multiplier above {_LARGEST_NOISE:g}",
            "Use a larger epsilon, a smaller batch size or fewer epochs",
        )
    return noise * factor


class _Evaluated:
    """ε of noises, evaluated only where ε at other noises does not tell what is asked.

    An evaluation is a convolution over a grid that grows with ε: those far below the noise that is
    looked for cost the most, and say the least.
    """

    def __init__(self, epsilon_of: Callable[[float], float], target: float) -> None:
        self._epsilon_of, self._target = epsilon_of, target
        self._enough = target * (1 - _EPSILON_TOLERANCE)
        self._found: dict[float, float] = {}

    def at(self, noise: float) -> float:
        """ε at ``noise``, evaluated once."""
        if noise not in self._found:
            self._found[noise] = self._epsilon_of(noise)
        return self._found[noise]

    def exceeds(self, noise: float) -> bool:
        """Whether ε at ``noise`` is above the target."""
        if any(noise <= at for at, epsilon in self._found.items() if epsilon > self._target):
            return True
        if any(noise >= at for at, epsilon in self._found.items() if epsilon <= self._target):
            return False
        return self.at(noise) > self._target

    def falls_short(self, noise: float) -> bool:
        """Whether ε at ``noise`` is below the target by more than the tolerance."""
        if any(noise >= at for at, epsilon in self._found.items() if epsilon < self._enough):
            return True
        return self.at(noise) < self._enough

    def approach(self, noise: float) -> None:
        """Evaluate noises from ``noise`` on towards the target, by secants of log ε in log noise,
        until they enclose it closely."""
        power = -1.0
        for _ in range(_SECANTS):
            epsilon = self.at(noise)
            if not 0 < epsilon < math.inf:
                return
            # Aimed just beyond the middle of the tolerance, from one side and from the other.
            aim = self._enough if epsilon > self._target else self._target
            aim *= 1 + _EPSILON_TOLERANCE / (-4 if epsilon > self._target else 4)
            step = math.exp(
                max(-_LONGEST_STEP, min(_LONGEST_STEP, math.log(aim / epsilon) / power))
            )
            following = noise * step
            if not _SMALLEST_NOISE < following < _LARGEST_NOISE or self._encloses():
                return
            reached = self.at(following)
            if reached > 0 and reached != epsilon:
                slope = math.log(reached / epsilon) / math.log(step)
                power = min(-0.1, max(-10.0, slope))
            noise = following

    def _encloses(self) -> bool:
        above = [at for at, epsilon in self._found.items() if epsilon > self._target]
        below = [at for at, epsilon in self._found.items() if epsilon < self._enough]
        return bool(above and below) and min(below) / max(above) < 1 + 4 * _EPSILON_TOLERANCE


@lru_cache(maxsize=256)
def _prv_epsilon(noise: float, delta: float, q: float, steps: int) -> float:
    from opacus.accountants import PRVAccountant

    accountant = PRVAccountant()
    accountant.history = [(noise, q, steps)]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        epsilon = float(accountant.get_epsilon(delta, eps_error=0.005))
    if not math.isfinite(epsilon):
        raise FloatingPointError("PRV gave no finite epsilon")
    return epsilon


def _rdp_epsilon(noise: float, delta: float, q: float, steps: int) -> float:
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = [(noise, q, steps)]
    with warnings.catch_warnings():
        # Opacus warns when the best order lies at the edge of its grid: looser, still valid.
        warnings.simplefilter("ignore")
        epsilon, order = accountant.get_privacy_spent(delta=delta)
        if order == max(accountant.DEFAULT_ALPHAS):
            orders: list[float | int] = list(_LARGER_ORDERS)
            epsilon = min(epsilon, accountant.get_epsilon(delta, alphas=orders))
    return float(epsilon)


# One is tens of megabytes; calibration and the curve after it ask for the same.
@lru_cache(maxsize=1)
def _pld(noise: float, q: float, steps: int):
    from dp_accounting.pld import privacy_loss_distribution

    return privacy_loss_distribution.from_gaussian_mechanism(
        standard_deviation=noise, sampling_prob=q, value_discretization_interval=1e-4
    ).self_compose(steps)
