"""The series, the logs and the health that the daemon shows of itself."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import isnan

import pytest
import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from monitor.domain.alarm import Alarm, AlarmKind, AlarmState, Direction, Effect, Severity, StoredAlarm
from monitor.domain.incident import Incident, sum_up
from monitor.domain.job import Action, JobState, RunProgress
from monitor.domain.stream import StreamKey, StreamStatus
from monitor.domain.text import for_metric
from monitor.telemetry.answers import AnswerCounts
from monitor.telemetry.declaration import Series
from monitor.telemetry.health import Health
from monitor.telemetry.labels import LabelMetrics
from monitor.telemetry.logs import configure_logging
from monitor.telemetry.metrics import FRESH_SECONDS, Dependency, Metrics, Stage, TraceOutcome
from monitor.telemetry.notify import NotifyMetrics
from monitor.telemetry.probes import ProbeMetrics
from monitor.telemetry.program import show_program
from monitor.telemetry.reference import ReferenceMetrics
from monitor.telemetry.releases import ReleaseMetrics
from monitor.telemetry.series import DAEMON_SERIES, SCORED_TOKENS, SERIES, SERVING_SERIES
from monitor.telemetry.serving import ServingMetrics
from monitor.telemetry.signals import SignalCounts
from tests.clock import Clock

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def status(policy_model: str = "chat-1", **changes: object) -> StreamStatus:
    usual = StreamStatus(
        key=StreamKey("refusal", "*", policy_model, "1"),
        observations=100,
        mean=0.05,
        baseline_mean=0.03,
        baseline_lower=0.02,
        baseline_upper=0.04,
        evidence_log=0.5,
        last_timestamp=NOON,
        unit="ratio",
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics(registry: CollectorRegistry, clock: Clock) -> Metrics:
    return Metrics(registry, clock=clock)


def alarm(cohort: str = "dataset=koala", policy_model: str = "chat-1", **changes: object) -> StoredAlarm:
    usual = Alarm(
        stream=StreamKey("refusal", cohort, policy_model, "1"),
        direction=Direction.UP,
        severity=Severity.ALERT,
        place=900,
        trace_id="t-900",
        timestamp=NOON,
        onset_place=850,
        onset_timestamp=NOON,
        observations=900,
        evidence_log=1.0,
        effect=Effect(0.12, 0.05, 0.2, "ratio"),
    )
    return StoredAlarm(1, AlarmState.OPEN, replace(usual, **changes), NOON)  # type: ignore[arg-type]


def assert_declared(registry: CollectorRegistry, declared: Sequence[Series]) -> None:
    families = {family.name: family for family in registry.collect() if family.name.startswith("monitor_")}
    for series in declared:
        family = families.pop(series.name.removesuffix("_total"))
        assert (family.type, family.documentation) == (series.kind, series.help)
    assert families == {}


def test_the_daemon_exports_exactly_the_series_declared_for_it(metrics: Metrics, registry: CollectorRegistry) -> None:
    ReferenceMetrics(registry)
    LabelMetrics(registry)
    ProbeMetrics(registry)
    ReleaseMetrics(registry)
    NotifyMetrics(registry)
    show_program(registry, console_url=None)
    SignalCounts(registry)
    AnswerCounts(registry, dict)
    assert_declared(registry, DAEMON_SERIES)


def test_the_scoring_server_exports_exactly_the_series_declared_for_it() -> None:
    assert_declared(ServingMetrics()._registry, SERVING_SERIES)


def test_scored_tokens_are_declared_once_for_the_daemon_and_the_scoring_server() -> None:
    names = [series.name for series in SERIES]
    assert len(set(names)) == len(names)
    assert SCORED_TOKENS in DAEMON_SERIES
    assert SCORED_TOKENS in SERVING_SERIES


def test_every_outcome_and_stage_is_exported_before_it_happens(metrics: Metrics, registry: CollectorRegistry) -> None:
    for outcome in TraceOutcome:
        assert registry.get_sample_value("monitor_traces_total", {"outcome": outcome}) == 0
    for stage in Stage:
        assert registry.get_sample_value("monitor_stage_seconds_count", {"stage": stage}) == 0


def test_of_two_policy_models_the_newer_gives_the_mean_and_the_worse_the_evidence(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    old = status("chat-1", mean=0.2, evidence_log=1.3)
    new = status("chat-2", mean=0.04, evidence_log=0.1, last_timestamp=NOON + timedelta(hours=1))
    metrics.show_streams([new, old])
    labels = {"signal": "refusal", "cohort": "*"}
    assert registry.get_sample_value("monitor_stream_mean", {**labels, "unit": "ratio"}) == 0.04
    assert registry.get_sample_value("monitor_stream_evidence_log", labels) == 1.3
    upper = {**labels, "unit": "ratio", "bound": "upper"}
    assert registry.get_sample_value("monitor_stream_baseline", upper) == 0.04


def test_a_revoked_partition_is_withdrawn(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.show_lag({("traces", 0): 7, ("traces", 1): 9})
    metrics.show_lag({("traces", 1): 3})
    assert registry.get_sample_value("monitor_kafka_lag", {"topic": "traces", "partition": "0"}) is None
    assert registry.get_sample_value("monitor_kafka_lag", {"topic": "traces", "partition": "1"}) == 3


def test_a_run_under_way_shows_what_it_tells_and_is_withdrawn_with_its_end(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"monitor_job_{name}", {"action": "dpo", **labels})

    metrics.show_runs({Action.DPO: RunProgress("epoch 1", 30, 120, loss=0.5, rate=2.0, seconds_left=45.0)})
    assert (value("progress_ratio"), value("steps", count="done"), value("steps", count="total")) == (0.25, 30, 120)
    assert (value("loss"), value("steps_per_second"), value("left_seconds")) == (0.5, 2.0, 45.0)
    metrics.show_runs({Action.DPO: RunProgress("loading", 0, 0)})
    assert all(value(name) is None for name in ("progress_ratio", "loss", "steps_per_second", "left_seconds"))
    assert value("steps", count="total") is None
    metrics.show_runs({Action.DPO: RunProgress("epoch 1", 130, 120)})
    assert value("progress_ratio") == 1.0
    metrics.show_runs({})
    assert value("progress_ratio") is None


def test_a_process_that_lost_the_lead_withdraws_what_only_a_leader_knows(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    metrics.show_leader(leads=True)
    metrics.show_streams([status()])
    metrics.show_alarms([alarm()])
    metrics.show_incidents([Incident(7, sum_up([alarm()]), NOON)])
    metrics.show_jobs({(Action.DPO, JobState.FAILED_GATE): 2})
    metrics.show_runs({Action.DPO: RunProgress("epoch 1", 30, 120)})
    metrics.show_fold_lag(5)
    assert registry.get_sample_value("monitor_jobs", {"action": "dpo", "status": "failed_gate"}) == 2
    assert registry.get_sample_value("monitor_alarms_open", {"signal": "refusal", "severity": "warning"}) == 0
    metrics.show_leader(leads=False)
    left = {sample.name for family in registry.collect() for sample in family.samples if sample.value}
    assert left.isdisjoint(KNOWN_TO_A_LEADER)
    assert registry.get_sample_value("monitor_jobs", {"action": "dpo", "status": "failed_gate"}) is None


def shown(registry: CollectorRegistry) -> set[str]:
    return {sample.name for family in registry.collect() for sample in family.samples}


KNOWN_TO_A_LEADER = {
    "monitor_stream_mean",
    "monitor_stream_baseline",
    "monitor_stream_evidence_log",
    "monitor_stream_observations_total",
    "monitor_alarms_open",
    "monitor_alarm_effect",
    "monitor_incidents_open",
    "monitor_incident_members",
    "monitor_jobs",
    "monitor_job_progress_ratio",
    "monitor_fold_lag_traces",
    "monitor_placement_blocked_seconds",
    "monitor_last_refresh_timestamp_seconds",
}


def test_what_nobody_has_confirmed_for_half_a_minute_is_withdrawn_though_no_thread_says_so(
    metrics: Metrics, registry: CollectorRegistry, clock: Clock
) -> None:
    metrics.show_leader(leads=True)
    metrics.show_streams([status()])
    metrics.show_alarms([alarm()])
    metrics.show_incidents([Incident(7, sum_up([alarm()]), NOON)])
    metrics.show_jobs({})
    metrics.show_runs({Action.DPO: RunProgress("epoch 1", 30, 120)})
    metrics.show_fold_lag(0)
    metrics.show_placement_blocked(0.0)
    metrics.show_promotions({})
    metrics.show_lag({("traces", 0): 7})
    clock.now += FRESH_SECONDS
    assert shown(registry) >= KNOWN_TO_A_LEADER | {"monitor_kafka_lag"}
    assert registry.get_sample_value("monitor_leader") == 1
    clock.now += 0.1  # the thread hangs, or PostgreSQL is away: nothing more is heard
    assert shown(registry) & (KNOWN_TO_A_LEADER | {"monitor_kafka_lag"}) == set()
    assert registry.get_sample_value("monitor_leader") == 0
    metrics.show_leader(leads=True)
    metrics.show_alarms([])
    assert registry.get_sample_value("monitor_leader") == 1
    assert registry.get_sample_value("monitor_alarms_open", {"signal": "refusal", "severity": "alert"}) == 0


def test_a_slow_fold_does_not_withdraw_what_is_refreshed_that_seldom(clock: Clock) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, leader_seconds=FRESH_SECONDS + 60.0, clock=clock)
    metrics.show_leader(leads=True)
    clock.now += 60.0
    assert registry.get_sample_value("monitor_leader") == 1


def test_a_dependency_is_up_for_half_a_minute_after_its_last_answer(clock: Clock) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, dependencies=Dependency, clock=clock)

    def up() -> dict[str, float | None]:
        return {name: registry.get_sample_value("monitor_dependency_up", {"dependency": name}) for name in Dependency}

    assert up() == {"postgres": 0, "kafka": 0, "rewards": 0}
    metrics.confirm_reached(Dependency.POSTGRES)
    metrics.show_lag({})  # the brokers have been asked, whatever is assigned
    clock.now += FRESH_SECONDS
    metrics.confirm_reached(Dependency.REWARDS)
    assert up() == {"postgres": 1, "kafka": 1, "rewards": 1}
    clock.now += 0.1
    assert up() == {"postgres": 0, "kafka": 0, "rewards": 1}


def test_a_part_that_hangs_is_shown_as_not_ready_when_scraped(
    metrics: Metrics, registry: CollectorRegistry, clock: Clock
) -> None:
    health = Health(["worker", "web"], clock=clock)
    metrics.follow_health(health)

    def ready(part: str) -> float | None:
        return registry.get_sample_value("monitor_part_ready", {"part": part})

    assert (ready("worker"), ready("web")) == (0, 0)
    health.set_ready("worker")
    health.set_ready("web")
    health.set_busy("worker", 30.0, "storing a batch")
    clock.now += 30.0
    assert (ready("worker"), ready("web")) == (1, 1)
    clock.now += 0.1
    assert (ready("worker"), ready("web")) == (0, 1)


def test_a_part_that_readyz_names_later_has_a_series_when_it_hangs_at_its_first_work(
    metrics: Metrics, registry: CollectorRegistry, clock: Clock
) -> None:
    health = Health(["worker"], clock=clock)
    metrics.follow_health(health)
    health.set_busy("batch", 30.0, "storing a batch")
    clock.now += 30.1
    assert health.ready()[1]["batch"] == "storing a batch: not done after 30 s"
    assert registry.get_sample_value("monitor_part_ready", {"part": "batch"}) == 0
    health.set_ready("batch")
    assert registry.get_sample_value("monitor_part_ready", {"part": "batch"}) == 1


def test_an_open_alarm_tells_cohort_direction_and_effect(metrics: Metrics, registry: CollectorRegistry) -> None:
    down = Effect(-0.3, -0.4, -0.2, "ratio")
    metrics.show_alarms(
        [
            alarm(),
            alarm("dataset=oasst", direction=Direction.DOWN, effect=down),
            alarm("dataset=oasst", "chat-2", direction=Direction.DOWN, effect=replace(down, estimate=-0.1)),
        ]
    )

    def effect(cohort: str, direction: str) -> float | None:
        labels = {"signal": "refusal", "cohort": cohort, "direction": direction, "severity": "alert", "unit": "ratio"}
        return registry.get_sample_value("monitor_alarm_effect", labels)

    assert effect("dataset=koala", "up") == 0.12
    assert effect("dataset=oasst", "down") == -0.3, "of two policy models, the larger effect"
    assert registry.get_sample_value("monitor_alarms_open", {"signal": "refusal", "severity": "alert"}) == 3
    metrics.show_alarms([alarm()])
    assert effect("dataset=oasst", "down") is None


def test_an_open_incident_is_told_by_its_number_however_it_grows(metrics: Metrics, registry: CollectorRegistry) -> None:
    labels = {"incident": "7", "kind": "drift", "severity": "alert"}
    for members in ([alarm()], [alarm(), alarm("dataset=oasst")]):
        metrics.show_incidents([Incident(7, sum_up(members), NOON)])
        assert registry.get_sample_value("monitor_incident_members", labels) == len(members)
        assert registry.get_sample_value("monitor_incidents_open", {"severity": "alert"}) == 1
    metrics.show_incidents([])
    assert registry.get_sample_value("monitor_incident_members", labels) is None
    assert registry.get_sample_value("monitor_incidents_open", {"severity": "alert"}) == 0


def told_by(registry: CollectorRegistry) -> dict[str, tuple[dict[str, str], float]]:
    """Return what tells each incident, by its number."""
    [family] = [family for family in registry.collect() if family.name == "monitor_incident_effect"]
    return {sample.labels.pop("incident"): (sample.labels, sample.value) for sample in family.samples}


def test_an_incident_is_told_by_its_first_alarm_of_the_highest_severity_and_by_its_onset(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    warning = replace(alarm("dataset=early", severity=Severity.WARNING, place=10), incident_id=7)
    later, first = (replace(alarm(f"place={place}", place=place), incident_id=7) for place in (950, 900))
    silent = replace(alarm("*", kind=AlarmKind.NO_DATA, direction=None, effect=None), incident_id=8)
    unfiled = alarm("dataset=new")
    metrics.show_alarms([warning, later, first, silent, unfiled])
    told = told_by(registry)
    refusal = {"signal": "refusal", "cohort": "place=900", "direction": "up", "unit": "points"}
    labels, points = told.pop("7")
    assert labels == refusal
    assert points == pytest.approx(12.0), "a rate moves by points of a hundred, as people read it"
    labels, value = told.pop("8")
    assert (labels["direction"], labels["unit"], isnan(value), told) == ("", "", True, {})
    metrics.show_incidents([Incident(7, sum_up([warning, later, first]), NOON)])
    onset = registry.get_sample_value("monitor_incident_onset_timestamp_seconds", {"incident": "7"})
    assert onset == NOON.timestamp()


def test_gpu_hours_stand_beside_those_allowed_where_they_are_limited(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    def shown(count: str) -> float | None:
        return registry.get_sample_value("monitor_job_gpu_hours", {"count": count})

    metrics.show_gpu_hours(39.5, allowed=40.0)
    assert (shown("taken"), shown("allowed")) == (39.5, 40.0)
    metrics.show_gpu_hours(39.5, allowed=None)
    assert (shown("taken"), shown("allowed")) == (39.5, None)


def test_the_console_s_address_is_told_without_its_last_slash(registry: CollectorRegistry) -> None:
    show_program(registry, console_url="https://monitor.example/")
    assert registry.get_sample_value("monitor_console_info", {"url": "https://monitor.example"}) == 1


def test_a_hostile_cohort_of_an_alarm_stays_one_visible_label(metrics: Metrics, registry: CollectorRegistry) -> None:
    cohort = 'a\x1b[31m"}\n# TYPE\u202e{{ .Labels }}'
    metrics.show_alarms([alarm(cohort)])
    text = generate_latest(registry).decode()
    (family,) = (item for item in text_string_to_metric_families(text) if item.name == "monitor_alarm_effect")
    assert [sample.labels["cohort"] for sample in family.samples] == [for_metric(cohort)]


def test_a_thread_that_dies_makes_its_part_unready_and_wakes_the_waiter() -> None:
    health = Health(["worker", "web"])
    health.set_ready("web")

    def body() -> None:
        with health.guard("worker"):
            raise MemoryError("a trace's text: hello")

    threading.Thread(target=body).start()
    failure = health.wait(60)
    assert failure is not None
    assert (failure.part, type(failure.exception)) == ("worker", MemoryError)
    health.set_ready("worker")
    assert health.ready() == (False, {"worker": "failed: MemoryError", "web": ""})


def test_the_first_failure_is_the_one_reported() -> None:
    health = Health(["worker", "web"])
    health.fail("worker", ValueError("first"))
    health.fail("web", KeyError("second"))
    assert health.failure is not None
    assert str(health.failure.exception) == "first"


def test_a_part_is_not_ready_until_it_says_so_and_when_it_says_not() -> None:
    health = Health(["postgres"])
    assert health.ready() == (False, {"postgres": "starting"})
    health.set_ready("postgres")
    assert health.ready() == (True, {"postgres": ""})
    health.set_not_ready("postgres", "connection refused")
    assert health.ready() == (False, {"postgres": "connection refused"})


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.mark.usefixtures("restored_logging")
def test_both_kinds_of_loggers_write_one_json_line_without_the_text_of_a_trace() -> None:
    stream = io.StringIO()
    configure_logging(level="info", style="json", stream=stream)
    structlog.get_logger("monitor.worker").warning("slow batch", traces=3, response="SECRET")
    logging.getLogger("uvicorn.error").warning("bound to %s", "127.0.0.1", extra={"prompt": "SECRET"})
    structlog.get_logger("monitor.worker").debug("too quiet to be written")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["event"], first["level"], first["logger"], first["traces"]) == (
        "slow batch",
        "warning",
        "monitor.worker",
        3,
    )
    assert second["event"] == "bound to 127.0.0.1"
    assert "SECRET" not in stream.getvalue()


@pytest.mark.usefixtures("restored_logging")
@pytest.mark.parametrize("style", ["json", "console"])
def test_a_traceback_names_the_error_and_never_a_local_variable(style: str) -> None:
    stream = io.StringIO()
    configure_logging(level="info", style=style, stream=stream)  # type: ignore[arg-type]
    answer = "the " + "model said this"
    try:
        answer.index("nothing of the kind")
    except ValueError:
        structlog.get_logger("monitor").exception("scoring failed")
    assert "ValueError" in stream.getvalue()
    assert "the model said this" not in stream.getvalue()
