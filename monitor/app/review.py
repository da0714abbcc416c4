"""The review queue's parts: what draws in the worker, and what annotators use."""

from __future__ import annotations

from sqlalchemy import Engine

from monitor.domain.review import SelectionPlan, drawing_key
from monitor.observe.selection import SelectionRule
from monitor.postgres.review import PostgresReviews
from monitor.postgres.review_plan import PostgresPlans
from monitor.review.queue import QueueRules
from monitor.settings.labels import ReviewSettings


def selection_of(engine: Engine, settings: ReviewSettings) -> SelectionRule:
    """Return how a worker draws: by the leader's plan, and by the floor alone until there is one."""
    first = SelectionPlan(kinds=settings.kinds, least=settings.floor_ratio, disputed=settings.floor_ratio)
    return SelectionRule(
        key=drawing_key(settings.key.get_secret_value()),
        overlap=settings.overlap,
        overlap_ratio=settings.overlap_ratio,
        plan=PostgresPlans(engine, first).current if settings.floor_ratio else SelectionPlan,
    )


def reviews_of(engine: Engine, settings: ReviewSettings) -> PostgresReviews:
    """Return the queue as annotators use it."""
    rules = QueueRules(
        key=drawing_key(settings.key.get_secret_value()),
        gold_ratio=settings.gold_ratio,
        claim_seconds=settings.claim_seconds,
        daily_budget=settings.daily_budget,
    )
    return PostgresReviews(engine, rules)
