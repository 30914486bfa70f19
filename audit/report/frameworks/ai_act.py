"""Regulation (EU) 2024/1689, Annex IV: technical documentation of high-risk AI systems."""

from __future__ import annotations

from audit.report.frameworks.point import Framework, Point

_POINTS = (
    Point("1(a)", "Purpose, provider, version and its relation to earlier ones",
          (), ("governance.purpose", "governance.provider", "governance.version")),
    Point("1(b)", "Interaction with other hardware, software, AI systems",
          (), ("governance.system",), "interfaces"),
    Point("1(c)", "Versions of software and firmware, updates",
          ("provenance",), (), "of the product"),
    Point("1(d)", "Forms in which it is placed on the market",
          (), ("claim.released",), "packaging and channels"),
    Point("1(e)", "Hardware it is meant to run on"),
    Point("1(f)", "Pictures of products that contain it"),
    Point("1(g)", "User interface for the deployer"),
    Point("1(h)", "Instructions for use",
          (), ("governance.limits",), "the instructions"),
    Point("2(a)", "Steps of development, use of pre-trained parts and others' tools",
          ("claim", "provenance"), ("accounting.pretraining",), "of the system around the model"),
    Point("2(b)", "Logic, design choices, assumptions about people, what is optimised, trade-offs",
          ("claim", "subgroups", "provenance"),
          ("governance.persons", "governance.why_epsilon", "governance.alternatives"),
          "of the system around the model"),
    Point("2(c)", "Architecture of the software, computing resources",
          ("provenance",), (), "of the system around the model"),
    Point("2(d)", "Training data: provenance, scope, selection, labelling, cleaning",
          ("provenance",), ("data.source", "data.collected")),
    Point("2(e)", "Human oversight (Art. 14) and interpretation of outputs"),
    Point("2(f)", "Changes determined in advance"),
    Point("2(g)", "Validation and tests, metrics, discriminatory impact; dated, signed reports",
          ("memorization", "exposure", "subgroups", "provenance"),
          ("signoff.name", "signoff.date", "signoff.signature"), "robustness, other tests"),
    Point("2(h)", "Cybersecurity", ("exposure",), ("accounting.raw_data",), "other measures"),
    Point("3", "Limits, accuracy for groups of persons, foreseeable risks, oversight, inputs",
          ("subgroups", "exposed"), ("governance.risks", "governance.limits"),
          "oversight, specifications of inputs"),
    Point("4", "Why the performance metrics are appropriate",
          ("memorization", "subgroups"), ("fairness.groups",), "for this system"),
    Point("5", "Risk management system (Art. 9)",
          (), ("governance.risks", "governance.mitigations"), "the system as a process"),
    Point("6", "Changes made over the life cycle",
          (), ("governance.version",), "their history"),
    Point("7", "Harmonised standards applied, or other solutions"),
    Point("8", "EU declaration of conformity (Art. 47)"),
    Point("9", "Post-market monitoring (Art. 72)",
          (), ("signoff.next_review",), "the monitoring plan"),
)  # fmt: skip

AI_ACT = Framework(
    "EU AI Act, Regulation (EU) 2024/1689, Annex IV",
    "crosswalk-ai-act",
    _POINTS,
    "Annex IV binds providers of high-risk systems; whether this is one, is not said here.",
)
