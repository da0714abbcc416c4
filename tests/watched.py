"""A database in which traces are stored and folded, without a daemon."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.domain.trace import Trace
from monitor.drift.baseline import NullRule
from monitor.drift.controller import Controller, ControllerRules
from monitor.ingest.offset import StoredOffset
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.engine import create_engine_for
from monitor.postgres.streams import PostgresFoldStore
from tests.traces import checkpoint, scored


def watch(postgres_url: str, traces: Sequence[Trace], *, baseline: int) -> None:
    """Store *traces*, freeze the first *baseline* of them, and fold the rest."""
    engine = create_engine_for(postgres_url)
    try:
        store = PostgresCheckpoints(engine, group_id="g", max_cohorts=50)
        store.begin({("traces", 0): StoredOffset(0)})
        store.write(checkpoint(scored(traces)))
        Controller(PostgresFoldStore(engine), ControllerRules(10_000.0, baseline, NullRule())).tick()
    finally:
        engine.dispose()
