"""The anchor set on a real log with real reward models: told apart are a scorer that changed and a policy that did."""

from __future__ import annotations

import json
import random
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import torch
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, text

from monitor.app.anchor import anchor_scoring_of
from monitor.app.wiring import http_scorer_of
from monitor.domain.alarm import AlarmState, ScorerVerdict, StoredAlarm
from monitor.domain.score import Reward
from monitor.domain.trace import Message, Trace
from monitor.drift.anchor import AnchorShift
from monitor.drift.anchor_judge import AnchorJudge, AnchorReader, Anchors, AnchorView
from monitor.drift.controller import Controller, freeze_window
from monitor.drift.freeze import NullRule
from monitor.drift.report import observation_frame
from monitor.drift.status import Streams
from monitor.errors import InvalidInput, InvalidSetting, Unavailable
from monitor.ingest.offset import StoredOffset
from monitor.observe.anchor import AnchorPlan, AnchorScoring, Scorer, read_pairs
from monitor.observe.scoring import RewardModel
from monitor.postgres.alarms import PostgresAlarmFacts, PostgresAlarms
from monitor.postgres.anchors import PostgresAnchors
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.log import trace_numbers
from monitor.postgres.streams import PostgresFoldStore
from monitor.postgres.views.overview import PostgresOverview
from monitor.postgres.views.streams import PostgresStreams
from monitor.rewards.http import HttpScorer
from monitor.rewards.huggingface import load_ensemble
from monitor.rewards.turns import SharedScorer
from monitor.settings.rewards import AnchorSettings, RewardsSettings
from monitor.telemetry.metrics import AnchorOutcome, Metrics
from tests import program
from tests.integration.test_serve_rewards import build, serving
from tests.program import running, wait_for
from tests.real_kafka import RealKafka
from tests.traces import GivenRewards, checkpoint, line, scored, trace
from tests.watched import rules_of

pytestmark = pytest.mark.postgres
BASELINE, PAIRS, TOLERANCE = 400, 32, 0.05
WORDS = ("open", "account", "settings", "and", "press", "refund", "then", "wait", "three", "days")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two reward models of one make, with other weights."""
    folder = tmp_path_factory.mktemp("models")
    return build(folder / "first", range(1)), build(folder / "second", range(7, 8))


def answered(number: int, *, words: Sequence[str] = WORDS) -> Trace:
    chance = random.Random(number)
    said = " ".join(chance.choices(words, k=chance.randint(5, 30)))
    asked = " ".join(chance.choices(WORDS, k=8))
    return trace(number, response=said, messages=(Message("user", f"{asked} {number}?"),))


class Site:
    """A log with its controller, and the anchor set's two sides."""

    def __init__(self, engine: Engine, scorer: Scorer, *, period: timedelta = timedelta(hours=1)) -> None:
        self.engine = engine
        self.scorer = scorer
        self.store = PostgresFoldStore(engine)
        self.registry = CollectorRegistry()
        self.scoring = self.another(period)
        self.judge = AnchorJudge(PostgresAnchors(engine), tolerance=TOLERANCE)
        self.checkpoints = PostgresCheckpoints(engine, group_id="group", max_cohorts=50)
        self.checkpoints.begin({("traces", 0): StoredOffset(0)})
        rules = rules_of(BASELINE)
        self.controller = Controller(self.store, rules)
        self.written = 0

    def another(self, period: timedelta = timedelta(hours=1), scorer: Scorer | None = None) -> AnchorScoring:
        """Return the side of one more process."""
        plan, store = AnchorPlan(PAIRS, period), PostgresAnchors(self.engine)
        return AnchorScoring(plan, scorer=scorer or self.scorer, store=store, metrics=Metrics(CollectorRegistry()))

    def write(self, count: int, make: Callable[[int], Trace] = answered) -> None:
        """Let the policy answer, and the worker score and store it."""
        traces = [make(self.written + number) for number in range(count)]
        model = self.scorer.current()
        assert model is not None
        rewards = model.score([(item.messages, item.response or "") for item in traces])
        assert all(rewards)
        given: list[Reward] = [reward for reward in rewards if reward is not None]
        self.checkpoints.write(checkpoint(scored(traces, rewards=given), start=self.written))
        self.written += count
        self.fold()

    def fold(self) -> None:
        for _ in range(3):
            self.controller.tick()

    def score_anchors(self) -> AnchorView:
        assert self.scoring.tick() is AnchorOutcome.STORED
        return self.judged()

    def judged(self) -> AnchorView:
        self.fold()
        view = self.judge.turn()
        assert view is not None
        return view

    def alarms(self, *signals: str) -> list[StoredAlarm]:
        found = reversed(PostgresAlarms(self.engine).alarms(state=None, limit=1000))
        return [stored for stored in found if stored.alarm.stream.signal in signals]

    def verdicts(self) -> set[ScorerVerdict | None]:
        return {stored.scorer_verdict for stored in self.alarms("reward", "disagreement") if stored.state.is_live}

    def entries(self) -> int:
        with self.engine.connect() as connection:
            return int(connection.execute(text("select count(*) from log_entry where source = 'anchor'")).scalar_one())


