"""A database in which traces are stored and folded, without a daemon."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.domain.trace import Trace
from monitor.drift.budget import Budget
from monitor.drift.controller import Controller, ControllerRules
from monitor.drift.fold import FoldRules
from monitor.drift.freeze import NullRule
from monitor.ingest.offset import StoredOffset
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.engine import create_engine_for
from monitor.postgres.streams import PostgresFoldStore
from tests.traces import checkpoint, scored


def rules_of(baseline: int, *, patience: int = 2000) -> ControllerRules:
    """Return rules under which every stream alarms at 10,000, and the first *baseline* traces are frozen."""
    return ControllerRules(FoldRules(Budget(average_run_length=10_000.0), patience), baseline, NullRule())


def watch(postgres_url: str, traces: Sequence[Trace], *, baseline: int) -> None:
    """Store *traces*, freeze the first *baseline* of them, and fold the rest."""
    engine = create_engine_for(postgres_url)
    try:
        store = PostgresCheckpoints(engine, group_id="g", max_cohorts=50)
        store.begin({("traces", 0): StoredOffset(0)})
        store.write(checkpoint(scored(traces)))
        Controller(PostgresFoldStore(engine), rules_of(baseline)).tick()
    finally:
        engine.dispose()
