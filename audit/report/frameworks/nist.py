"""NIST SP 800-226 (final, March 2025; doi:10.6028/NIST.SP.800-226), topic by topic."""

from __future__ import annotations

from audit.report.frameworks.point import Framework, Point

_POINTS = (
    Point("1 · Promise", "What the claim promises and what it does not, in plain words",
          ("summary", "claim"), ("claim.plain",)),
    Point("1 · ε and δ", "Privacy parameters, what they allow, why these",
          ("claim", "memorization"), ("governance.why_epsilon",)),
    Point("1 · Variant", "Which definition of differential privacy, and conversions", ("claim",)),
    Point("1 · Unit of privacy", "Whose contribution is covered, and how it is bounded",
          ("claim",), ("claim.unit_of_privacy", "claim.rows_per_person", "claim.protected")),
    Point("1 · Neighbours", "Neighbouring data sets: adding or removing, or replacing", ("claim",)),
    Point("1 · Comparison", "What is needed to compare claims with one another", ("claim",)),
    Point("1 · Other releases", "Releases from the same data, private or not",
          ("claim",), ("claim.composition", "claim.non_dp_releases")),
    Point("2 · Mechanism", "Where noise enters, and how much; bounded contributions", ("claim",)),
    Point("2 · Composition", "Total over steps, models and later releases",
          ("claim",), ("claim.composition",)),
    Point("2 · Utility", "How accurate results are with privacy, and what it costs",
          ("memorization", "subgroups"), ("governance.cost",)),
    Point("2 · Bias", "Systemic, human and statistical bias, and small groups",
          ("subgroups", "exposed"), ("fairness.groups",), "systemic and human bias"),
    Point("2 · Machine learning", "Private training, its settings, attacks on models",
          ("claim", "exposure"), ("accounting.pretraining", "claim.data_accesses")),
    Point("2 · Queries, synthetic data", "Statistics and synthetic data released privately"),
    Point("3 · What is released", "Query model: what leaves, how often, to whom",
          (), ("claim.released",)),
    Point("3 · Trust and threats", "Who is trusted, who attacks, with what knowledge",
          ("exposure",), ("claim.trust_model",)),
    Point("3 · Correct implementation", "That the code does what the proof assumes",
          ("provenance", "exposure"), (), "the code of a model trained elsewhere"),
    Point("3 · Numbers and randomness", "Floating point, random numbers, seeds",
          ("claim",), ("accounting.random_source",)),
    Point("3 · Side channels", "Running time, errors, memory as channels"),
    Point("3 · Data security", "Protection of raw data, access control, deletion",
          (), ("accounting.raw_data", "accounting.retention"), "access to the deployed system"),
    Point("3 · Data collection", "Exposure by the collection itself; collecting less",
          (), ("accounting.necessity", "data.source")),
)  # fmt: skip

NIST = Framework(
    "NIST SP 800-226, evaluating claims of differential privacy (March 2025)",
    "crosswalk-nist",
    _POINTS,
    "By topic of its three parts: 1 the claim, 2 algorithms, 3 deployment; the names are ours.",
)
