"""Events, labels and labelled traces in a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from msgspec import structs
from sqlalchemy import Engine, text

from monitor.domain.label import PREFERENCE, Label
from monitor.domain.trace import Message, Trace
from monitor.ingest.offset import StoredOffset
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.labels import insert_labels
from tests.traces import checkpoint, scored
from tests.traces import trace as a_trace

START = datetime(2026, 11, 1, tzinfo=UTC)


def answered(number: int, **changes: object) -> Trace:
    """A trace whose answer can be held against its reference response."""
    usual = a_trace(number, response=f"ours {number}", reference_response=f"theirs {number}", conversation_id=None)
    return structs.replace(usual, messages=(Message("user", f"question {number}"),), **changes)


def store_traces(engine: Engine, traces: Sequence[Trace], *, start: int = 0) -> None:
    store = PostgresCheckpoints(engine, group_id="group", max_cohorts=50)
    store.begin({("traces", 0): StoredOffset(0)})
    store.write(checkpoint(scored(traces), start=start))


def label(number: int, value: float = 1.0, *, annotator: str | None = "ada", **changes: object) -> Label:
    """A preference label on the trace `answered(number)`, later than any with a lower minute."""
    usual = Label(
        label_id=f"l-{number}-{annotator}",
        timestamp=START + timedelta(minutes=number),
        trace_id=answered(number).trace_id,
        kind=PREFERENCE,
        value=value,
        annotator_id=annotator,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def store_labels(engine: Engine, *labels: Label) -> None:
    with engine.begin() as connection:
        insert_labels(connection, labels)


def forget_texts(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("delete from trace"))
