"""The half of the worker between Kafka and the database, from the settings."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from random import SystemRandom

from monitor.ingest.decode import load_tokenizer
from monitor.ingest.join import JoinRules
from monitor.ingest.limits import limits_of
from monitor.ingest.redact import redaction_of
from monitor.ingest.route import Router, routes_of
from monitor.observe.embedding import Embedder
from monitor.observe.scoring import RewardModel
from monitor.observe.step import ObserveRules
from monitor.pipeline.backoff import Backoff
from monitor.pipeline.batch import BatchBuilder
from monitor.pipeline.own_replays import OwnReplays
from monitor.pipeline.processor import BadRecordLimit, DeadLetters, Processor
from monitor.pipeline.sweep import Sweep
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.replays import PostgresReplays
from monitor.settings.root import Settings
from monitor.telemetry.health import Health
from monitor.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class MadeParts:
    """What the processor shares with the rest of the process."""

    store: PostgresCheckpoints
    dead_letters: DeadLetters
    replays: PostgresReplays
    metrics: Metrics
    health: Health


def processor_of(
    settings: Settings,
    made: MadeParts,
    *,
    rules: ObserveRules,
    reward_model: Callable[[], RewardModel | None],
    embedder: Embedder | None,
) -> Processor:
    """Return the processor; raise `InvalidSetting` for a format, a tokenizer or a function that is not there."""
    ingest, store = settings.ingest, made.store
    limits, redaction = limits_of(ingest), redaction_of(ingest.redaction)
    tokenizer = load_tokenizer(ingest.tokenizer) if ingest.tokenizer is not None else None
    builder = BatchBuilder(
        rules,
        store,
        store,
        reward_model=reward_model,
        embedder=embedder,
        metrics=made.metrics,
        joining=JoinRules(limits, patience_seconds=ingest.join.patience_seconds, tokenizer=tokenizer),
    )
    return Processor(
        router=Router(routes_of(settings.kafka), limits, tokenizer=tokenizer, redaction=redaction),
        builder=builder,
        store=store,
        dead_letters=made.dead_letters,
        limit=BadRecordLimit(
            max_run=ingest.max_bad_run,
            max_ratio=ingest.max_bad_ratio,
            is_own_replay=OwnReplays(made.replays.written).claim,
        ),
        metrics=made.metrics,
        health=made.health,
        backoff=Backoff(SystemRandom()),
        clock=lambda: datetime.now(UTC),
        stop=threading.Event(),
        sweep=Sweep(builder, store, made.metrics, max_fragments=ingest.join.max_fragments),
        max_traces=ingest.batch_max_traces,
    )
