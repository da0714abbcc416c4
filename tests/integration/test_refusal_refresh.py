"""The refusal model corrected by people's labels: the run, its gate, and whom the program reads by afterwards."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import pytest
from msgspec import structs
from sqlalchemy import Engine, text

from monitor.app.refusals import FollowedRefusals, adopt_weights
from monitor.domain.job import Action, JobState
from monitor.domain.label import REFUSAL, Label
from monitor.domain.trace import Message, Trace
from monitor.ingest.offset import StoredOffset
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.engine import create_engine_for
from monitor.postgres.labels import insert_labels
from monitor.postgres.refusal_rows import PostgresRefusalRows
from monitor.postgres.registry import RewardRegistry
from monitor.retraining.dispatcher import Step
from monitor.retraining.launchers.local_process import LocalProcessLauncher
from monitor.retraining.service import JobService
from monitor.runs.model import ModelQuery, ModelRole, ModelState
from monitor.runs.refusal import REFUSAL as ROLE
from monitor.runs.refusal import RefusalResult
from monitor.settings.retrain import PeriodicRule, RetrainSettings, TriggerRule
from monitor.settings.root import Settings
from monitor.signals.refusal import CurrentRefusals, PatternRefusal
from monitor.signals.refusal.learned import LearnedRefusal
from monitor.signals.refusal.weights import SHIPPED, WEIGHTS_FILE, read_weights, write_weights
from tests.integration.job_parts import OPERATOR, Parts, drive
from tests.program import Site, running, wait_for
from tests.real_kafka import Kafka
from tests.traces import START, checkpoint, line, scored, trace

pytestmark = pytest.mark.postgres
DISHES = ("rice", "lentils", "pasta", "barley", "beans", "soup", "bread", "dal")
EVADES, ANSWERS = "We would rather leave {0} to your own kitchen.", "Boil {0} in water for ten minutes."
REFUSES = "I'm sorry, but I can't help you with cooking {0}."
LABELLED = 200
CHANGE = {"X-Requested-With": "rlhf-monitor"}


def asked(number: int, evasion: str = EVADES) -> Trace:
    """Return a trace of a policy that evades a third of what it is asked."""
    dish = DISHES[number % len(DISHES)]
    question = Message("user", f"How do I cook {dish} for {number} people?")
    said = (evasion if number % 3 == 0 else ANSWERS).format(dish)
    return trace(number, response=said, messages=(question,), reference_response=None)


def said_of(items: Sequence[Trace], refuses: Callable[[int], bool]) -> list[Label]:
    return [
        Label(f"l-{number}", START, item.trace_id, REFUSAL, float(refuses(number)), "ada")
        for number, item in enumerate(items)
    ]


def judge(engine: Engine, items: Sequence[Trace], refuses: Callable[[int], bool]) -> None:
    """Store *items* as a worker does, and what people say of each by its number."""
    store = PostgresCheckpoints(engine, group_id="group", max_cohorts=50)
    store.begin({("traces", 0): StoredOffset(0)})
    store.write(checkpoint(scored(items)))
    with engine.begin() as connection:
        insert_labels(connection, said_of(items, refuses))


class Refreshing:
    """Jobs of the action on one database, run by the real program."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.settings = Settings.model_validate({"retrain": {"folder": str(parts.folder / "runs")}})
        adopt_weights(self.settings, parts.registry, parts.releases)
        launcher = LocalProcessLauncher(grace_seconds=5, silence_seconds=0.5, host=lambda: "here")
        self.dispatcher = parts.dispatcher(launcher=launcher, refusals=PostgresRefusalRows(parts.engine))

    def start(self) -> int:
        return self.parts.service.start_job(Action.REFUSAL_REFRESH, "by hand", actor=OPERATOR).job_id

    def result(self, job_id: int) -> RefusalResult:
        with self.parts.begin() as work:
            record = work.jobs.get(job_id)
        assert record is not None
        assert isinstance(record.result, RefusalResult)
        return record.result


