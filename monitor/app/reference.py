"""The parts that ask the released policy again, from the settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

from sqlalchemy import Engine

from monitor.app.leader import Duty
from monitor.domain.order import Actor
from monitor.domain.score import Reward
from monitor.domain.trace import Message
from monitor.drift.comparison import Comparison
from monitor.drift.control import ControlStream
from monitor.drift.reask import MEASURES, PairTolerance
from monitor.drift.reasker import Reasker, ReaskMetrics, ReaskRules
from monitor.errors import InvalidSetting
from monitor.postgres.reask import PostgresReask
from monitor.postgres.streams import PostgresFoldStore
from monitor.reference.http import HttpReference, ReferenceEndpoint
from monitor.rewards.turns import SharedScorer
from monitor.settings.probes import ProbeSettings
from monitor.settings.reference import ReferenceSettings
from monitor.signals.refusal import PatternRefusal, RefusalModel, counted_by


def reference_of(
    settings: ReferenceSettings | ProbeSettings, *, setting: str = "drift.reference.model"
) -> HttpReference:
    """Return the server that *settings* name; *setting* is told where it serves several models."""
    assert settings.endpoint is not None
    return HttpReference(
        ReferenceEndpoint(
            url=settings.endpoint,
            model=settings.model,
            temperature=settings.temperature,
            max_tokens=settings.max_tokens,
            timeout_seconds=settings.timeout_seconds,
            concurrency=settings.concurrency,
            api_key=settings.api_key.get_secret_value() if settings.api_key is not None else None,
            setting=setting,
        )
    )


def store_of(settings: ReferenceSettings, engine: Engine) -> PostgresReask:
    return PostgresReask(engine, daily_requests=settings.daily_requests, daily_tokens=settings.daily_tokens)


@dataclass(frozen=True, slots=True)
class Reasks:
    """`web.routes.alarm.Reasks`, and the command's."""

    engine: Engine
    settings: ReferenceSettings

    def reask(self, alarm_id: int, *, actor: Actor) -> int:
        if self.settings.endpoint is None:
            raise InvalidSetting("drift.reference.endpoint is not set: name a server of the released policy there")
        store_of(self.settings, self.engine).request(alarm_id, signals=MEASURES, actor=actor)
        return self.settings.max_prompts


RELEASE_SECONDS = 10.0
DEFAULT_TOLERANCE = PairTolerance()
PATTERNS = PatternRefusal()


@contextmanager
def asking_again(
    settings: ReferenceSettings,
    engine: Engine,
    *,
    scorer: SharedScorer,
    metrics: ReaskMetrics,
    tolerance: PairTolerance = DEFAULT_TOLERANCE,
    refusals: RefusalModel = PATTERNS,
) -> Iterator[list[Duty]]:
    """Offer the leader's duty of asking again, while the block lasts."""
    if settings.endpoint is None:
        release = partial(store_of(settings, engine).release, patience_seconds=0.0)
        yield [Duty("let_pages_go", RELEASE_SECONDS, release)]  # of alarms from when there was somebody to ask
        return

    def score(rows: Sequence[tuple[Sequence[Message], str]]) -> Sequence[Reward | None]:
        ensemble = scorer.current()
        return [None] * len(rows) if ensemble is None else ensemble.score(rows)

    with closing(reference_of(settings)) as policy:
        comparison = Comparison(policy, score, refusals)
        asker = reasker_of(settings, engine, comparison=comparison, tolerance=tolerance, metrics=metrics)
        duties = [Duty("ask_again", 0.0, asker)]
        if settings.control_ratio > 0:
            control = control_of(settings, engine, comparison=comparison, metrics=metrics)
            duties.append(Duty("ask_control", 0.0, control))
        yield duties


def reasker_of(
    settings: ReferenceSettings,
    engine: Engine,
    *,
    comparison: Comparison,
    metrics: ReaskMetrics,
    tolerance: PairTolerance = DEFAULT_TOLERANCE,
) -> Reasker:
    """Return what asks an alarm's prompts again; a leader's *engine* is fenced."""
    rules = ReaskRules(
        reference=identity_of(settings, comparison.refusals),
        max_prompts=settings.max_prompts,
        concurrency=settings.concurrency,
        alpha=settings.alpha,
        patience_seconds=settings.patience_seconds,
        tolerance=tolerance,
    )
    store = store_of(settings, engine)
    return Reasker(store, PostgresFoldStore(engine), comparison, rules=rules, metrics=metrics)


def control_of(
    settings: ReferenceSettings, engine: Engine, *, comparison: Comparison, metrics: ReaskMetrics
) -> ControlStream:
    return ControlStream(
        store_of(settings, engine),
        PostgresFoldStore(engine),
        comparison,
        reference=identity_of(settings, comparison.refusals),
        ratio=settings.control_ratio,
        at_once=settings.concurrency,
        metrics=metrics,
    )


def identity_of(settings: ReferenceSettings, refusals: RefusalModel) -> str:
    """Return the name of who is asked, and how, and who reads refusals: answers of two are never mixed."""
    asked_how = (settings.endpoint, settings.model, settings.temperature, settings.max_tokens, counted_by(refusals))
    return blake2b(repr(asked_how).encode(), digest_size=8).hexdigest()
