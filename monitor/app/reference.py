"""The parts that ask the released policy again, from the settings."""

from __future__ import annotations

from hashlib import blake2b

from sqlalchemy import Engine

from monitor.drift.reasker import Reasker, ReaskMetrics, ReaskRules, Score
from monitor.postgres.reask import PostgresReask
from monitor.postgres.streams import PostgresFoldStore
from monitor.reference.http import HttpReference, ReferenceEndpoint
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
