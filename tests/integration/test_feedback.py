"""What users did after answers, through the database: counted once, when the time is over, and then watched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from monitor.domain.alarm import Alarm, Direction
from monitor.domain.label import Label, LabelSource
from monitor.drift.controller import LATE_SECONDS, Controller
from monitor.ingest.offset import StoredOffset
from monitor.labels import feedback
from monitor.labels.feedback import FeedbackKeeper, FeedbackRule
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.engine import create_engine_for
from monitor.postgres.feedback import PostgresFeedback
from monitor.postgres.labels import insert_labels
from monitor.postgres.streams import PostgresFoldStore
from monitor.signals.user_feedback import FEEDBACK
from tests.traces import START, checkpoint, scored, trace
from tests.watched import rules_of

pytestmark = pytest.mark.postgres
WINDOW = timedelta(hours=1)
RULE = FeedbackRule((FEEDBACK["escalation"],), WINDOW)
BATCH = 500


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine_for(postgres_url)
    yield engine
    engine.dispose()


class Site:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.log = PostgresFoldStore(engine)
        self.checkpoints = PostgresCheckpoints(engine, group_id="group", max_cohorts=50)
        self.checkpoints.begin({("traces", 0): StoredOffset(0)})
        self.clock = 0.0
        self.controller = Controller(self.log, rules_of(400), clock=lambda: self.clock)
        self.traces = 0

    def write(self, *, repeated: bool = False) -> None:
        traces = [trace(number) for number in range(self.traces, self.traces + BATCH)]
        self.checkpoints.write(checkpoint(scored(traces, repeated=repeated), start=self.traces))
        self.traces += BATCH
        self.log.place_entries()

    def escalate(self, *numbers: int) -> None:
        labels = [
            Label(
                f"l-{number}", START + timedelta(seconds=number + 60), f"t-{number}", "escalation", 1.0,
                source=LabelSource.USER,
            )
            for number in numbers
        ]  # fmt: skip
        with self.engine.begin() as connection:
            insert_labels(connection, labels)

    def values(self) -> list[float]:
        batches = self.log.window(0, self.log.next_place(), {"escalation"})
        return [value for batch in batches for value in batch.values.tolist()]


@pytest.fixture
def site(engine: Engine) -> Site:
    return Site(engine)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the log's time be over as soon as traces are stored: what counts is within an hour of their own."""
    monkeypatch.setattr(feedback, "GRACE", -WINDOW)


def test_a_trace_whose_time_is_not_over_is_not_counted(site: Site, engine: Engine) -> None:
    site.write()
    assert not FeedbackKeeper(PostgresFeedback(engine), RULE).turn()
    site.log.place_entries()
    assert site.values() == []


@pytest.mark.usefixtures("at_once")
def test_each_trace_is_counted_once_whoever_leads_and_repeats_never(site: Site, engine: Engine) -> None:
    site.write()
    site.escalate(3, 4)
    for _ in range(3):
        FeedbackKeeper(PostgresFeedback(engine), RULE).turn()
    site.escalate(5)  # too late: the trace has been counted
    site.write(repeated=True)
    site.write()
    site.escalate(2 * BATCH)
    FeedbackKeeper(PostgresFeedback(engine), RULE).turn()
    site.log.place_entries()
    values = site.values()
    assert (len(values), sum(values)) == (2 * BATCH, 3.0)
    assert [row for row, value in enumerate(values) if value] == [3, 4, BATCH]


@pytest.mark.usefixtures("at_once")
def test_nothing_is_written_where_nothing_is_followed(site: Site, engine: Engine) -> None:
    site.write()
    assert not FeedbackKeeper(PostgresFeedback(engine), replace(RULE, signals=())).turn()
    assert PostgresFeedback(engine).due(timedelta(0)) is not None


@pytest.mark.usefixtures("at_once")
def test_more_escalations_raise_an_alarm_once_there_is_a_law(site: Site, engine: Engine) -> None:
    keeper = FeedbackKeeper(PostgresFeedback(engine), RULE)
    alarms: list[Alarm] = []
    for batch in range(14):
        site.write()
        every = 50 if batch < 6 else 5  # 2%, then 20%
        site.escalate(*range(batch * BATCH, (batch + 1) * BATCH, every))
        while keeper.turn():
            pass
        site.clock += LATE_SECONDS
        tick = site.controller.tick()
        alarms += tick.alarms
        while tick.folded < tick.places:
            tick = site.controller.tick()
            alarms += tick.alarms
    raised = [alarm for alarm in alarms if alarm.stream.signal == "escalation"]
    assert raised
    assert raised[0].direction is Direction.UP
    assert raised[0].stream.scorer_version == "within-1h"
    active = site.log.active()
    assert active is not None
    law = active.baseline.get("escalation", "within-1h")
    assert law is not None
    assert sum(row.observations for row in law.strata) >= 2_000
