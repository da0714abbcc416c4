"""The controller over a real log: placed once, frozen exactly, folded the same whatever interrupts it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs
from sqlalchemy import Engine, text

from monitor.domain.alarm import Alarm, AlarmState, Severity
from monitor.domain.baseline import BaselineExtension
from monitor.domain.cohort import CohortRule
from monitor.domain.score import Reward
from monitor.domain.signal import DISAGREEMENT, REWARD
from monitor.domain.trace import Trace
from monitor.drift.baseline import Baseline
from monitor.drift.controller import FOLD_SECONDS, Controller, freeze_window
from monitor.drift.freeze import NullRule
from monitor.drift.rescore import RescoredBaselines
from monitor.drift.status import Streams
from monitor.drift.stored import ActiveBaseline
from monitor.errors import Fenced, InvalidInput
from monitor.ingest.offset import StoredOffset
from monitor.observe.step import ObserveRules
from monitor.offline.backtest import BacktestPlan, backtest
from monitor.postgres.alarms import PostgresAlarms
from monitor.postgres.baselines import PostgresBaselines, PostgresBaselineTraces
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.engine import create_engine_for
from monitor.postgres.leader import Leadership
from monitor.postgres.streams import PostgresFoldStore
from monitor.postgres.views.overview import PostgresOverview
from monitor.postgres.views.streams import PostgresStreams
from monitor.runs.artifact import Artifact, HashedFile
from monitor.runs.result import PairMetrics, RewardResult
from monitor.signals.estimand import REWARD_WIN
from monitor.signals.refusal.observers import refusal_model
from tests.program import wait_for
from tests.traces import checkpoint, drifting, scored, trace
from tests.watched import rules_of

pytestmark = pytest.mark.postgres
REFUSALS = refusal_model().version
BASELINE = 600
RULES = rules_of(BASELINE)
TRACES = drifting(1500, change=900)
Write = Callable[..., None]


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine_for(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> PostgresFoldStore:
    return PostgresFoldStore(engine)


@pytest.fixture
def write(engine: Engine) -> Write:
    """Store traces as the worker does: one checkpoint after another."""
    checkpoints = PostgresCheckpoints(engine, group_id="group", max_cohorts=50)
    checkpoints.begin({("traces", 0): StoredOffset(0)})
    offset = 0

    def write(traces: Sequence[Trace], rewards: Sequence[Reward] | None = None, *, repeated: bool = False) -> None:
        nonlocal offset
        checkpoints.write(checkpoint(scored(traces, rewards=rewards, repeated=repeated), start=offset))
        offset += len(traces)

    return write


def described(alarms: Sequence[Alarm]) -> list[tuple[object, ...]]:
    return [(*alarm_key(alarm), alarm.observations, alarm.examples) for alarm in alarms]


def alarm_key(alarm: Alarm) -> tuple[object, ...]:
    assert alarm.effect is not None
    effect = tuple(round(number, 9) for number in (alarm.effect.estimate, alarm.effect.lower, alarm.effect.upper))
    return alarm.stream, alarm.direction, alarm.severity, alarm.place, alarm.trace_id, alarm.onset_place, effect


def expected() -> list[tuple[object, ...]]:
    plan = BacktestPlan(BASELINE, ObserveRules(CohortRule(("dataset",))))
    return described(backtest(TRACES, plan).alarms)


def stored(engine: Engine) -> list[tuple[object, ...]]:
    return described([item.alarm for item in reversed(PostgresAlarms(engine).alarms(state=None, limit=1000))])


def by_stream(rows: Sequence[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return sorted(rows, key=str)


@pytest.mark.parametrize(
    "cuts", [(1500,), (0, 599, 601, 1500), tuple(range(0, 1500, 37))], ids=["at once", "about the baseline", "in 41"]
)
def test_a_leader_restarted_between_any_two_batches_raises_the_backtest_s_alarms(
    engine: Engine, write: Write, cuts: tuple[int, ...]
) -> None:
    for start, stop in pairwise(sorted({0, *cuts, 1500})):
        write(TRACES[start:stop])
        Controller(PostgresFoldStore(engine), RULES).tick()
    assert len(expected()) >= 6
    assert by_stream(stored(engine)) == by_stream(expected())


def test_a_leader_that_goes_on_raises_the_same_alarms_as_one_that_restarts(engine: Engine, write: Write) -> None:
    controller = Controller(PostgresFoldStore(engine), RULES)
    raised: list[Alarm] = []
    for start in range(0, 1500, 100):
        write(TRACES[start : start + 100])
        raised += controller.tick().alarms
    assert described(raised) == stored(engine)
    assert by_stream(stored(engine)) == by_stream(expected())


def test_a_step_ends_when_its_time_is_over_so_that_no_step_outlasts_the_lease(
    engine: Engine, store: PostgresFoldStore, write: Write
) -> None:
    def slow() -> float:  # every look at the clock finds a step's time gone
        return next(times)

    times = count(0.0, FOLD_SECONDS)
    controller = Controller(store, RULES, clock=slow)
    for start in range(0, 1500, 300):
        write(TRACES[start : start + 300])
    wait_for(lambda: store.place_entries().next_place == 1500, "the places")  # the server's own work may hold them up
    ticks = [controller.tick() for _ in range(3)]
    assert [tick.folded for tick in ticks] == [900, 1200, 1500]
    assert by_stream(stored(engine)) == by_stream(expected())


def test_a_step_ends_when_it_has_raised_enough_so_that_a_drift_of_everything_is_told_bit_by_bit(
    engine: Engine, store: PostgresFoldStore, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.drift.controller.FOLD_OUTCOMES", 1)
    for start in range(0, 1500, 20):
        write(TRACES[start : start + 20])
    wait_for(lambda: store.place_entries().next_place == 1500, "the places")
    controller, raised = Controller(store, RULES), list[int]()
    while (tick := controller.tick()).folded < 1500:
        raised.append(len(tick.alarms))
    assert len(raised) >= 3
    assert min(raised) >= 1
    assert by_stream(stored(engine)) == by_stream(expected())


def test_the_first_baseline_is_frozen_at_exactly_its_size_though_that_falls_inside_a_batch(
    store: PostgresFoldStore, write: Write
) -> None:
    controller = Controller(store, RULES)
    write(TRACES[: BASELINE - 1])
    assert controller.tick().statuses == ()
    write(TRACES[BASELINE - 1 : BASELINE + 50])
    tick = controller.tick()
    active = store.active()
    assert active is not None
    assert (active.baseline.first_place, active.baseline.stop_place) == (0, BASELINE)
    law = active.baseline.get("refusal", REFUSALS)
    assert law is not None
    assert sum(row.observations for row in law.strata) == BASELINE
    assert {status.observations for status in tick.statuses if status.key.cohort == "*"} == {50}


def test_of_two_leaders_the_second_to_save_is_fenced_and_stores_nothing(
    engine: Engine, store: PostgresFoldStore, write: Write
) -> None:
    write(TRACES[:700])
    old, new = Controller(store, RULES), Controller(PostgresFoldStore(engine), RULES)
    old.tick()
    new.tick()
    write(TRACES[700:])
    new.tick()
    after = stored(engine)
    with pytest.raises(Fenced, match="700"):
        old.tick()
    assert stored(engine) == after
    assert old.tick().folded == 1500


def test_one_of_two_replicas_leads_until_it_lets_go(engine: Engine) -> None:
    first, second = Leadership(engine), Leadership(engine)
    assert (first.acquire(), second.acquire(), first.acquire()) == (True, False, True)
    first.release()
    assert second.acquire()
    second.release()


def test_a_checkpoint_that_commits_after_a_later_one_is_waited_for_and_keeps_its_place(
    engine: Engine, store: PostgresFoldStore, write: Write
) -> None:
    early = text("insert into log_entry (source, places) values ('traces', 3) returning entry_id")
    with engine.connect() as slow:
        slow_id = slow.execute(early).scalar_one()
        write(TRACES[:5])
        assert store.place_entries().next_place == 0
        slow.commit()
    write(TRACES[5:6])
    assert store.place_entries().next_place == 9
    with engine.begin() as connection:
        rows = connection.execute(text("select first_place, sequence, entry_id from log_entry order by 1")).all()
    assert [(row.first_place, row.sequence) for row in rows] == [(0, 1), (3, 2), (8, 3)]
    assert rows[0].entry_id == slow_id


def test_a_checkpoint_without_traces_takes_no_place(store: PostgresFoldStore, write: Write) -> None:
    write([])
    write(TRACES[:2])
    write([])
    write([])
    assert store.place_entries().next_place == 2
    write(TRACES[2:5])
    assert store.place_entries().next_place == 5
    assert [found.subject_id for found in store.locate([4, 0, 2])] == ["t-4", "t-0", "t-2"]


def test_a_new_baseline_supersedes_the_old_one_s_alarms_and_starts_all_streams_anew(
    engine: Engine, store: PostgresFoldStore, write: Write
) -> None:
    write(TRACES)
    controller = Controller(store, RULES)
    controller.tick()
    frozen = freeze_window(store, NullRule(), first_place=1000, stop_place=1400)
    store.freeze(frozen, by="operator", note="after the release")
    tick = controller.tick()
    assert {item.state for item in PostgresAlarms(engine).alarms(state=None, limit=100)} == {AlarmState.SUPERSEDED}
    assert {status.observations for status in tick.statuses if status.key.cohort == "*"} == {100}
    assert tick.alarms == ()


def test_a_baseline_that_an_operator_freezes_while_the_leader_makes_the_first_one_stays(
    engine: Engine, store: PostgresFoldStore, write: Write
) -> None:
    class Overtaken(PostgresFoldStore):
        def freeze(self, baseline: Baseline, **kind: Any) -> ActiveBaseline:
            mine = freeze_window(store, NullRule(), first_place=100, stop_place=650)
            store.freeze(mine, by="operator", note="after the release")
            return super().freeze(baseline, **kind)

    write(TRACES)
    Controller(Overtaken(engine), RULES).tick()
    active = store.active()
    assert active is not None
    assert (active.baseline.first_place, active.baseline.stop_place) == (100, 650)


def test_a_leader_that_folds_under_a_replaced_baseline_is_fenced_so_its_alarms_are_not_left_open(
    engine: Engine, store: PostgresFoldStore, write: Write
) -> None:
    class Replaced(PostgresFoldStore):
        """The operator freezes anew while the leader folds."""

        def save_fold(self, step: object) -> None:
            store.freeze(freeze_window(store, NullRule(), first_place=0, stop_place=650), by="operator", note="")
            super().save_fold(step)  # type: ignore[arg-type]

    write(TRACES)
    with pytest.raises(Fenced, match="replaced"):
        Controller(Replaced(engine), RULES).tick()
    assert stored(engine) == []


def test_an_alert_takes_the_place_of_its_stream_s_warning(
    engine: Engine, store: PostgresFoldStore, write: Write
) -> None:
    write(TRACES)
    Controller(store, RULES).tick()
    states = {item.alarm.severity: item.state for item in PostgresAlarms(engine).alarms(state=None, limit=1)}
    assert states == {Severity.ALERT: AlarmState.OPEN}
    warned = {
        item.state for item in PostgresAlarms(engine).alarms(state=None, limit=100) if item.alarm.severity == "warning"
    }
    assert warned == {AlarmState.SUPERSEDED}


def rewards_of(version: str, means: Iterable[float]) -> list[Reward]:
    return [Reward(version, (mean, mean + 0.2), mean, mean - 0.1, 0.1) for mean in means]


def rescored(folder: Path, indices: Sequence[int], version: str = "v2") -> RewardResult:
    rng = np.random.default_rng(5)
    rows = [
        {"index": index, "mean": float(rng.normal(4.0, 1.0)), "disagreement": 0.2, "margins": [float(rng.normal())]}
        for index in indices
    ]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (folder / "rescored.jsonl").write_bytes(content)
    file = HashedFile(str(folder / "rescored.jsonl"), sha256(content).hexdigest(), len(rows))
    return RewardResult(
        candidate=Artifact(version, str(folder), "0" * 64),
        candidate_metrics=PairMetrics(50, 0.7, 0.6, 0.8),
        champion_metrics=None,
        longer_wins_accuracy=None,
        train_pairs=100,
        held_out_pairs=50,
        rescored=file,
        seconds=1.0,
    )


def plan(engine: Engine, result: RewardResult) -> BaselineExtension | None:
    return RescoredBaselines(PostgresBaselineTraces(engine), NullRule()).plan(result)


def test_a_promoted_scorer_is_watched_against_its_own_scores_of_the_baseline_s_traces(
    engine: Engine, store: PostgresFoldStore, write: Write, tmp_path: Path
) -> None:
    rng = np.random.default_rng(4)
    same = [trace(number, reference_response="None.") for number in range(1200)]
    write(same[:700], rewards_of("v1", rng.normal(0.0, 1.0, 700)))
    controller = Controller(store, RULES)
    controller.tick()
    file = PostgresBaselineTraces(engine).export(tmp_path / "rescore.jsonl")
    assert file is not None
    exported = [json.loads(row) for row in Path(file.path).read_text().splitlines()]
    assert [row["index"] for row in exported] == list(range(BASELINE))
    assert {row["reference_response"] for row in exported} == {"None."}
    with engine.begin() as connection:
        assert PostgresBaselines(connection).extend(plan(engine, rescored(tmp_path, range(BASELINE))))
    write(same[700:], rewards_of("v2", rng.normal(4.0, 1.0, 500)))
    tick = controller.tick()
    active = store.active()
    assert active is not None
    assert {law.key for law in active.baseline.signals} >= {
        (REWARD.name, "v1"),
        (REWARD.name, "v2"),
        (DISAGREEMENT.name, "v2"),
        (REWARD_WIN.name, "v2"),
    }
    seen = {
        status.key.scorer_version: status.observations
        for status in tick.statuses
        if status.key.signal == REWARD.name and status.key.cohort == "*"
    }
    assert seen == {"v1": 100, "v2": 500}
    views = Streams(PostgresStreams(engine))
    assert views.unwatched_scorers() == ()
    assert [alarm for alarm in tick.alarms if alarm.stream.signal == REWARD.name] == []


def test_scores_of_traces_that_are_no_longer_the_baseline_s_are_a_conflict(
    engine: Engine, store: PostgresFoldStore, write: Write, tmp_path: Path
) -> None:
    write(TRACES[:900])
    Controller(store, RULES).tick()
    frozen = freeze_window(store, NullRule(), first_place=100, stop_place=800)
    store.freeze(frozen, by="operator", note="")
    with pytest.raises(InvalidInput, match="frozen anew"):
        plan(engine, rescored(tmp_path, range(BASELINE)))


def test_laws_made_from_a_baseline_that_changed_meanwhile_are_not_stored(
    engine: Engine, store: PostgresFoldStore, write: Write, tmp_path: Path
) -> None:
    write(TRACES[:900])
    Controller(store, RULES).tick()
    first, second = (plan(engine, rescored(tmp_path, range(BASELINE), version)) for version in ("v2", "v3"))
    sharper = {"v2": 0.2}.__getitem__  # opinions are expected by the temperature that the new scorer has
    window = PostgresBaselineTraces(engine)
    other = RescoredBaselines(window, NullRule(), temperature=sharper).plan(rescored(tmp_path, range(BASELINE), "v2"))
    assert other is not None
    assert first is not None
    assert other.content != first.content
    with engine.begin() as connection:
        assert not PostgresBaselines(connection).extend(None)  # there is a baseline
        assert PostgresBaselines(connection).extend(first)
        assert not PostgresBaselines(connection).extend(second)  # v2's laws would be lost
    third = plan(engine, rescored(tmp_path, range(BASELINE), "v3"))
    store.freeze(freeze_window(store, NullRule(), first_place=0, stop_place=800), by="operator", note="")
    with engine.begin() as connection:
        assert not PostgresBaselines(connection).extend(third)


def test_a_cohort_the_baseline_never_saw_is_named_as_not_watched(engine: Engine, write: Write) -> None:
    write(TRACES[:BASELINE])
    Controller(PostgresFoldStore(engine), RULES).tick()
    views = Streams(PostgresStreams(engine))
    assert views.unwatched_cohorts() == ()
    PostgresCheckpoints(engine, group_id="group", max_cohorts=50).admit(["dataset=new"])
    assert views.unwatched_cohorts() == ("dataset=new",)


def test_a_run_that_began_before_the_baseline_was_frozen_is_not_promoted_without_one(
    engine: Engine, store: PostgresFoldStore, write: Write, tmp_path: Path
) -> None:
    write(TRACES[:900])
    Controller(store, RULES).tick()
    result = replace(rescored(tmp_path, []), rescored=None)
    with pytest.raises(InvalidInput, match="frozen after the run began"):
        plan(engine, result)


def test_scores_that_this_machine_cannot_read_are_a_conflict(
    engine: Engine, store: PostgresFoldStore, write: Write, tmp_path: Path
) -> None:
    write(TRACES[:900])
    Controller(store, RULES).tick()
    result = rescored(tmp_path, range(BASELINE))
    (tmp_path / "rescored.jsonl").unlink()
    with pytest.raises(InvalidInput, match="cannot be read"):
        plan(engine, result)


def test_first_traces_that_are_all_repeats_are_no_baseline_until_enough_others_came(
    store: PostgresFoldStore, write: Write
) -> None:
    write(TRACES[:BASELINE], repeated=True)
    controller = Controller(store, RULES)
    assert controller.tick().folded == BASELINE
    assert store.active() is None
    write(TRACES[BASELINE : 2 * BASELINE])
    controller.tick()
    active = store.active()
    assert active is not None
    assert active.baseline.stop_place == 2 * BASELINE


def test_traces_that_wait_for_a_place_behind_an_open_transaction_count_as_not_folded(
    engine: Engine, store: PostgresFoldStore, write: Write
) -> None:
    views = PostgresOverview(engine, kafka_lag=lambda: None)
    write(TRACES[:BASELINE])
    Controller(store, RULES).tick()
    assert views.fold_lag() == 0
    with engine.connect() as slow:
        slow.execute(text("select pg_current_xact_id()"))
        write(TRACES[BASELINE : BASELINE + 7])
        Controller(store, RULES).tick()
        assert views.fold_lag() == 7


def test_streams_of_a_scorer_go_on_after_a_roll_back_unless_a_baseline_was_frozen_without_it(
    engine: Engine, store: PostgresFoldStore, write: Write
) -> None:
    def observed() -> dict[str, int]:
        rows = [status for status in Controller(store, RULES).tick().statuses if status.key.signal == REWARD.name]
        return {status.key.scorer_version: status.observations for status in rows if status.key.cohort == "*"}

    views = Streams(PostgresStreams(engine))
    same, means = [trace(number) for number in range(1000)], [float(number % 7) for number in range(1000)]
    write(same[:700], rewards_of("v1", means[:700]))
    assert observed() == {"v1": 100}
    write(same[700:900], rewards_of("v2", means[700:900]))
    assert views.unwatched_scorers() == ((DISAGREEMENT.name, "v2"), (REWARD.name, "v2"))
    assert store.place_entries().next_place == 900
    store.freeze(freeze_window(store, NullRule(), first_place=700, stop_place=900), by="operator", note="")
    write(same[900:], rewards_of("v1", means[900:]))
    assert observed() == {}
    assert views.unwatched_scorers() == ((DISAGREEMENT.name, "v1"), (REWARD.name, "v1"))


def test_a_long_history_is_folded_step_by_step_to_the_same_alarms(
    engine: Engine, store: PostgresFoldStore, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    for start in range(0, 1500, 100):
        write(TRACES[start : start + 100])
    monkeypatch.setattr("monitor.drift.controller.FOLD_PLACES", 500)
    controller = Controller(store, RULES)
    assert [controller.tick().folded for _ in range(3)] == [BASELINE + 500, len(TRACES), len(TRACES)]
    assert by_stream(stored(engine)) == by_stream(expected())


def test_a_stream_that_recovers_ends_its_alarm_and_may_raise_another_whoever_leads(
    engine: Engine, store: PostgresFoldStore, write: Write
) -> None:
    rules = rules_of(BASELINE, patience=150)
    drifted = [*drifting(1300, change=700)[:1000], *drifting(1300, change=1300, seed=1)[1000:]]
    again = [
        structs.replace(item, trace_id=f"again-{item.trace_id}") for item in drifting(1600, change=1300, seed=2)[1300:]
    ]
    traces = [*drifted, *[structs.replace(item, trace_id=f"calm-{item.trace_id}") for item in drifted[:600]], *again]
    for start in range(0, len(traces), 50):
        write(traces[start : start + 50])
        Controller(PostgresFoldStore(engine), rules).tick()
    rows = list(reversed(PostgresAlarms(engine).alarms(state=None, limit=1000)))
    length = [
        (item.alarm.episode, item.alarm.severity.value, item.state.value)
        for item in rows
        if item.alarm.stream.signal == "response_length" and item.alarm.stream.cohort == "*"
    ]
    first, *_, last = [row for row in length if row[1] == "alert"]
    assert (first, last[1:]) == ((0, "alert", "recovered"), ("alert", "open"))
    assert length[:2] == [(0, "warning", "superseded"), first]
    assert length[-2:] == [(last[0], "warning", "superseded"), last]
    assert last[0] > 0


def test_the_log_s_time_goes_on_while_nothing_is_observed_and_takes_no_place(
    engine: Engine, store: PostgresFoldStore, write: Write
) -> None:
    write(TRACES[: BASELINE + 10])
    controller = Controller(store, RULES)
    before = controller.tick()
    assert not store.tell_time(after_seconds=60)
    assert store.tell_time(after_seconds=0)
    after = controller.tick()
    assert before.at is not None
    assert after.at is not None
    assert after.at > before.at
    assert (after.places, after.folded) == (before.places, before.folded)
    assert Controller(PostgresFoldStore(engine), RULES).tick().at == after.at
    write(TRACES[BASELINE + 10 : BASELINE + 20])
    assert controller.tick().folded == BASELINE + 20
