"""Frameworks that ask for what a report like this one answers in part: their points, as data."""

from __future__ import annotations

from audit.report.frameworks.ai_act import AI_ACT
from audit.report.frameworks.gdpr import GDPR
from audit.report.frameworks.iso_42001 import ISO_42001
from audit.report.frameworks.model_cards import MODEL_CARDS
from audit.report.frameworks.nist import NIST
from audit.report.frameworks.point import Framework

FRAMEWORKS: tuple[Framework, ...] = (NIST, AI_ACT, GDPR, ISO_42001, MODEL_CARDS)
