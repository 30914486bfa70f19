"""What empirical ε says of a claim, and how much it says of its own power."""

from __future__ import annotations

import numpy as np
import pytest

from audit.analysis.empirical import CanaryOutputs, Coins, _on_canaries, _on_examples
from audit.claims import Claim, make_claim
from audit.report import epsilon_findings
from audit.report.epsilon_section import _points, _row


def claim(epsilon: float, delta: float) -> Claim:
    return make_claim(epsilon, delta, design="poisson", source="a test")


@pytest.fixture
def coins() -> np.ndarray:
    return np.random.default_rng(0).random((16, 80)) < 0.5


def noise(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape)


def test_a_leak_under_a_claim_without_delta_is_refuted(coins: np.ndarray):
    """No Gaussian mechanism is (ε, 0)-DP: the bound that assumes none stands."""
    told = _on_examples(coins, 10 * coins + noise(coins.shape), Coins("poisson", 0.5),
                        claim(1.0, 0.0), 0.0)  # fmt: skip
    assert told["refutes_claim"] is True
    assert told["assumes"] is None
    assert 1 < told["epsilon"]["value"] == told["epsilon_any"]["value"] < 10
    nothing = _on_examples(coins, noise(coins.shape), Coins("poisson", 0.5), claim(1.0, 0.0), 0.0)
    assert nothing["refutes_claim"] is False
    assert nothing["epsilon"]["value"] < 0.5


def test_margins_of_planted_rows_have_no_known_power(coins: np.ndarray):
    """That nothing is found by an attack of unknown strength is no consistency."""
    scores = noise(coins.shape)
    wide, many = np.tile(coins, (1, 40)), np.tile(scores, (1, 40))
    rows = _on_canaries(CanaryOutputs("mislabeled", wide, many), claim(2.0, 1e-4), 1e-4)
    steps = _on_canaries(CanaryOutputs("gradient", wide, many, many), claim(2.0, 1e-4), 1e-4)
    assert "would_refute_twice" not in rows
    assert steps["would_refute_twice"] is True
    run = {"arms": {"dp": {"kind": "dp", "epsilon": 2.0, "delta": 1e-4}}}
    for entry, verdict in ((rows, "could_not_tell"), (steps, "consistent")):
        if entry["refutes_claim"]:
            pytest.fail("noise refuted a claim")
        summary = {"models": 16, "arms": {"dp": {"empirical_epsilon": {"procedures": [entry]}}}}
        said = epsilon_findings.canaries("dp", summary, run)
        assert said is not None
        assert said["verdict"] == verdict


def test_a_swap_is_held_against_what_the_claim_allows_a_swap():
    entry = {
        "id": "witness",
        "procedure": "witness bound",
        "on": "training examples",
        "threat": "right or wrong",
        "epsilon": {"value": 3.0},
        "refutes_claim": False,
    }
    run = {
        "inclusion": {"design": "fixed"},
        "arms": {"dp": {"kind": "dp", "epsilon": 2.0, "delta": 1e-4}},
    }
    result = {"test": {"epsilon": 4.0}, "empirical_epsilon": {"procedures": [entry]}}
    summary = {"arms": {"dp": result}}
    assert _row("dp", entry, run, summary)[4] == "4 (a swap)"
    assert _points(["dp"], summary, run)["points"][0]["claimed"] == 4.0
    copies = {**entry, "id": "canaries", "copies": 4, "epsilon": {"value": 9.0}}
    result["empirical_epsilon"] = {"procedures": [copies]}
    assert _points(["dp"], summary, run)["points"][0]["claimed"] is None
