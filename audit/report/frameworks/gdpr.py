"""Regulation (EU) 2016/679, Article 35: data protection impact assessment."""

from __future__ import annotations

from audit.report.frameworks.point import Framework, Point

_POINTS = (
    Point("35(7)(a)", "Description of the processing and its purposes; legitimate interest",
          ("provenance",),
          ("governance.system", "governance.purpose", "governance.persons", "data.source",
           "accounting.retention")),
    Point("35(7)(b)", "Necessity and proportionality for the purposes",
          (), ("accounting.necessity", "governance.alternatives", "governance.why_epsilon")),
    Point("35(7)(c)", "Risks to the rights and freedoms of data subjects",
          ("memorization", "exposure", "exposed"), ("governance.persons", "governance.risks"),
          "risks of other processing"),
    Point("35(7)(d)", "Measures against the risks, safeguards, security, showing compliance",
          ("claim",),
          ("claim.trust_model", "accounting.raw_data", "governance.mitigations",
           "governance.decision"), "other measures"),
    Point("35(2)", "Advice of the data protection officer",
          (), ("signoff.name", "signoff.role"), "the advice"),
    Point("35(9)", "Views of data subjects or their representatives"),
    Point("35(11)", "Review, at least when the risk changes", (), ("signoff.next_review",)),
)  # fmt: skip

GDPR = Framework(
    "GDPR, Regulation (EU) 2016/679, Article 35",
    "crosswalk-gdpr",
    _POINTS,
    "The contents that 35(7) asks of an impact assessment, and three steps around it.",
)
