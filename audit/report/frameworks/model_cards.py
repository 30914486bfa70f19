"""Model cards (Mitchell et al. 2019, Model Cards for Model Reporting, §4): the nine sections."""

from __future__ import annotations

from audit.report.frameworks.point import Framework, Point

_POINTS = (
    Point("4.1 Model details", "Who made it, when, version, type, training, licence, contact",
          ("provenance",), ("governance.system", "governance.version", "governance.provider")),
    Point("4.2 Intended use", "Uses, users, uses out of scope",
          (), ("governance.purpose", "governance.limits")),
    Point("4.3 Factors", "Groups and conditions that matter, and why these",
          ("subgroups",), ("fairness.groups",)),
    Point("4.4 Metrics", "Measures, thresholds, how variation is dealt with",
          ("memorization", "exposure", "subgroups")),
    Point("4.5 Evaluation data", "Data sets, why these, preparation",
          ("provenance",), ("data.source",)),
    Point("4.6 Training data", "The same of the training data, as far as possible",
          ("provenance",), ("data.source", "data.collected")),
    Point("4.7 Quantitative analyses", "Results by factor and by their crossings",
          ("subgroups", "exposed")),
    Point("4.8 Ethical considerations", "Sensitive data, risks, harms, mitigations",
          ("exposure",), ("governance.persons", "governance.risks", "governance.mitigations")),
    Point("4.9 Caveats and recommendations", "What else a user has to know",
          ("summary",), ("governance.limits",)),
)  # fmt: skip

MODEL_CARDS = Framework(
    "Model cards (Mitchell et al. 2019)", "crosswalk-model-cards", _POINTS,
    "Numbered as the sections of the paper.",
)  # fmt: skip
