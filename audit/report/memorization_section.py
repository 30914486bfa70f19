"""The section "Memorization against what ε allows": how much, how likely by chance, what bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from audit.report import chart_data
from audit.report.blocks import NUMBER, TEXT, chart, figure, section, table, text
from audit.report.claim_findings import (
    UNTESTED,
    certified,
    certified_label,
    diverged,
    has_curve,
    models_needed,
)
from audit.report.colours import arm_colour
from audit.report.disclosure import pictures, rounding
from audit.report.disclosure.words import WITHHELD
from audit.report.frames import rows_of, values
from audit.report.words import (
    Json,
    arm_label,
    count,
    estimate,
    finite,
    general,
    has_test,
    is_swap,
    number,
    part,
    percent,
    private_arms,
    probability,
)


def memorization_section(
    run: Mapping[str, Any],
    summary: Mapping[str, Any],
    examples: pd.DataFrame,
    fewest: int,
    gallery: Sequence[Json] = (),
) -> Json:
    """Estimates per arm, histograms with the caps, the p_out–p_in plane, the exact test; at the
    end ``gallery``.

    ``fewest``: examples that a bin of a picture must hold (1, or more in the public profile).
    """
    rows = {arm: rows_of(examples, "arm", arm) for arm in summary["arms"]}
    introduction = text(
        "Memorization of an example is p_in − p_out: how often models label it correctly when it "
        "was in their training subset, less how often they do when it was not. Near 0 the models "
        "know the example from its like; near 1 they know it only because they have seen it. "
        "Negative values are chance and are not cut off.",
        "Every ε, cap and limit of this section is that between in and out, a swap of two "
        "examples: twice the ε claimed."
        if is_swap(run)
        else "",
    )
    blocks = [introduction, _estimates(run, summary), _histograms(run, summary, rows, fewest)]
    blocks += [
        _plane(arm, run, arm_rows, fewest, curve=has_curve(summary["arms"][arm]))
        for arm, arm_rows in rows.items()
    ]
    return section(
        "memorization",
        "Memorization against what ε allows",
        [*blocks, _test(run, summary), *gallery],
    )


def _estimates(run: Mapping[str, Any], summary: Mapping[str, Any]) -> Json:
    lines = (
        ("Test accuracy", "accuracy_test", "percent"),
        ("Accuracy on included examples", "accuracy_included", "percent"),
        ("Accuracy on excluded examples", "accuracy_excluded", "percent"),
        ("Generalization gap (included − excluded)", "generalization_gap", "number"),
        ("Mean memorization", "mem_mean", "number"),
        ("Share of examples with memorization ≥ 0.25", "mem_share_above_0.25", "percent"),
        ("Largest memorization", "mem_max", "number"),
    )
    arms = summary["arms"]
    rows = []
    for label, key, unit in lines:
        counts = {part(arms[arm].get(key), "n") for arm in arms}
        n = ", ".join(count(x) for x in sorted(c for c in counts if c is not None))
        if key == "accuracy_test" and not has_test(run):
            rows.append([label, *("no test outputs" for _ in arms), "–"])
            continue
        rows.append([label, *(estimate(arms[arm].get(key), unit) for arm in arms), n or "–"])
    columns = [("Estimate", TEXT), *((arm_label(a, run), NUMBER) for a in arms), ("n", NUMBER)]
    return table(
        "Estimates per arm with 95 % intervals",
        columns,
        rows,
        "n counts the independent units: models, not examples, for everything averaged over "
        "examples, and models are what the intervals let vary. The limits of the largest "
        "memorization are for the largest true one and allow for its having been picked; the value "
        "itself is the largest of many noisy ones. Mean memorization and the gap are two ways to "
        "nearly the same number; the self-check compares them.",
    )


def _caps(arm: str, summary: Mapping[str, Any]) -> list[Json]:
    above = summary["arms"][arm].get("above_bound") or {}
    named = (("trade-off cap", "tradeoff_cap"), ("e^ε cap", "memorization_cap"))
    return [
        {"value": float(above[key]), "label": f"{label} {number(above[key])}"}
        for label, key in named
        if finite(above.get(key))
    ]


def _histograms(
    run: Mapping[str, Any],
    summary: Mapping[str, Any],
    rows: Mapping[str, pd.DataFrame],
    fewest: int,
) -> Json:
    mem = {arm: values(arm_rows, "mem") for arm, arm_rows in rows.items()}
    low, high = chart_data.histogram_range(np.concatenate([*mem.values()]))
    data = {arm: chart_data.histogram(x, low, high) for arm, x in mem.items()}
    merged = ""
    if fewest > 1:
        drawn = pictures.histograms(list(mem.values()), low, high, fewest)
        data = dict(zip(mem, drawn, strict=True))
        merged = f" Bins are merged until each holds no example or {fewest} and more; {_ROUNDED}."
    charts = []
    for arm in rows:
        title = f"Memorization in {arm_label(arm, run)}"
        description = "Histogram of memorization, examples on a logarithmic scale; " + (
            ", ".join(c["label"] for c in _caps(arm, summary)) or "no cap"
        )
        contents = {**data[arm], "caps": _caps(arm, summary)}
        colour = arm_colour(arm, run)
        charts.append(chart("histogram", title, description, contents, colour))
    edges = data[next(iter(data))]["edges"]
    bins = [
        [f"{number(edges[b], 2)} to {number(edges[b + 1], 2)}", *(count(c) for c in counts)]
        for b in range(len(edges) - 1)
        if any(counts := [d["counts"][b] for d in data.values()])
    ]
    bins.append(["not estimable", *(count(d["undefined"]) for d in data.values())])
    columns = [("Memorization", TEXT), *((arm_label(a, run), NUMBER) for a in rows)]
    return figure(
        charts,
        f"How many training examples are memorized how much. {_caps_words(run, summary)} Single "
        "estimates scatter around 0 by chance.",
        table("Training examples by memorization", columns, bins,
              f"Empty bins are left out. “Not estimable”: in every model or in none.{merged}"),
    )  # fmt: skip


def _caps_words(run: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """What the dashed lines of the histograms are."""
    arms, private = summary["arms"], private_arms(summary, run)
    curve = any(has_curve(result) for result in arms.values())
    by = (
        ": by e^ε alone, and by the accountant's whole privacy curve (trade-off cap)."
        if curve
        else " by e^ε."
    )
    lines = "The dashed lines are" if curve else "The dashed line is"
    if not private:
        return f"{lines} the most that any example could reach under {_asked(run)}{by}"
    text = f"{lines} the most that any example could reach under the claim{by}"
    if len(private) < len(arms):
        text += (
            f" For standard training, which claims nothing, {'they show' if curve else 'it shows'} "
            "what the strictest claim of this run would allow."
        )
    return text


def _asked(run: Mapping[str, Any]) -> str:
    """The claim that nobody makes, but that was asked about."""
    return f"a claim of ε = {general((run.get('judged_by') or {}).get('epsilon'))}"


_ROUNDED = f"counts are multiples of {rounding.COUNTS}"


def _plane(
    arm: str, run: Mapping[str, Any], rows: pd.DataFrame, fewest: int, *, curve: bool
) -> Json:
    public = fewest > 1
    data = pictures.plane(rows, fewest) if public else chart_data.plane(rows)
    label = arm_label(arm, run)
    own = run["arms"].get(arm, {}).get("kind") == "dp"
    forbids = "what the claim forbids" if own or curve else f"what {_asked(run)} would forbid"
    limits = (
        ", lightly by the trade-off curve (solid line), darker by e^ε alone (dashed line)"
        if curve
        else " (beyond the dashed line)"
    )
    drawn = chart(
        "plane",
        f"With against without each example, {label}",
        "Share of models right with the example against the share right without it, in cells of "
        f"0.05, with the limits of e^ε{' and of the trade-off curve' if curve else ''}",
        data,
        arm_colour(arm, run),
    )
    bands = pictures.bands(rows, fewest) if public else chart_data.bands(rows)
    cells = [
        [
            f"{number(b['from'], 1)} to {number(b['to'], 1)}",
            count(b["n"]),
            number(b["median"], 2),
            *(
                [WITHHELD] * 3
                if public
                else [
                    number(b["max"], 2),
                    "no curve" if b["above_tradeoff"] is None else count(b["above_tradeoff"]),
                    count(b["above_bound"]),
                ]
            ),
        ]
        for b in bands
    ]
    columns = [("p_out", TEXT), ("Examples", NUMBER), ("Median p_in", NUMBER)]
    columns += [("Highest p_in", NUMBER), ("Above trade-off", NUMBER), ("Above e^ε", NUMBER)]
    return figure(
        [drawn],
        f"{label.capitalize()}: each square is a cell of examples, larger and darker where there "
        f"are more. On the diagonal an example makes no difference to its own label. Shaded: "
        f"{forbids}{limits}. Points beyond a line can be chance; the test below decides."
        + (
            f" Cells of fewer than {fewest} examples are left out, in all about "
            f"{count(data['left_out'])} examples."
            if public
            else ""
        ),
        table(
            f"p_in by band of p_out, {label}",
            columns,
            cells,
            "“Above” counts point estimates beyond the limit, before any test; near p_out = 1 one "
            "model more or less is enough to lie there. "
            "Not estimable (in every model or in none) and not in the table: "
            f"{count(data['undefined'])}."
            + (f" Withheld: what is of single examples; {_ROUNDED}." if public else ""),
        ),
    )


def _numbers(result: Mapping[str, Any]) -> str:
    if result.get("n_refuted") and result.get("witnesses", ()) is None:
        return WITHHELD
    return ", ".join(str(i) for i in result.get("witnesses") or []) or "none"


def _shown_power(power: object) -> str:
    return probability(power) if finite(power) else UNTESTED


def _of_curve(above: Json, key: str) -> str:
    return count(above[key]) if finite(above.get(key)) else "no curve"


_TESTED, _CERTIFIED = "ε, δ tested", "certified by the worst example (lower bound, 95 %)"
# One row of the test's table: label, and its cell from (arm's results, test, above_bound).
_TEST_ROWS: tuple[tuple[str, Callable[[Json, Json, Json], str]], ...] = (
    (_TESTED, lambda _, t, __: f"{general(t.get('epsilon'))}, {general(t.get('delta'), 2)}"),
    ("Hypotheses (examples × 4)", lambda _, t, __: count(t.get("hypotheses"))),
    ("Correction", lambda _, t, __: str(t.get("correction") or "Holm")),
    ("Error rate over all hypotheses", lambda _, t, __: percent(t.get("alpha"), 0)),
    ("Smallest p", lambda _, t, __: general(t.get("smallest_p"), 2)),
    ("Examples that refute it", lambda r, _, __: count(r.get("n_refuted"))),
    (
        "Their numbers (at most ten)",
        lambda r, _, __: _numbers(r),
    ),
    (
        "Power to find one memorized as ordinary training memorizes (p_in .99, p_out .01)",
        lambda _, t, __: _shown_power(t.get("power")),
    ),
    ("Models needed for 80 % power", lambda _, t, __: models_needed(t)),
    (_CERTIFIED, lambda r, _, __: number(part(certified(r), "value"), 2)),
    (
        "Point estimates above e^ε / above the trade-off curve",
        lambda _, __, a: f"{count(a.get('count'))} / {_of_curve(a, 'above_tradeoff')}",
    ),
    (
        "Beyond the trade-off curve by more than chance, in either direction",
        lambda _, __, a: _of_curve(a, "above_tradeoff_significant"),
    ),
    (
        "Examples for which e^ε forbids anything",
        lambda _, __, a: percent(a.get("informative_share")),
    ),
)


def _test(run: Mapping[str, Any], summary: Mapping[str, Any]) -> Json:
    arms, models = summary["arms"], count(summary.get("models"))
    own = {a: run["arms"].get(a, {}).get("kind") == "dp" for a in arms}
    rows = [
        [
            "Is it this arm's own claim?",
            *("yes" if own[a] else "no: it claims nothing" for a in arms),
        ]
    ]
    swap = ", between in and out (a swap)" if is_swap(run) else ""
    shown = {_TESTED: f"{_TESTED}{swap}", _CERTIFIED: f"{certified_label(run)} {_CERTIFIED}"}
    for label, cell in _TEST_ROWS:
        results = arms.values()
        cells = [cell(r, r.get("test") or {}, r.get("above_bound") or {}) for r in results]
        rows.append([shown.get(label, label), *cells])
    rows.append(["Models used", *(models for _ in arms)])
    families = (
        "Two families of tests are made per private arm, each with Holm at 5 %: the claim (ε, δ), "
        "and the privacy curve of the mechanism that was accounted for."
        if any(has_curve(result) for result in arms.values())
        else "No privacy curve is known here, so (ε, δ) alone is tested."
    )
    lost = [diverged(arm, summary, run) for arm in arms]
    if any(lost):
        rows.append(
            ["Of these, diverged (parameters or scores not finite)", *(count(k) for k in lost)]
        )
    return table(
        "The exact test of the claim",
        [("Quantity", TEXT), *((arm_label(a, run), NUMBER) for a in arms)],
        rows,
        "Per example, for both outcomes and both directions, an exact binomial test valid at every "
        "point of the null's boundary. “Consistent” is given only where the power is at least "
        "80 %; below that the verdict is “could not tell”. No violation found is weak evidence by "
        f"itself: natural examples seldom reach what ε allows. {families} Where the claim is "
        "refuted, the certified ε is at least the one tested.",
    )
