"""The series, the logs and the health that the daemon shows of itself."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from prometheus_client import CollectorRegistry

from monitor.domain.alarm import Severity
from monitor.domain.job import Action, JobState
from monitor.domain.stream import StreamKey, StreamStatus
from monitor.telemetry.health import Health
from monitor.telemetry.logs import configure_logging
from monitor.telemetry.metrics import SERIES, Metrics, Stage, TraceOutcome

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
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry)


def test_the_registry_exports_exactly_the_declared_series(metrics: Metrics, registry: CollectorRegistry) -> None:
    families = {family.name: family for family in registry.collect()}
    for series in SERIES:
        family = families.pop(series.name.removesuffix("_total"))
        assert (family.type, family.documentation) == (series.kind, series.help)
    assert families == {}


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
    assert registry.get_sample_value("monitor_stream_mean", labels) == 0.04
    assert registry.get_sample_value("monitor_stream_evidence_log", labels) == 1.3
    assert registry.get_sample_value("monitor_stream_baseline", {**labels, "bound": "upper"}) == 0.04


def test_a_revoked_partition_is_withdrawn(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.show_lag({("traces", 0): 7, ("traces", 1): 9})
    metrics.show_lag({("traces", 1): 3})
    assert registry.get_sample_value("monitor_kafka_lag", {"topic": "traces", "partition": "0"}) is None
    assert registry.get_sample_value("monitor_kafka_lag", {"topic": "traces", "partition": "1"}) == 3


def test_a_process_that_lost_the_lead_withdraws_what_only_a_leader_knows(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    metrics.show_leader(leads=True)
    metrics.show_streams([status()])
    metrics.show_alarms({("refusal", Severity.ALERT): 1})
    metrics.show_jobs({(Action.DPO, JobState.FAILED_GATE): 2})
    metrics.show_fold_lag(5)
    assert registry.get_sample_value("monitor_jobs", {"action": "dpo", "status": "failed_gate"}) == 2
    assert registry.get_sample_value("monitor_alarms_open", {"signal": "refusal", "severity": "warning"}) == 0
    metrics.show_leader(leads=False)
    left = {sample.name for family in registry.collect() for sample in family.samples if sample.value}
    assert not left & {"monitor_stream_mean", "monitor_alarms_open", "monitor_jobs", "monitor_fold_lag_traces"}
    assert registry.get_sample_value("monitor_jobs", {"action": "dpo", "status": "failed_gate"}) is None


def test_a_thread_that_dies_makes_its_part_unready_and_wakes_the_waiter() -> None:
    health = Health(["worker", "web"])
    health.set_ready("web")

    def body() -> None:
        with health.guard("worker"):
            raise MemoryError("a trace's text: hello")

    threading.Thread(target=body).start()
    failure = health.wait(10)
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