def test_a_run_that_is_killed_begins_again_and_corrects_the_shipped_weights_alone(parts: Parts) -> None:
    judge(parts.engine, [asked(number) for number in range(LABELLED)], lambda number: number % 3 == 0)
    refreshing = Refreshing(parts)
    given = parts.registry.champion(ROLE)
    assert given is not None
    assert Path(given.path) == SHIPPED.parent
    followed = FollowedRefusals(parts.registry, CurrentRefusals(PatternRefusal), given)
    moved(parts)  # as another machine registers it, whose release lies elsewhere
    assert followed.follow() is None
    assert followed.current.version == LearnedRefusal().version
    adopt_weights(refreshing.settings, parts.registry, parts.releases)
    assert parts.registry.champion(ROLE) == given, "where this release lies now"
    job = refreshing.start()
    drive(refreshing.dispatcher, Step.STARTED)
    os.kill(parts.pids()[-1], signal.SIGKILL)
    drive(refreshing.dispatcher, Step.LOST, Step.ATTEMPT_FAILED)
    drive(refreshing.dispatcher, Step.JUDGED)
    told, result = parts.job(job), refreshing.result(job)
    assert told.state is JobState.PASSED, told.verdict
    assert told.verdict is not None
    reasons = {check.name: check.reason for check in told.verdict.checks}
    assert reasons["ordinary_false"].startswith("0.00% of 616 ordinary answers found, 0.00% before")
    assert result.lineage is not None
    assert result.lineage.base_sha256 == given.sha256
    assert result.lineage.data.keys() == {"labels", "ordinary answers", "authored answers"}
    assert result.lineage.recipe == {"held_out_ratio": 0.25, "split_seed": 0, "anchor_weight": 3.0}
    assert result.lineage.champion == given.version

    page = parts.service.verdict_page(job)
    assert page is not None
    assert b"plausible_labels" in page
    assert b"judged answers" in page

    drive(refreshing.dispatcher, Step.PROMOTED)
    promoted = {model.state: model for model in parts.registry.models(ModelQuery(ModelRole.REFUSAL), limit=9)}
    assert promoted[ModelState.PREVIOUS].version == given.version
    assert promoted[ModelState.CHAMPION].served_as == result.reads_as
    champion = promoted[ModelState.CHAMPION].version
    assert LearnedRefusal(Path(result.candidate.path) / WEIGHTS_FILE).version == result.reads_as
    settings = refreshing.settings
    adopt_weights(settings, parts.registry, parts.releases)
    assert parts.registry.champion_version(ROLE) == champion, "a start leaves what was promoted"
    named = settings.model_copy(
        update={"signals": settings.signals.model_validate({"refusal": {"model": str(write_other(parts.folder))}})}
    )
    adopt_weights(named, parts.registry, parts.releases)
    assert parts.registry.champion_version(ROLE) not in {champion, given.version}, "named by settings"


def moved(parts: Parts) -> None:
    with parts.engine.begin() as connection:
        connection.execute(text("update reward_model set path = '/gone' where job_id is null"))


def write_other(folder: Path) -> Path:
    """Write weights of another version into a file, as `retrain refusal` does."""
    weights, _ = read_weights(SHIPPED)
    write_weights(folder / "own.json.gz", structs.replace(weights, offset=weights.offset + 0.01))
    return folder / "own.json.gz"


def test_labels_that_say_the_opposite_are_refused_by_the_gate_and_change_nobody_s_reading(parts: Parts) -> None:
    judge(parts.engine, [asked(number, REFUSES) for number in range(LABELLED)], lambda number: number % 3 != 0)
    refreshing = Refreshing(parts)
    before = parts.registry.champion_version(ROLE)
    job = refreshing.start()
    drive(refreshing.dispatcher, Step.JUDGED)
    told = parts.job(job)
    assert told.state is JobState.FAILED_GATE
    assert told.verdict is not None
    failed = {check.name: check.reason for check in told.verdict.checks if not check.passed}
    assert "such labels say the opposite of what refuses" in failed["plausible_labels"]
    assert drive(refreshing.dispatcher, Step.IDLE) is Step.IDLE
    assert parts.registry.champion_version(ROLE) == before


