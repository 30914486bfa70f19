"""What the tool itself can say of the accounting of a run's private arms, a row each.

Each function takes run.json and summary.json and returns the value of one row.
"""

from __future__ import annotations

from audit.accounting import epsilon_of_renyi, gaussian_mu, renyi
from audit.report.known import Run, Summary, by_arm, native, trained_here
from audit.report.words import finite, general, name, private_arms

_ORDERS = (2, 4, 8, 16, 32, 64)
_MANY_ORDERS = (*range(2, 65), 80, 96, 128, 192, 256, 384, 512)


def reconversion(run: Run, summary: Summary) -> str:
    """ε by other accountants, Rényi DP at whole orders, μ: from the native parameters alone."""

    def say(arm: str) -> str:
        facts, found = run["arms"][arm], native(run, arm)
        if found is None or not facts["delta"] > 0:
            return "not known: only (ε, δ) is stated"
        others = [
            f"{words} {general(facts[key], 4)}"
            for words, key in (("RDP", "epsilon_rdp"), ("PLD", "epsilon_pld"))
            if finite(facts.get(key))
        ]
        orders = ", ".join(f"{a}: {general(renyi(**found, order=a), 3)}" for a in _ORDERS)
        converted = {a: epsilon_of_renyi(renyi(**found, order=a), a, facts["delta"])
                     for a in _MANY_ORDERS}  # fmt: skip
        best = min(converted, key=lambda a: converted[a])
        return (
            (f"ε by other accountants: {', '.join(others)}. " if others else "")
            + f"Rényi DP by order: {orders}; order {best} gives ε = {general(converted[best], 4)}. "
            f"μ = {general(gaussian_mu(**found), 3)} (central limit, no bound)"
        )

    return by_arm(run, private_arms(summary, run), say)


_DRAWN = {
    True: "holds (the draws of the checked model agree)",
    False: "does not hold (the draws of the checked model do NOT agree)",
    None: "assumed (drawn so by the code that trains; not tested on draws here)",
}


def sampling(run: Run, summary: Summary) -> str:
    """Whether minibatches are drawn as the accountant assumes."""

    def say(arm: str) -> str:
        if native(run, arm) is None:
            return trained_here(run, arm, "not known: no mechanism is stated")
        stream = ((run.get("cross_check") or {}).get(arm) or {}).get("stream") or {}
        return trained_here(
            run, arm,
            "Poisson sampling, each example in a step by a coin of its own with probability "
            f"{general(run['arms'][arm]['sample_rate'], 4)}: {_DRAWN[stream.get('passed')]}",
        )  # fmt: skip

    return by_arm(run, private_arms(summary, run), say)


def clipping(run: Run, summary: Summary) -> str:
    def say(arm: str) -> str:
        facts = run["arms"][arm]
        if not finite(facts.get("clip_norm")):
            return trained_here(run, arm, "not known")
        batch = facts.get("expected_batch_size")
        batch = (facts.get("hyperparameters") or {}).get("batch_size") if batch is None else batch
        return trained_here(
            run, arm,
            f"each example's gradient to norm {general(facts['clip_norm'])} over all layers "
            f"together; their sum is divided by the planned size {general(batch, 4)} of a "
            "minibatch, a constant, whatever the minibatch's own size",
        )  # fmt: skip

    return by_arm(run, private_arms(summary, run), say)


def layers(run: Run, summary: Summary) -> str:
    engines = run.get("engine") or {}

    def say(arm: str) -> str:
        why = str((engines.get(arm) or {}).get("why", ""))
        replaced = [s for s in why.split(". ") if "BatchNorm" in s and "replaced" in s]
        if replaced:
            return trained_here(run, arm, f"none left: {name(replaced[0].split(':')[0], 200)}")
        return trained_here(
            run, arm, "none: layers that mix the examples of a minibatch are refused"
        )

    return by_arm(run, private_arms(summary, run), say)


def pretraining(run: Run, summary: Summary) -> str:
    model = str((run.get("model") or {}).get("name", ""))

    def say(arm: str) -> str:
        own = ":" in model
        return trained_here(
            run, arm,
            "not known here: the user's own code makes the network" if own
            else "none: parameters are drawn at random for each model",
        )  # fmt: skip

    return by_arm(run, list(summary["arms"]), say)


def random_source(run: Run, summary: Summary) -> str:
    device = str((run.get("hardware") or {}).get("device", ""))

    def say(arm: str) -> str:
        if (run.get("engine") or {}).get(arm, {}).get("name") == "opacus":
            made = "Opacus with a seeded PyTorch generator"
        elif device.startswith("cuda"):
            made = "PyTorch's generator on the GPU (Philox), seeded"
        else:
            made = "SFC64 with the Box–Muller transform, seeded"
        return trained_here(
            run, arm,
            f"{made} from the run's seed{_told(run.get('seed'))}, so that the run can be repeated: "
            "no cryptographic source, and whoever knows the seed can take the noise away again",
        )  # fmt: skip

    return by_arm(run, private_arms(summary, run), say)


def _told(seed: object) -> str:
    return " (not told in this profile)" if seed is None else f" {seed}"


def floating_point(run: Run, summary: Summary) -> str:
    def say(arm: str) -> str:
        return trained_here(
            run, arm,
            "noise and sums are 32-bit floating-point numbers, not reals as the proof assumes; "
            "what their gaps could reveal (Mironov 2012) is neither covered by ε nor tested",
        )  # fmt: skip

    return by_arm(run, private_arms(summary, run), say)


def kept(run: Run, summary: Summary) -> str:
    del run, summary
    return (
        "the run directory keeps who was in which training set, the models' answers on every "
        "example, and of each example its label and its subgroups (labels.safetensors), not its "
        "other features and not the models; delete it when it is no longer needed"
    )
