"""From settings to what a run learns from, and to who says whether it may."""

from __future__ import annotations

from monitor.labels.pairs import PairRules
from monitor.settings.root import Settings


def pair_rules_of(settings: Settings) -> PairRules:
    wanted = settings.retrain.preferences
    return PairRules(min_agreement=wanted.min_agreement, ai_ratio=wanted.ai_ratio)
