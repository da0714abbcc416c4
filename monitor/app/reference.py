"""The parts that ask the released policy again, from the settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from hashlib import blake2b

from sqlalchemy import Engine

from monitor.app.leader import Duty
from monitor.domain.score import Reward
from monitor.domain.trace import Message
from monitor.drift.reasker import Reasker, ReaskMetrics, ReaskRules, Score
from monitor.postgres.reask import PostgresReask
from monitor.postgres.streams import PostgresFoldStore
from monitor.reference.http import HttpReference, ReferenceEndpoint
from monitor.rewards.turns import SharedScorer
from monitor.settings.reference import ReferenceSettings


def reference_of(settings: ReferenceSettings) -> HttpReference:
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
        )
    )


def store_of(settings: ReferenceSettings, engine: Engine) -> PostgresReask:
    return PostgresReask(engine, daily_requests=settings.daily_requests, daily_tokens=settings.daily_tokens)


@contextmanager
def asking_again(
    settings: ReferenceSettings, engine: Engine, *, scorer: SharedScorer, metrics: ReaskMetrics
) -> Iterator[list[Duty]]:
    """Offer the leader's duty of asking again, while the block lasts; none where there is nobody to ask."""
    if settings.endpoint is None:
        yield []
        return

    def score(rows: Sequence[tuple[Sequence[Message], str]]) -> Sequence[Reward | None]:
        ensemble = scorer.current()
        return [None] * len(rows) if ensemble is None else ensemble.score(rows)

    with closing(reasker_of(settings, engine, metrics=metrics, score=score)) as reasker:
        yield [Duty("ask_again", 0.0, reasker)]


def reasker_of(settings: ReferenceSettings, engine: Engine, *, metrics: ReaskMetrics, score: Score) -> Reasker:
    """Return what asks again, to be closed by the caller; a leader's *engine* is fenced."""
    asked_how = (settings.endpoint, settings.model, settings.temperature, settings.max_tokens)
    rules = ReaskRules(
        reference=blake2b(repr(asked_how).encode(), digest_size=8).hexdigest(),
        max_prompts=settings.max_prompts,
        concurrency=settings.concurrency,
        alpha=settings.alpha,
    )
    observations, policy = PostgresFoldStore(engine), reference_of(settings)
    return Reasker(store_of(settings, engine), observations, policy, rules=rules, metrics=metrics, score=score)
