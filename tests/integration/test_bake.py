"""After a promotion: traces are counted, real alarms take it back once, and operators and leaders race for it."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from sqlalchemy import select, text, update

from monitor.domain.alarm import AlarmState, Severity
from monitor.domain.baseline import BaselineExtension
from monitor.domain.job import Action, JobState
from monitor.domain.order import JobOrder
from monitor.domain.release import Bake, BakeState
from monitor.domain.score import Reward
from monitor.drift.controller import Controller
from monitor.errors import Conflict, Fenced
from monitor.ingest.offset import StoredOffset
from monitor.postgres import schema
from monitor.postgres.alarms import PostgresAlarms
from monitor.postgres.announcements import AnnouncementLog
from monitor.postgres.bakes import BakeLog
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.leader import Leadership
from monitor.postgres.streams import PostgresFoldStore
from monitor.postgres.work import PostgresTransactions
from monitor.retraining.bake import Baker, BakeRules
from monitor.retraining.records import Author
from monitor.retraining.release import Releases
from monitor.retraining.service import JobService
from monitor.runs.artifact import Artifact, artifact_sha256, policy_artifact
from monitor.runs.policy import POLICY
from monitor.settings.policy import BakeSettings, PolicySettings
from monitor.settings.retrain import RetrainSettings
from tests.integration.job_parts import OPERATOR, Baselines, Parts, wait_until
from tests.integration.released import passed_job, passed_policy, policy_folder, reward_result
from tests.program import wait_for
from tests.traces import checkpoint, drifting, scored
from tests.watched import rules_of

pytestmark = pytest.mark.postgres
TRACES = drifting(1600, change=1000)  # the answers grow to twice their length
BASELINE = 600
WATCHED = rules_of(BASELINE)
RULES = BakeRules(max_hours=72.0, mode="automatic", severity=Severity.ALERT)
WANTED = 300
BAKING_PROGRAM = Path(__file__).with_name("baking_program.py")


class World:
    """A policy that was watched, and one that was promoted in its place."""

    def __init__(self, parts: Parts, *, previous: bool = True) -> None:
        self.parts = parts
        self.engine = parts.engine
        settings = RetrainSettings(bake=BakeSettings(traces=WANTED), policy=PolicySettings(name="chat"))
        self.laws = Baselines()
        self.releases = Releases(parts.begin, self.laws, settings)
        parts.releases, parts.service = self.releases, JobService(parts.begin, self.releases, settings)
        self.store = PostgresFoldStore(parts.engine)
        self.bakes = BakeLog(parts.engine)
        self._checkpoints = PostgresCheckpoints(parts.engine, group_id="group", max_cohorts=50)
        self._checkpoints.begin({("traces", 0): StoredOffset(0)})
        self._written = 0
        self.write(0, BASELINE, "chat-1")
        self.first = policy_artifact(policy_folder(parts.folder / "policy", "the first"))
        if previous:
            self.releases.adopt(self.first, by=Author("ada", "operator"), role=POLICY, served_as="chat-1")
        self.job_id = self.promote("the second", self.first if previous else None)
        self.name = f"chat-{parts.registry.champion_version(POLICY)}"

    def promote(self, words: str, champion: Artifact | None) -> int:
        folder = self.parts.folder / words.replace(" ", "-")
        job_id = passed_policy(self.engine, folder, words, champion)
        self.parts.service.move_job(job_id, JobOrder.APPROVE, actor=OPERATOR)
        return job_id

    def write(self, first: int, stop: int, policy: str, scorer: str | None = None) -> None:
        """Store TRACES[first:stop] as answers of *policy*, scored by *scorer*, and fold them."""
        traces = [structs.replace(item, policy_model=policy) for item in TRACES[first:stop]]
        means = np.random.default_rng(first).normal(0.0, 1.0, len(traces))
        rewards = None if scorer is None else [Reward(scorer, (mean, mean), mean, mean, 0.1) for mean in means]
        self._checkpoints.write(checkpoint(scored(traces, rewards=rewards), start=self._written))
        self._written += len(traces)
        wait_for(lambda: self.store.place_entries().next_place == self._written, "the places")
        Controller(self.store, WATCHED).tick()

    def baker(self, rules: BakeRules = RULES) -> Baker:
        return Baker(self.bakes, self.parts.begin, self.releases, rules)

    def turn(self, rules: BakeRules = RULES, *, hours: float = 0.0) -> list[BakeState]:
        decided = self.baker(rules).turn(datetime.now(UTC) + timedelta(hours=hours))
        return [decision.state for decision in decided]

    def bake(self, job_id: int | None = None) -> Bake:
        found = self.bakes.bake(job_id or self.job_id)
        assert found is not None
        return found

    def told(self) -> list[str]:
        return [one.event for one in reversed(AnnouncementLog(self.engine).announcements(limit=10))]

    def state(self) -> JobState:
        return self.parts.job(self.job_id).state


@pytest.fixture
def world(parts: Parts) -> World:
    return World(parts)


def test_enough_traces_of_the_version_without_an_alarm_end_it_well(world: World) -> None:
    former = PostgresAlarms(world.engine)
    world.write(1000, 1200, "chat-1")
    alarms = {item.alarm_id for item in former.open_alarms()}
    assert alarms, "the former policy drifts while it is still served"
    world.write(600, 800, world.name)
    assert world.turn() == []
    assert (world.bake().state, world.bake().traces_seen) == (BakeState.BAKING, 200)
    world.write(800, 900, world.name)
    assert world.turn() == [BakeState.PASSED]
    assert world.bake().traces_seen == WANTED
    assert world.bake().ended_at is not None
    assert {item.state for item in former.alarms(state=None, limit=99)} == {AlarmState.SUPERSEDED}
    assert world.turn() == []
    assert world.state() is JobState.PROMOTED


def test_an_alarm_on_the_new_version_takes_the_promotion_back_once_with_its_reason(world: World) -> None:
    world.write(1000, 1200, world.name)
    assert world.turn() == [BakeState.ROLLED_BACK]
    assert world.turn() == []
    bake, champion = world.bake(), world.parts.registry.champion_version(POLICY)
    assert (bake.state, champion, world.state()) == (BakeState.ROLLED_BACK, world.first.version, JobState.ROLLED_BACK)
    assert bake.alarm_id is not None
    alarm = PostgresAlarms(world.engine).alarm(bake.alarm_id)
    assert alarm is not None
    assert (alarm.alarm.stream.policy_model, alarm.state) == (world.name, AlarmState.SUPERSEDED)
    assert f"alert {bake.alarm_id}: " in world.parts.notes(world.job_id)[-1]
    assert world.told() == ["policy.promoted", "policy.rolled_back"]
    back = AnnouncementLog(world.engine).announcements(limit=1)[0].payload
    assert back["reason"] == bake.reason
    assert ("bake", "daemon", "policy_model.roll_back") in world.parts.audit()


def test_a_drift_that_the_policy_before_had_already_is_no_reason_to_go_back_to_it(parts: Parts) -> None:
    world = World(parts)
    world.write(1000, 1200, "chat-1")
    world.parts.service.move_job(world.job_id, JobOrder.ROLLBACK, actor=OPERATOR)
    job_id = world.promote("the third", world.first)
    name = f"chat-{world.parts.registry.champion_version(POLICY)}"
    world.write(1200, 1500, name)
    alarms = [item.alarm.stream.policy_model for item in PostgresAlarms(world.engine).open_alarms()]
    assert name in alarms
    assert world.turn() == [BakeState.PASSED]
    assert (world.bake(job_id).former, world.bake(job_id).state) == ("chat-1", BakeState.PASSED)


def test_where_it_asks_an_operator_keeps_or_rolls_back(world: World) -> None:
    asking = replace(RULES, mode="ask")
    world.write(1000, 1200, world.name)
    assert world.turn(asking) == [BakeState.ASKS]
    assert world.turn(asking) == []
    assert world.state() is JobState.PROMOTED
    world.parts.service.move_job(world.job_id, JobOrder.KEEP, actor=OPERATOR)
    assert (world.bake().state, world.told()) == (BakeState.KEPT, ["policy.promoted"])
    assert ("ada", "operator", "bake.keep") in world.parts.audit()
    with pytest.raises(Conflict, match="has no open bake window"):
        world.parts.service.move_job(world.job_id, JobOrder.KEEP, actor=OPERATOR)
    world.parts.service.move_job(world.job_id, JobOrder.ROLLBACK, actor=OPERATOR)
    assert world.bake().state is BakeState.KEPT, "the bake was over"
    assert world.told() == ["policy.promoted", "policy.rolled_back"]


def test_a_version_that_is_not_seen_is_told_and_late_traces_count(world: World) -> None:
    assert world.turn(hours=73) == [BakeState.UNSEEN]
    assert "is it served?" in (world.bake().reason or "")
    assert world.turn(hours=74) == []
    world.write(600, 900, world.name)
    assert world.turn(hours=75) == [BakeState.PASSED]


def test_without_one_to_go_back_to_it_asks(parts: Parts) -> None:
    world = World(parts, previous=False)
    world.write(1000, 1200, world.name)
    assert world.turn() == [BakeState.ASKS]
    assert "it cannot be taken back" in (world.bake().reason or "")
    assert world.state() is JobState.PROMOTED


def test_another_promotion_ends_the_window_before_it(world: World) -> None:
    second = world.parts.registry.champion(POLICY)
    later = world.promote("the third", second)
    assert (world.bake().state, world.bake().reason) == (BakeState.ENDED, f"job {later} was promoted")
    assert world.bake(later).state is BakeState.BAKING
    world.write(1000, 1200, world.name)
    assert world.turn() == [], "the second policy's alarms do not count against the third"


def test_an_ensemble_s_window_follows_what_it_scores(world: World) -> None:
    scorer = world.parts.adopt_champion()
    folder = world.parts.folder / "refreshed"
    (folder / "member-0").mkdir(parents=True)
    (folder / "member-0" / "weights").write_text("second")
    candidate = Artifact("second", str(folder), artifact_sha256(folder))
    job_id = passed_job(world.engine, Action.REWARD_REFRESH, reward_result(candidate), scorer)
    with world.engine.connect() as connection:
        frozen = connection.execute(select(schema.baseline)).one()
    world.laws.extension = BaselineExtension(frozen.baseline_id, frozen.revision, frozen.content)
    world.parts.service.move_job(job_id, JobOrder.APPROVE, actor=OPERATOR)
    assert (world.bake(job_id).observed_as, world.bake().state) == ("second", BakeState.BAKING)
    world.write(600, 900, "chat-1", scorer="second")
    assert world.turn() == [BakeState.PASSED]
    assert world.bake(job_id).state is BakeState.PASSED
    assert world.told() == ["policy.promoted"], "an ensemble's promotion is nobody else's business"


def test_an_operator_and_the_window_that_roll_back_at_once_do_it_once(world: World) -> None:
    world.write(1000, 1200, world.name)

    def order() -> bool:
        try:
            world.parts.service.move_job(world.job_id, JobOrder.ROLLBACK, actor=OPERATOR)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(3) as pool:
        by_hand, first, second = pool.submit(order), pool.submit(world.turn), pool.submit(world.turn)
        done = [by_hand.result(), bool(first.result()), bool(second.result())]
    assert sum(done) == 1
    assert world.told() == ["policy.promoted", "policy.rolled_back"]
    assert world.parts.events(world.job_id).count("rolled_back") == 1
    assert world.bake().state is BakeState.ROLLED_BACK


def test_a_leader_that_was_replaced_rolls_nothing_back(world: World) -> None:
    former, other = Leadership(world.engine), Leadership(world.engine)
    assert former.acquire()
    fenced = former.fenced_engine()
    begin = PostgresTransactions(fenced)
    baker = Baker(BakeLog(fenced), begin, Releases(begin, Baselines()), RULES)
    world.write(1000, 1200, world.name)
    former.release()
    assert other.acquire()
    with pytest.raises(Fenced):
        baker.turn(datetime.now(UTC))
    assert world.state() is JobState.PROMOTED
    assert world.turn() == [BakeState.ROLLED_BACK]
    other.release()


def test_a_leader_that_is_killed_in_the_middle_of_a_roll_back_leaves_all_of_it_or_nothing(world: World) -> None:
    world.write(1000, 1200, world.name)
    waiting = text("select count(*) from pg_stat_activity where wait_event_type = 'Lock'")
    with world.engine.begin() as held:
        held.execute(text("lock table audit in access exclusive mode"))  # the last thing a roll-back writes to
        url = world.engine.url.render_as_string(hide_password=False)
        leader = subprocess.Popen([sys.executable, str(BAKING_PROGRAM), url])

        def is_held_up() -> bool:
            with world.engine.connect() as connection:
                return bool(connection.execute(waiting).scalar_one())

        wait_until(is_held_up)
        leader.kill()
        leader.wait()
    assert world.state() is JobState.PROMOTED
    assert (world.bake().state, world.told()) == (BakeState.BAKING, ["policy.promoted"])
    wait_until(lambda: world.turn() == [BakeState.ROLLED_BACK])
    assert world.told() == ["policy.promoted", "policy.rolled_back"]


def test_traces_are_counted_once_whoever_counts(world: World) -> None:
    world.write(600, 700, world.name)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: world.bakes.counted(), range(8)))
    assert world.bake().traces_seen == 100
    with world.engine.begin() as connection:
        connection.execute(update(schema.bake).values(traces_seen=0))
    world.bakes.counted()
    assert world.bake().traces_seen == 0, "what was counted is not read again"
    with world.engine.connect() as connection:
        assert connection.execute(select(schema.bake.c.next_sequence)).scalar_one() > 1
