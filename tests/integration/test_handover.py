"""From one scorer to the next and back: whose alarms go on, on a real PostgreSQL, a real log and real runs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sqlalchemy import text

from monitor.domain.alarm import AlarmState, StoredAlarm
from monitor.domain.order import AlarmOrder, JobOrder
from monitor.domain.score import Reward
from monitor.drift.controller import Controller
from monitor.drift.rescore import RescoredBaselines
from monitor.ingest.offset import StoredOffset
from monitor.postgres.alarms import PostgresAlarms
from monitor.postgres.baselines import PostgresBaselineTraces
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.streams import PostgresFoldStore
from monitor.retraining.dispatcher import Step
from monitor.retraining.release import Releases
from monitor.retraining.service import JobService
from tests.integration.job_parts import OPERATOR, Parts, drive
from tests.program import wait_for
from tests.traces import checkpoint, drifting, scored
from tests.watched import rules_of

pytestmark = pytest.mark.postgres
RULES = rules_of(600)
FIRST = "first"  # the version of the adopted champion
TRACES = drifting(2000, change=700)
LIVE = {AlarmState.OPEN, AlarmState.ACKNOWLEDGED}


class World:
    """A champion that is watched, and jobs whose candidates score as it does."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.store = PostgresFoldStore(parts.engine)
        self.alarms = PostgresAlarms(parts.engine)
        self.written = 0
        self._checkpoints = PostgresCheckpoints(parts.engine, group_id="group", max_cohorts=50)
        self._checkpoints.begin({("traces", 0): StoredOffset(0)})
        self._rng = np.random.default_rng(3)
        laws = RescoredBaselines(PostgresBaselineTraces(parts.engine), RULES.null_rule)
        parts.releases = Releases(parts.begin, laws)
        parts.service = JobService(parts.begin, parts.releases)
        parts.adopt_champion()

    def write(self, count: int, version: str = FIRST, *, mean: float = 0.0) -> None:
        traces = TRACES[self.written : self.written + count]
        means = self._rng.normal(mean, 1.0, count)
        rewards = [Reward(version, (value, value + 0.2), value, value - 0.1, 0.1) for value in means]
        self._checkpoints.write(checkpoint(scored(traces, rewards=rewards), start=self.written))
        self.written += count

    def fold(self) -> None:
        wait_for(lambda: self.store.place_entries().next_place == self.written, "the places")
        Controller(self.store, RULES).tick()

    def promote(self) -> str:
        job = self.parts.start()
        drive(self.parts.dispatcher(), Step.PROMOTED)
        version = self.parts.job(job.job_id).candidate_version
        assert version is not None
        return version

    def roll_back(self) -> None:
        self.parts.service.move_job(1, JobOrder.ROLLBACK, actor=OPERATOR)

    def of(self, version: str) -> Sequence[StoredAlarm]:
        return [
            item for item in self.alarms.alarms(state=None, limit=1000) if item.alarm.stream.scorer_version == version
        ]

    def live(self, version: str) -> Sequence[int]:
        return [item.alarm_id for item in self.of(version) if item.state in LIVE]


@pytest.fixture
def world(parts: Parts) -> World:
    return World(parts)


def test_a_promotion_ends_the_former_scorer_s_alarms_alone_and_a_roll_back_takes_up_what_goes_on(world: World) -> None:
    world.write(700)
    world.write(200, mean=4.0)
    world.fold()
    world.alarms.order_alarm(world.live(FIRST)[0], AlarmOrder.ACKNOWLEDGE, actor=OPERATOR)
    before = world.of(FIRST)
    others = [item for item in world.alarms.open_alarms() if item not in before]
    assert len(world.live(FIRST)) >= 2
    assert others
    candidate = world.promote()
    assert {item.state for item in world.of(FIRST)} == {AlarmState.SUPERSEDED}
    assert list(world.alarms.open_alarms()) == others
    world.write(200, candidate, mean=4.0)
    world.fold()
    assert world.live(candidate)
    world.roll_back()
    assert {item.state for item in world.of(candidate)} == {AlarmState.SUPERSEDED}
    assert world.of(FIRST) == before


def test_what_the_former_scorer_had_observed_and_was_folded_late_opens_no_alarm(world: World) -> None:
    world.write(700)
    world.fold()
    world.write(200, mean=4.0)
    world.promote()
    world.fold()
    assert {item.state for item in world.of(FIRST)} == {AlarmState.SUPERSEDED}
    assert world.alarms.open_alarms(), "answers grew longer, whoever scores them"
    world.roll_back()
    assert {item.alarm.severity.value for item in world.of(FIRST) if item.state is AlarmState.OPEN} == {"alert"}


def test_an_alarm_that_is_being_stored_during_a_roll_back_does_not_stay_open(world: World) -> None:
    world.write(700)
    world.fold()
    candidate = world.promote()
    world.fold()
    world.write(200, candidate, mean=4.0)
    wait_for(lambda: world.store.place_entries().next_place == world.written, "the places")
    with ThreadPoolExecutor(2) as pool:
        with world.parts.engine.begin() as slow:  # the step has read the registry, and cannot store its alarms yet
            slow.execute(text("lock table alarm in share mode"))
            step = pool.submit(world.fold)
            wait_for(lambda: waiting(world) == 1, "the step")
            roll_back = pool.submit(world.roll_back)
            wait_for(lambda: waiting(world) == 2, "the roll-back")
        step.result()
        roll_back.result()
    assert world.of(candidate)
    assert not world.live(candidate)


def waiting(world: World) -> int:
    """Return how many sessions wait for a lock."""
    with world.parts.engine.connect() as connection:
        query = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        return int(connection.execute(text(query)).scalar_one())
