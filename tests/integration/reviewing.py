"""A queue with items in a real database, and annotators who answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from msgspec import structs
from sqlalchemy import Engine, select, text

from monitor.domain.label import PREFERENCE
from monitor.domain.review import Answer, AnswerGiven, Selection, drawing_key
from monitor.domain.trace import Message, Trace
from monitor.ingest.offset import StoredOffset
from monitor.postgres import schema
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.review import PostgresReviews
from monitor.review.queue import QueueRules
from tests.traces import checkpoint, scored, trace

KEY = drawing_key("secret")
RULES = QueueRules(KEY, claim_seconds=600.0, daily_budget=100)
DRAWN = Selection(PREFERENCE, 0.5, 0.1, selected=True)
POLICY, REFERENCE = "Said by the policy", "Said by the reference"


def judged_trace(number: int, **changes: object) -> Trace:
    usual: dict[str, object] = {
        "response": f"{POLICY} {number}.",
        "reference_response": f"{REFERENCE} {number}.",
        "messages": (Message("system", "Be kind."), Message("user", f"Question {number}?")),
        "policy_model": "hidden-policy",
        "cohort": {"dataset": "hidden-cohort"},
    }
    return trace(number, **usual | changes)


def store_items(engine: Engine, numbers: Sequence[int], *selections: Selection, **changes: object) -> None:
    """Store a trace of each number, selected as said; their item ids follow the order."""
    with engine.begin() as connection:
        start = connection.execute(text("select coalesce(max(next_offset), 0) from consumer_offset")).scalar_one()
    store = PostgresCheckpoints(engine, group_id="group", max_cohorts=50)
    store.begin({("traces", 0): StoredOffset(0)})
    items = [
        structs.replace(item, selections=selections or (DRAWN,))
        for item in scored([judged_trace(number, **changes) for number in numbers])
    ]
    store.write(checkpoint(items, start=start))


def queue_of(engine: Engine, **changes: object) -> PostgresReviews:
    return PostgresReviews(engine, replace(RULES, **changes))  # type: ignore[arg-type]


def label(item_id: int, value: float = 1.0, **changes: object) -> AnswerGiven:
    return replace(AnswerGiven(item_id, Answer.LABEL, value, seconds=3.5), **changes)  # type: ignore[arg-type]


def rows_of(engine: Engine, table: str, *columns: str) -> list[tuple[Any, ...]]:
    chosen = schema.metadata.tables[table]
    query = select(*(chosen.c[column] for column in columns)).order_by(*chosen.primary_key)
    with engine.begin() as connection:
        return [tuple(row) for row in connection.execute(query)]
