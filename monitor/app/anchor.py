"""The anchor set's two sides: every process may score it, and the leader judges by it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Engine

from monitor.drift.anchor_judge import AnchorJudge, AnchorReader, Anchors
from monitor.errors import InvalidInput, InvalidSetting
from monitor.observe.anchor import AnchorPlan, AnchorScoring, Scorer, read_pairs
from monitor.postgres.anchors import PostgresAnchors
from monitor.settings.rewards import AnchorSettings
from monitor.settings.root import Settings
from monitor.telemetry.metrics import Metrics


def anchor_scoring_of(settings: AnchorSettings, *, engine: Engine, scorer: Scorer, metrics: Metrics) -> AnchorScoring:
    """Return what scores the set; raises `InvalidSetting` for a file of pairs that cannot be used."""
    try:
        pairs = () if settings.file is None else read_pairs(settings.file)
    except InvalidInput as error:
        raise InvalidSetting(f"rewards.anchor.file: {error}") from None
    plan = AnchorPlan(settings.size, timedelta(seconds=settings.period_seconds), pairs)
    return AnchorScoring(plan, scorer=scorer, store=PostgresAnchors(engine), metrics=metrics)


def anchors_of(engine: Engine, settings: AnchorSettings) -> Anchors:
    """Return the anchor set as operators see it."""
    return Anchors(AnchorReader(PostgresAnchors(engine)), tolerance=settings.tolerance)


@dataclass(frozen=True, slots=True)
class JudgeAnchor:
    """Tell the scorer from the policy by the anchor set; show its age, and how far its scores moved."""

    judge: AnchorJudge
    period_seconds: float
    metrics: Metrics

    @classmethod
    def of(cls, settings: Settings, *, fenced: Engine, metrics: Metrics) -> JudgeAnchor:
        anchor = settings.rewards.anchor
        return cls(AnchorJudge(PostgresAnchors(fenced), tolerance=anchor.tolerance), anchor.period_seconds, metrics)

    def __call__(self) -> None:
        view = self.judge.turn()
        if view is None:
            return
        latest = view.latest
        shift = None if latest is None else latest.shift
        self.metrics.show_anchor(
            age_seconds=view.age_seconds,
            period_seconds=self.period_seconds,
            scorer="" if latest is None else latest.series.scorer_version,
            moved=None if shift is None else (shift.mean, shift.root_mean_square),
        )
