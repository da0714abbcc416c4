"""What is selected stands in the queue as soon as its trace is stored, and the plan reaches the workers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs
from sqlalchemy import Engine, select, text

from monitor.domain.label import PREFERENCE
from monitor.domain.review import Selection, SelectionPlan
from monitor.errors import Fenced
from monitor.ingest.offset import StoredOffset
from monitor.postgres import schema
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.review_plan import KEPT_SECONDS, PostgresPlans
from tests.traces import checkpoint, scored, trace

pytestmark = pytest.mark.postgres
DRAWN = Selection(PREFERENCE, 0.5, 0.1, selected=True, wanted=2)


def test_a_selected_trace_and_its_item_are_stored_together_or_not_at_all(engine: Engine) -> None:
    store = PostgresCheckpoints(engine, group_id="group", max_cohorts=50)
    store.begin({("traces", 0): StoredOffset(0)})
    first, second = scored([trace(number, reference_response="The other.") for number in range(2)])
    items = [
        structs.replace(first, selections=(DRAWN,)),
        structs.replace(second, selections=(replace(DRAWN, selected=False),)),
    ]
    with pytest.raises(Fenced):
        store.write(checkpoint(items, start=7))
    store.write(checkpoint(items))
    table = schema.review_item.c
    with engine.begin() as connection:
        columns = table.trace_id, table.kind, table.probability, table.counted, table.reason, table.wanted, table.state
        assert connection.execute(select(*columns)).all() == [
            ("t-0", PREFERENCE, 0.5, True, "floor", 2, "open"),
        ]


def test_a_trace_that_was_forgotten_and_comes_again_keeps_its_item(engine: Engine) -> None:
    store = PostgresCheckpoints(engine, group_id="group", max_cohorts=50)
    store.begin({("traces", 0): StoredOffset(0)})
    items = [structs.replace(item, selections=(DRAWN,)) for item in scored([trace(0, reference_response="The other.")])]
    store.write(checkpoint(items))
    with engine.begin() as connection:
        connection.execute(text("delete from stored_trace"))
    store.write(checkpoint(items, start=1))
    with engine.begin() as connection:
        assert len(connection.execute(select(schema.review_item)).all()) == 1


def test_the_latest_plan_is_in_force_and_seen_by_workers_within_seconds(engine: Engine) -> None:
    now = [100.0]
    first = SelectionPlan(least=0.01)
    plans = PostgresPlans(engine, first, clock=lambda: now[0])
    assert plans.current() == first
    plan = SelectionPlan(least=0.02, disputed=0.5, disagreement_above=1.5)
    for written in (SelectionPlan(least=0.5), plan):
        plans.write(written)
    assert plans.current() == first
    now[0] += KEPT_SECONDS
    assert plans.current() == replace(plan, revision=2)