@contextmanager
def served_as_vllm(monkeypatch: pytest.MonkeyPatch, folder: Path, port: int = 0) -> Iterator[int]:
    """Serve the model under a name that says nothing of its weights, as vLLM does."""
    monkeypatch.setattr("monitor.rewards.folders.artifact_sha256", lambda _: "0" * 64)
    with serving(folder, port=port) as (service, _):
        yield service.port


@pytest.fixture
def scorer_at() -> Iterator[Callable[[int], Scorer]]:
    """Ask the server on a port; what was opened is closed after the test."""
    opened: list[HttpScorer] = []

    def scorer_at(port: int) -> Scorer:
        rewards = {"endpoints": [{"url": f"http://127.0.0.1:{port}"}], "attempts": 1, "max_tokens": 64}
        opened.append(http_scorer_of(RewardsSettings.model_validate({"backend": "http", **rewards})))
        assert opened[-1].follow() is None
        return SharedScorer(opened[-1])

    yield scorer_at
    for scorer in opened:
        scorer.close()


class Fixed:
    """A scorer whose ensemble a test puts in its place."""

    def __init__(self, model: RewardModel, version: str) -> None:
        self.model = model
        self.name = version

    def current(self) -> RewardModel:
        return self.model

    def version(self) -> str:
        return self.name


def load(folder: Path, *, version: str = "scorer-1", dtype: torch.dtype = torch.float32) -> RewardModel:
    ensemble = load_ensemble([folder], device="cpu", max_tokens=64, batch_tokens=1024, beta=1.0, version=version)
    for member in ensemble._members:
        member.model.to(dtype)
    return ensemble


