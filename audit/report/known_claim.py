"""What the tool itself can say beside the attested fields of the claim, a row each.

Each function takes run.json and summary.json and returns the value of one row.
"""

from __future__ import annotations

import math

from audit.report.brought import is_brought
from audit.report.check_findings import is_learner
from audit.report.claim_findings import has_curve, outright_is_allowed
from audit.report.known import NO_CLAIM, Run, Summary, by_arm, native
from audit.report.words import (
    arm_words,
    count,
    counted,
    general,
    is_swap,
    joined,
    name,
    number,
    private_arms,
    probability,
)


def not_said(run: Run, summary: Summary) -> str:
    if not private_arms(summary, run):
        return NO_CLAIM
    return (
        "The claim is on page one in words. It does not say that nothing can be learned about a "
        "person (what follows from other people's data can), and says nothing about other releases."
    )


def delta_against_n(run: Run, summary: Summary) -> str:
    n = run["data"]["n"]

    def say(arm: str) -> str:
        delta = run["arms"][arm]["delta"]
        times = f"δ = {general(delta, 2)} is {number(delta * n, 2)} times 1/n (n = {count(n)})"
        if delta < 1 / n:
            return f"{times}: below 1/n"
        return f"WARNING: {times}: publishing whole records at random would satisfy it"

    return by_arm(run, private_arms(summary, run), say)


def can_fail(run: Run, summary: Summary) -> str:
    """Whether any outcome could refute the bare (ε, δ), in numbers."""
    between = " between in and out" if is_swap(run) else ""

    def say(arm: str) -> str:
        result = summary["arms"][arm]
        above, test = result.get("above_bound") or {}, result.get("test") or {}
        allowed = f"memorization up to {number(above.get('memorization_cap'), 4)}{between}"
        curve = "no privacy curve is known"
        if has_curve(result):
            curve = f"the privacy curve allows up to {number(above.get('tradeoff_cap'))}"
        if outright_is_allowed(test):
            return (
                f"hardly: (ε, δ) allows {allowed}, so that even an example that models get right "
                f"in 99 % of cases with it and in 1 % without it obeys the claim; {curve}"
            )
        return (
            f"yes: (ε, δ) allows {allowed}; an example memorized outright breaks it, which "
            f"{counted(summary.get('models'), 'model')} find with "
            f"{probability(test.get('power'))} power; {curve}"
        )

    return by_arm(run, private_arms(summary, run), say)


def unit(run: Run, summary: Summary) -> str:
    del summary
    return f"one training example of {count(run['data']['n'])}, that is, one row of the data set"


def two_rows(run: Run, summary: Summary) -> str:
    def say(arm: str) -> str:
        epsilon, delta = run["arms"][arm]["epsilon"], run["arms"][arm]["delta"]
        grown = min(1.0, delta * (1 + math.exp(min(epsilon, 700.0))))
        if grown >= 1:
            return "nothing at all (δ would be 1)"
        return f"ε = {general(2 * epsilon)}, δ = {general(grown, 2)}"

    private = private_arms(summary, run)
    if not private:
        return "not known here"
    covered = by_arm(run, private, say, "; ")
    return f"not known here. Two rows of one person would be covered by {covered}"


def neighbours(run: Run, summary: Summary) -> str:
    """The relation that each claim is about, and whether the inclusion design tests just that."""
    design = (run.get("inclusion") or {}).get("design")

    def say(arm: str) -> str:
        replace = run["arms"][arm].get("adjacency") == "replace_one"
        about = "replacing one example" if replace else "adding or removing one example"
        if design not in {"poisson", "fixed"}:
            return f"the claim is about {about}; the inclusion design is not recorded"
        if replace == (design == "fixed"):
            return f"yes: the claim is about {about}, and {_DESIGN[design]}"
        return (
            f"no: the claim is about {about}, but {_DESIGN[design]}; it is therefore tested as "
            f"ε = {general(run['arms'][arm].get('in_out_epsilon'))}"
        )

    return by_arm(run, private_arms(summary, run), say)


_DESIGN = {
    "poisson": "“in” against “out” adds or removes one example",
    "fixed": "“in” against “out” exchanges one example for another (subsets of fixed size)",
}


def protected(run: Run, summary: Summary) -> str:
    del run, summary
    return "an example was in a model's training data with its features and its label, or was not"


def covered_release(run: Run, summary: Summary) -> str:
    def say(arm: str) -> str:
        known = native(run, arm) is not None and not is_brought(run)
        claim = (
            "the accounting covers all steps of one training, and with them its final weights and "
            "predictions"
            if known
            else "what the claim covers is stated by whoever makes it"
        )
        seen = (summary["arms"][arm].get("empirical_epsilon") or {}).get("procedures") or []
        steps = any(str(entry.get("on", "")).startswith("gradient") for entry in seen)
        also = ", and the steps along planted canaries" if steps else ""
        return f"{claim}; tested were the final models' answers{also}"

    return by_arm(run, private_arms(summary, run), say)


def outside(run: Run, summary: Summary) -> str:
    """What touched the training data outside every ε."""
    data = run["data"]
    fitted = [name(x) for x in data.get("fitted_on_train") or []]
    fitted += [f"grouping “{name(g['name'])}”" for g in data.get("groupings") or []
               if g.get("uses_training_data")]  # fmt: skip
    if is_brought(run):
        fitted.append("scaling and features: not known here")
    tuned = by_arm(
        run, list(summary["arms"]),
        lambda arm: name((run["arms"].get(arm) or {}).get("tuning", "not recorded"), 400),
        "; ",
    )  # fmt: skip
    stopping = "not known here" if is_brought(run) else "none, the number of steps is fixed"
    if any(is_learner(arm, run) for arm in summary["arms"]):
        stopping = "not known here (the learner decides)"
    return (
        f"fitted on the training data: {'; '.join(fitted) or 'nothing'}. Tuning: {tuned}. Early "
        f"stopping: {stopping}. Choice of the model by looking at results, and this audit: not "
        "covered"
    )


def models_made(run: Run, summary: Summary) -> str:
    models = counted(summary.get("models"), "model")
    arms = joined([arm_words(arm, run) for arm in summary["arms"]])
    text = f"{models} each by {arms}, all from the same data, for this audit"
    if not private_arms(summary, run):
        return text
    return f"{text}. A claim is about one of them: m models that are released have m times ε and δ"


def without_privacy(run: Run, summary: Summary) -> str:
    private = private_arms(summary, run)
    standard = [arm_words(arm, run) for arm in summary["arms"] if arm not in private]
    models = counted(summary.get("models"), "model")
    made = f"the {models} by {joined(standard)}, and " if standard else ""
    return f"{made}this report with every number in it: none of it is covered by any ε"
