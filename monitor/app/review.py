"""The review queue's parts: what draws in the worker, what annotators use, and the leader's duties."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import structlog
from sqlalchemy import Engine

from monitor.domain.order import Actor
from monitor.domain.review import ReviewStatus, SelectionPlan, drawing_key
from monitor.errors import InvalidInput
from monitor.ingest.redact import RedactionFailed, redaction_of
from monitor.observe.selection import SelectionRule
from monitor.postgres.document import storable_text
from monitor.postgres.review import PostgresReviews
from monitor.postgres.review_files import PostgresReviewFiles
from monitor.postgres.review_items import PostgresReviewItems
from monitor.postgres.review_plan import PostgresPlans, PostgresTraffic
from monitor.review.blind import BlindReviews
from monitor.review.exchange import Imported, Read, Returned, Unread
from monitor.review.plan import Traffic, Wishes, plan_selection
from monitor.review.queue import QueueRules
from monitor.settings.labels import ReviewSettings
from monitor.settings.root import Settings
from monitor.settings.text import RedactionSettings
from monitor.telemetry.labels import LabelMetrics

PLAN_SECONDS = 15.0
TIDY_SECONDS = 30.0
ALARM_SHARE = 0.1  # of the day's budget, for the examples of alarms
PATIENCE = timedelta(days=1)  # with which an item waits for an annotator who has not answered it
log = structlog.get_logger(__name__)


def selection_of(engine: Engine, settings: ReviewSettings, *, has_texts: bool = True) -> SelectionRule:
    """Return how a worker draws: by the leader's plan, and by the floor alone until there is one.

    Nothing is drawn where no text is stored: nobody could judge it.
    """
    draws = settings.floor_ratio > 0 and has_texts
    if draws and settings.key == ReviewSettings().key:
        log.warning("review_key_is_the_default", hint="set review.key, or who writes traces can tell which are drawn")
    first = SelectionPlan(kinds=settings.kinds, least=settings.floor_ratio, disputed=settings.floor_ratio)
    return SelectionRule(
        key=drawing_key(settings.key.get_secret_value()),
        overlap=settings.overlap,
        overlap_ratio=settings.overlap_ratio,
        plan=PostgresPlans(engine, first).current if draws else SelectionPlan,
    )


def reviews_of(engine: Engine, settings: Settings) -> BlindReviews:
    """Return the queue as annotators use it."""
    rules = queue_rules_of(settings.review)
    return BlindReviews(PostgresReviews(engine, rules), rules.key, redaction_of_notes(settings.ingest.redaction))


def redaction_of_notes(settings: RedactionSettings) -> Callable[[str], str]:
    """Return what takes out of a note what is not to be stored; it raises `InvalidInput` where that fails."""
    redaction = redaction_of(settings)

    def redact(note: str) -> str:
        if redaction is None or not note:
            return note
        try:
            return redaction.text(storable_text(note))
        except RedactionFailed as failure:
            raise InvalidInput(f"note: {failure}, so it is not stored: answer without one") from None

    return redact


class ReviewDesk:
    """`web.routes.queue.Queue`, and the commands': how the queue stands, and its items for other tools."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._files = PostgresReviewFiles(engine, queue_rules_of(settings.review))
        self.export = self._files.export
        self._redact = redaction_of_notes(settings.ingest.redaction)
        self._items = PostgresReviewItems(engine)
        self.make_gold = self._items.make_gold
        self._plans = PostgresPlans(engine, SelectionPlan())
        self._daily_budget = settings.review.daily_budget

    def take_all(self, answers: Read, *, actor: Actor) -> Imported:
        return self._files.take_all([self._redacted(answer) for answer in answers], actor=actor)

    def _redacted(self, answer: Returned | Unread) -> Returned | Unread:
        if isinstance(answer, Unread):
            return answer
        try:
            return replace(answer, note=self._redact(answer.note))
        except InvalidInput as refused:
            return Unread(answer.place, str(refused))

    def status(self) -> ReviewStatus:
        items = self._items
        return ReviewStatus(items.counts(), items.answers(), self._plans.latest(), self._daily_budget)


def queue_rules_of(settings: ReviewSettings) -> QueueRules:
    return QueueRules(
        key=drawing_key(settings.key.get_secret_value()),
        gold_ratio=settings.gold_ratio,
        claim_seconds=settings.claim_seconds,
        daily_budget=settings.daily_budget,
    )


class PlanReview:
    """Keep the selection plan within the day's budget as traffic changes."""

    def __init__(self, fenced: Engine, settings: ReviewSettings) -> None:
        self._settings = settings
        self._plans = PostgresPlans(fenced, SelectionPlan())
        self._store = PostgresTraffic(fenced, settings.kinds)
        self._traffic = Traffic()
        self._sequence: int | None = None  # of the last entry that is counted

    def __call__(self) -> None:
        settings, seen = self._settings, self._store.since(self._sequence)
        self._traffic.add(seen.minutes, seen.now)
        self._sequence = seen.sequence
        wishes = Wishes(
            kinds=settings.kinds,
            least=settings.floor_ratio,
            disputed=settings.disputed_ratio,
            disputed_share=1.0 - settings.disputed_quantile,
            daily_items=max(settings.daily_budget - self._store.alarm_items(), 0),
        )
        before, disagreements = self._plans.latest(), self._store.disagreements()
        traces = self._traffic.a_day(seen.now)
        plan = plan_selection(wishes, traces_a_day=traces, disagreements=disagreements, before=before)
        if plan is not before:
            self._plans.write(plan)
            log.info("review_planned", least=plan.least, disputed=plan.disputed, traces_a_day=round(traces))


class TidyReview:
    """Put in what alarms show, take out what cannot be judged, and show where the queue stands."""

    def __init__(self, fenced: Engine, settings: ReviewSettings, metrics: LabelMetrics) -> None:
        self._settings = settings
        self._items = PostgresReviewItems(fenced)
        self._plans = PostgresPlans(fenced, SelectionPlan())
        self._traffic = PostgresTraffic(fenced, settings.kinds)
        self._metrics = metrics

    def __call__(self) -> None:
        room = int(ALARM_SHARE * self._settings.daily_budget) - self._traffic.alarm_items()
        if self._settings.floor_ratio and room > 0:
            self._items.put_alarm_examples(self._settings.kinds, limit=room)
        self._items.tidy(PATIENCE)
        self._metrics.show_review(self._items.counts(), self._items.answers(), self._plans.latest() or SelectionPlan())