def test_a_scorer_whose_weights_are_swapped_behind_its_name_is_told_and_reward_alarms_say_so(
    engine: Engine,
    models: tuple[Path, Path],
    scorer_at: Callable[[int], Scorer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with served_as_vllm(monkeypatch, models[0]) as port:
        site = Site(engine, scorer_at(port))
        version = site.scorer.version()
        site.write(BASELINE)
        view = site.score_anchors()
        assert shift_of(view).root_mean_square < 1e-4  # scored as they were when they were traces
        site.write(200)
        assert site.alarms("anchor_reward") == []
        assert site.scoring.tick() is None  # its time has not come

    with served_as_vllm(monkeypatch, models[1], port):
        site.write(600)
        assert site.scorer.version() == version
        site.judged()
        raised = site.alarms("reward")
        assert raised
        assert site.verdicts() == {ScorerVerdict.UNDECIDED}
        monkeypatch.setattr("monitor.observe.anchor.ASKED_SECONDS", 0.0)
        site.score_anchors()  # not by its schedule: the alarm asks for it

    decided = raised_again(site, raised[-1])
    named = int((decided.alarm.trace_id or "").removeprefix("t-"))
    assert (decided.trace_number, decided.alarm.place) == (named, named + PAIRS)  # one scoring lies before it

    [anchor] = site.alarms("anchor_reward")
    assert site.verdicts() == {ScorerVerdict.SCORER_CHANGED}
    assert "in the alarm's direction" in raised_again(site, raised[-1]).scorer_note
    assert anchor.state is AlarmState.OPEN
    assert anchor.alarm.onset_timestamp < anchor.alarm.timestamp
    assert abs(anchor.alarm.effect.estimate) > TOLERANCE if anchor.alarm.effect else False

    site.another().tick()  # away: nothing is lost, and nothing stored
    assert site.entries() == 2
    monkeypatch.setattr(AnchorPlan, "is_due", lambda *_: True)
    with served_as_vllm(monkeypatch, models[0], port):
        site.score_anchors()
    [anchor] = site.alarms("anchor_reward")
    assert anchor.state is AlarmState.RECOVERED
    assert anchor.incident_id is not None
    AnchorJudge(PostgresAnchors(engine), tolerance=TOLERANCE).turn()  # a new leader reads the same of the log
    assert len(site.alarms("anchor_reward")) == 1


def shift_of(view: AnchorView) -> AnchorShift:
    assert view.latest is not None
    assert view.latest.shift is not None
    return view.latest.shift


def raised_again(site: Site, before: StoredAlarm) -> StoredAlarm:
    stored = PostgresAlarms(site.engine).alarm(before.alarm_id)
    assert stored is not None
    return stored


def test_a_policy_that_answers_otherwise_is_told_from_a_scorer_that_changed(
    engine: Engine, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.observe.anchor.ASKED_SECONDS", 0.0)
    site = Site(engine, Fixed(load(models[0]), "scorer-1"))
    site.write(BASELINE)
    site.score_anchors()
    site.write(600, lambda number: answered(number, words=("refund", "days")))
    site.score_anchors()

    assert site.verdicts() == {ScorerVerdict.POLICY_CHANGED}
    assert site.alarms("anchor_reward") == []
    note = site.alarms("reward")[-1].scorer_note
    assert "scored once since the onset" in note
    assert site.scoring.tick() is None  # the alarm has its answer
    site.judge.turn()
    assert site.alarms("reward")[-1].scorer_note == note


def test_another_precision_of_the_same_weights_is_rounding(engine: Engine, models: tuple[Path, Path]) -> None:
    scorer = Fixed(load(models[0]), "scorer-1")
    site = Site(engine, scorer, period=timedelta(0))
    site.write(BASELINE)
    site.score_anchors()
    scorer.model = load(models[0], dtype=torch.bfloat16)
    view = site.score_anchors()

    shift = shift_of(view)
    assert 1e-4 < shift.root_mean_square < TOLERANCE
    told = Anchors(AnchorReader(PostgresAnchors(engine)), tolerance=TOLERANCE).anchor()
    assert told is not None
    assert (told.scorer_version, told.scorings, told.pairs, told.moved) == ("scorer-1", 2, PAIRS, False)
    assert site.alarms("anchor_reward") == []


def test_a_promoted_scorer_starts_the_anchor_anew_and_ends_what_the_old_one_raised(
    engine: Engine, models: tuple[Path, Path]
) -> None:
    scorer = Fixed(load(models[0]), "scorer-1")
    site = Site(engine, scorer)
    site.write(BASELINE)
    site.score_anchors()
    scorer.model = load(models[1])
    site.scoring = site.another(timedelta(0))
    site.score_anchors()
    assert [stored.state for stored in site.alarms("anchor_reward")] == [AlarmState.OPEN]

    scorer.model, scorer.name = load(models[1], version="scorer-2"), "scorer-2"
    site.scoring = site.another()
    latest = site.score_anchors().latest
    assert latest is not None
    assert latest.shift is None  # nothing of the old one is compared with it
    assert [stored.state for stored in site.alarms("anchor_reward")] == [AlarmState.RECOVERED]
    site.scoring = site.another(timedelta(0))
    assert shift_of(site.score_anchors()).root_mean_square < 1e-4


def promote(engine: Engine, former: str, scorer: str) -> None:
    """Move the pointer, as a promotion and a roll-back do."""
    model = (
        "insert into reward_model (version, path, sha256, metrics) values (:v, '/', :v, 'null') on conflict do nothing"
    )
    moved = (
        "insert into registry (role, version, promoted_by) values ('reward', :v, 'a test')"
        " on conflict (role) do update set version = excluded.version"
    )
    with engine.begin() as connection:
        for version in (former, scorer):
            connection.execute(text(model), {"v": version})
        connection.execute(text(moved), {"v": scorer})
        PostgresAlarmFacts(connection).hand_over(former, scorer, role="reward")


def test_a_roll_back_to_a_scorer_that_moved_opens_its_anchors_alarm_again(
    engine: Engine, models: tuple[Path, Path]
) -> None:
    scorer = Fixed(load(models[0]), "scorer-1")
    site = Site(engine, scorer, period=timedelta(0))
    promote(engine, "scorer-0", "scorer-1")
    site.write(BASELINE)
    site.score_anchors()
    scorer.model = load(models[1])
    site.score_anchors()
    promote(engine, "scorer-1", "scorer-2")
    site.judged()
    assert [stored.state for stored in site.alarms("anchor_reward")] == [AlarmState.SUPERSEDED]
    promote(engine, "scorer-2", "scorer-1")
    site.judged()
    assert [stored.state for stored in site.alarms("anchor_reward")] == [AlarmState.OPEN]


class Halting:
    """Scores when it is let go; until then whoever asked hangs, as a process that was stopped."""

    def __init__(self, model: RewardModel) -> None:
        self._model = model
        self.asked, self.go = threading.Event(), threading.Event()

    def score(self, rows: Sequence[tuple[Sequence[Message], str]]) -> list[Reward | None]:
        self.asked.set()
        assert self.go.wait(60)
        return self._model.score(rows)


def test_a_process_that_dies_or_hangs_between_scoring_and_commit_leaves_one_scoring(
    engine: Engine, models: tuple[Path, Path]
) -> None:
    model = load(models[0])
    site = Site(engine, Fixed(model, "scorer-1"))
    site.write(BASELINE)
    halting = Halting(model)
    hung = site.another(scorer=Fixed(halting, "scorer-1"))
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(hung.tick)
        assert halting.asked.wait(60)
        assert site.scoring.tick() is None  # one process scores
        assert site.entries() == 0
        with engine.begin() as connection:  # the server takes the process for dead
            holder = "select pg_terminate_backend(pid, 10000) from pg_locks where locktype = 'advisory' and granted"
            assert connection.execute(text(holder)).scalars().all() == [True]
        site.score_anchors()
        halting.go.set()
        with pytest.raises(Unavailable):  # its claim is gone
            ended.result(60)
    assert site.entries() == 1
    assert shift_of(site.judged()).root_mean_square < 1e-4


def test_what_counts_traces_counts_no_anchors(engine: Engine, models: tuple[Path, Path]) -> None:
    site = Site(engine, Fixed(load(models[0]), "scorer-1"), period=timedelta(0))
    site.write(BASELINE)
    for _ in range(3):  # the places of 3 scorings lie between those of the traces
        site.score_anchors()
        site.write(100)
    traces = BASELINE + 300
    overview = PostgresOverview(engine, kafka_lag=lambda: None)
    seen = overview.overview()
    assert site.store.place_entries().next_place == traces + 3 * PAIRS
    assert (site.store.placed_traces(), seen.traces, seen.fold_lag_traces) == (traces, traces, 0)
    assert seen.last_timestamp == answered(traces - 1).timestamp
    assert Streams(PostgresStreams(engine)).unwatched_scorers() == ()

    numbers = [0, 1, BASELINE - 1, BASELINE, BASELINE + 99, BASELINE + 100, traces - 1]
    places = [site.store.place_of_trace(number) for number in numbers]
    with engine.connect() as connection:
        assert trace_numbers(connection, places) == numbers
        assert trace_numbers(connection, [places[3] - 1, places[3] - PAIRS, traces + 3 * PAIRS]) == [400, 400, traces]

    first, stop = site.store.place_of_trace(traces - 250), site.store.place_of_trace(traces - 1) + 1
    assert stop - first == 250 + 2 * PAIRS
    frozen = freeze_window(site.store, NullRule(), first_place=first, stop_place=stop)
    assert {law.signal for law in frozen.signals} >= {"reward", "response_length"}
    assert "anchor_reward" not in {law.signal for law in frozen.signals}
    site.store.freeze(frozen, by="a test", note="the last 250")
    summary = PostgresStreams(engine).baseline()
    assert summary is not None
    assert summary.traces == 250
    frame = observation_frame(site.store.window(first, stop))
    assert (len(frame), "anchor_reward" in frame.columns) == (250, False)

    site.write(50)
    site.scoring.tick()
    assert overview.fold_lag() == 0  # a scoring that is not folded is no trace that waits


def test_the_pairs_are_drawn_alike_by_every_process(engine: Engine, models: tuple[Path, Path]) -> None:
    site = Site(engine, Fixed(load(models[0]), "scorer-1"))
    site.write(BASELINE)
    store = PostgresAnchors(engine)
    baseline_id = store.baseline_id()
    assert baseline_id is not None
    pairs = store.window_pairs(baseline_id, PAIRS)
    assert len(set(pairs)) == PAIRS
    assert pairs == PostgresAnchors(engine).window_pairs(baseline_id, PAIRS)
    assert pairs[:8] == store.window_pairs(baseline_id, 8)
    numbers = [int(pair.messages[0].content.split()[-1].rstrip("?")) for pair in pairs]
    assert numbers != sorted(numbers)  # of all the window, not its beginning
    assert max(numbers) > BASELINE / 2


GOOD = {"messages": [{"role": "user", "content": "How do I pay?"}], "response": "Press pay."}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        pytest.param("{", "Input data was truncated", id="no JSON"),
        pytest.param(json.dumps(GOOD | {"response": 7}), "Expected `str`, got `int` - at `$.response`", id="a number"),
        pytest.param(json.dumps(GOOD | {"messages": []}), "'messages' is empty", id="no prompt"),
        pytest.param(json.dumps(GOOD), "the same pair as on line 1", id="a pair twice"),
    ],
)
def test_a_line_that_is_no_pair_is_named_with_its_file_and_what_was_wanted(
    tmp_path: Path, line: str, told: str
) -> None:
    file = tmp_path / "anchors.jsonl"
    file.write_text(f"{json.dumps(GOOD)}\n\n{line}\n")
    with pytest.raises(InvalidInput) as refused:
        read_pairs(file)
    assert str(refused.value).startswith(f"{file}:3: ")
    assert told in str(refused.value)


def test_pairs_of_a_file_are_compared_with_their_first_scoring(
    engine: Engine, models: tuple[Path, Path], tmp_path: Path
) -> None:
    file = tmp_path / "anchors.jsonl"
    file.write_text("\n".join(json.dumps(GOOD | {"response": " ".join(WORDS[number:])}) for number in range(9)))
    scorer = Fixed(load(models[0]), "scorer-1")
    site = Site(engine, scorer)
    plan, metrics = AnchorPlan(PAIRS, timedelta(0), read_pairs(file)), Metrics(CollectorRegistry())
    site.scoring = AnchorScoring(plan, scorer=scorer, store=PostgresAnchors(engine), metrics=metrics)
    assert site.scoring.tick() is None  # there is no baseline that it could stand beside
    site.write(BASELINE)
    latest = site.score_anchors().latest
    assert latest is not None
    assert (len(latest.reference), latest.shift) == (9, None)
    assert shift_of(site.score_anchors()).root_mean_square < 1e-4
    scorer.model = load(models[1])
    site.score_anchors()
    assert [stored.state for stored in site.alarms("anchor_reward")] == [AlarmState.OPEN]


def test_a_file_with_too_few_pairs_stops_the_start_and_names_the_setting(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "anchors.jsonl"
    file.write_text(json.dumps(GOOD))
    settings = AnchorSettings(file=file)
    scorer, metrics = Fixed(Halting(GivenRewards([])), "scorer-1"), Metrics(CollectorRegistry())
    with pytest.raises(InvalidSetting, match=r"rewards\.anchor\.file: .*anchors\.jsonl: 1 pairs; wanted 8 to 4096"):
        anchor_scoring_of(settings, engine=engine, scorer=scorer, metrics=metrics)
    missing = AnchorSettings(file=tmp_path / "nowhere.jsonl")
    with pytest.raises(InvalidSetting, match=r"nowhere\.jsonl: No such file"):
        anchor_scoring_of(missing, engine=engine, scorer=scorer, metrics=metrics)


@pytest.mark.kafka
def test_a_daemon_scores_its_anchors_and_tells_a_policy_that_changed_on_its_own(
    kafka: RealKafka, postgres_url: str, models: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.observe.anchor.ASKED_SECONDS", 0.0)
    member = tmp_path / "models" / "member-0"
    shutil.copytree(models[0] / "member-0", member)
    site = program.Site(kafka, postgres_url, baseline_traces=BASELINE, reward_model=member)
    site.send([line(answered(number)) for number in range(500)])
    with running(site.settings()) as daemon:
        wait_for(lambda: daemon.port > 0, "the API")
        url = f"http://127.0.0.1:{daemon.port}"
        scoring = 'monitor_anchor_scorings_total{outcome="stored"} 1.0'
        wait_for(lambda: scoring in httpx.get(f"{url}/metrics").text, "the first scoring")
        wait_for(lambda: 'measure="root_mean_square"' in httpx.get(f"{url}/metrics").text, "the shift")
        site.send([line(answered(number, words=("refund", "days"))) for number in range(500, 1100)])
        judged = "select count(*) from alarm where signal = 'reward' and scorer_verdict = 'policy_changed'"
        wait_for(lambda: site.query(judged) > [(0,)], "the verdict")
        stored = "select value from running_total where name = 'traces'"
        wait_for(lambda: site.query(stored) == [(1100,)], "all traces")  # the verdict may come before the last of them
        alarms = httpx.get(f"{url}/api/v1/alarms").json()
        ready = httpx.get(f"{url}/readyz").json()
    told = [alarm for alarm in alarms if alarm["scorer_verdict"] == "policy_changed"]
    assert "root mean square" in told[0]["scorer_note"]
    assert "anchor" in str(ready)
    assert site.query("select count(*) from alarm where signal = 'anchor_reward'") == [(0,)]