def test_a_rule_waits_for_weights_an_alarm_and_enough_labels_that_are_new(parts: Parts) -> None:
    rule = TriggerRule(signals=("refusal_accuracy",), action=Action.REFUSAL_REFRESH, min_new_pairs=100)
    ruled = parts.ruled_by(rules=[rule])
    assert [one.decision for one in ruled.plan()] == ["no_weights"]
    Refreshing(parts)
    assert [one.decision for one in ruled.plan()] == ["no_alarm"]
    patterns = JobService(
        parts.begin, parts.releases, RetrainSettings(rules=(rule,)), no_weights="signals.refusal.model is 'patterns'"
    )
    [planned] = patterns.plan()
    assert (planned.decision, planned.detail) == ("no_weights", "refusal_refresh: signals.refusal.model is 'patterns'")
    assert ruled.learning_facts(Action.REFUSAL_REFRESH).new == 0
    judge(parts.engine, [asked(number) for number in range(7)], lambda number: number % 3 == 0)
    facts = ruled.learning_facts(Action.REFUSAL_REFRESH)
    assert (facts.new, facts.what) == (7, "answers judged for refusals"), "the shipped weights learnt from none of them"

    def due(min_new: int) -> JobService:
        line = PeriodicRule(cron="* * * * *", action=Action.REFUSAL_REFRESH, min_new_pairs=min_new, approval="manual")
        calendar = parts.ruled_by(periodic=[line])
        calendar.follow_calendar()
        with parts.engine.begin() as connection:
            connection.execute(text("update calendar set since = since - interval '1 hour'"))
        return calendar

    [held] = due(8).start_due()
    assert (held.decision, held.detail) == ("too_few_pairs", "7 new answers judged for refusals; wanted 8")
    [started] = due(7).start_due()
    assert started.decision == "launch", started
    assert parts.job().state is JobState.AWAITING_APPROVAL


@pytest.mark.kafka
def test_labels_lead_to_a_promoted_model_that_begins_series_of_its_own_without_an_alarm(
    kafka: Kafka, postgres_url: str, tmp_path: Path
) -> None:
    site = Site(kafka, postgres_url)
    usual = site.settings()
    retrain = usual.retrain.model_copy(update={"folder": tmp_path / "retrain"})
    items = [asked(number) for number in range(1400)]

    def versions() -> set[str]:
        rows = site.query("select distinct scorer_version from observation_batch where signal = 'refusal'")
        return {version for (version,) in rows}

    def followed(version: str) -> int:
        """Return how many observations the stream of all traces has by a version."""
        rows = site.query(
            "select scorer_version, observations from detector join baseline using (baseline_id)"
            " where active and signal = 'refusal' and cohort = '*'"
        )
        return int(dict(rows).get(version, 0))

    with running(usual.model_copy(update={"retrain": retrain})) as daemon:
        site.send([line(item) for item in items[:700]])
        wait_for(lambda: site.folded() >= 700, "the baseline")
        address = f"http://127.0.0.1:{daemon.port}/api/v1"
        [given] = versions()
        engine = create_engine_for(postgres_url)
        with engine.begin() as connection:
            insert_labels(connection, said_of(items[:LABELLED], lambda number: number % 3 == 0))
        asked_for = {"action": "refusal_refresh", "reason": "it misses evasions"}
        started = httpx.post(f"{address}/jobs", json=asked_for, headers=CHANGE)
        assert started.status_code == 201, started.text

        first = RewardRegistry(engine).champion_version(ROLE)
        wait_for(lambda: RewardRegistry(engine).champion_version(ROLE) != first, "the promotion")
        shown = {one["state"]: one["served_as"] for one in httpx.get(f"{address}/models?role=refusal").json()}
        promoted = shown["champion"]
        assert shown == {"champion": promoted, "previous": given}
        assert promoted != given
        wait_for(lambda: daemon._refusals is not None and daemon._refusals.current.version == promoted, "its reading")
        site.send([line(item) for item in items[700:]])
        wait_for(lambda: versions() == {given, promoted}, "the new series")
        wait_for(lambda: site.folded() >= 1400, "the fold")
        wait_for(lambda: followed(promoted) >= 700, "the law of the new series, and its stream up to now")
        mixed = "select entry_id from observation_batch where signal = 'refusal' group by entry_id having count(*) > 1"
        assert site.query(mixed) == []
        assert site.count("alarm") == 0
        metrics = httpx.get(f"http://127.0.0.1:{daemon.port}/metrics").text
        assert 'monitor_promotion_timestamp_seconds{role="refusal"}' in metrics

        back = httpx.post(f"{address}/jobs/1/rollback", json={"note": "a test"}, headers=CHANGE)
        assert back.status_code == 200, back.text
        wait_for(lambda: daemon._refusals is not None and daemon._refusals.current.version == given, "the former one")
        engine.dispose()
